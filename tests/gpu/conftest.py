"""Tests that need a CUDA GPU: `make test-gpu`. Without one they fail: nobody asks for them in vain.

Memory errors and races: `benchmarks/gpu_session.sh` runs compute-sanitizer, or by hand

    PYTORCH_NO_CUDA_MEMORY_CACHING=1 PYTHONPATH=src:tests \\
        compute-sanitizer --tool memcheck python benchmarks/gpu_sanitize.py

with `initcheck`, `racecheck` or `synccheck` in place of `memcheck`.
"""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _gpu() -> None:
    if not torch.cuda.is_available():
        pytest.fail("No CUDA GPU, or a torch without CUDA.")
