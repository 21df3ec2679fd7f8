from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.cuda.emulator import Emulator, emulated

_BUILT = Path(__file__).parents[3] / ".pytest_cache" / "cuda_emulator"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """CPU tensors go through the CUDA backend while the test runs."""
    with emulated(_BUILT) as kernels:
        yield kernels


@pytest.fixture
def on_emulator():
    """A function that runs another one through the CUDA backend."""

    def run(work, *arguments, **options):
        with emulated(_BUILT):
            return work(*arguments, **options)

    return run
