from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_CODE = """
import sys, time
import torch
torch.set_num_threads(1)
from objectscan.render.warmup import load_kernels
if sys.argv[1] == "warm":
    load_kernels("cpu")
began = time.process_time()
load_kernels("cpu")
print(time.process_time() - began)
"""


def first_use_s(how: str) -> float:
    """Processor time of the first picture in a new process."""
    source = str(Path(__file__).parents[2] / "src")
    answer = subprocess.run(
        [sys.executable, "-c", _CODE, how], env={**os.environ, "PYTHONPATH": source}, check=True,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return float(answer.stdout)


def test_nobody_waits_for_kernels_that_were_loaded():
    first_use_s("warm")  # fills the cache on disk, so that nothing is compiled below
    cold, warm = first_use_s("cold"), first_use_s("warm")
    assert warm < 0.2 * cold
