from __future__ import annotations

import sys

from objectscan.service.supervisor import Kept, processes


def test_each_gpu_gets_a_worker_of_its_own():
    kept = processes("127.0.0.1", 8000, gpus=["GPU-1", "GPU-2"], workers=None)
    assert [each.name for each in kept] == ["api", "worker 0", "worker 1"]
    assert [each.environment.get("CUDA_VISIBLE_DEVICES") for each in kept] == [None, "GPU-1", "GPU-2"]


def test_without_gpus_there_is_one_worker():
    kept = processes("127.0.0.1", 8000, gpus=[], workers=None)
    assert [(each.name, dict(each.environment)) for each in kept] == [("api", {}), ("worker 0", {})]
    assert len(processes("127.0.0.1", 8000, gpus=[], workers=3)) == 4


def test_a_process_that_keeps_ending_is_started_ever_later():
    kept = Kept("short", (sys.executable, "-c", "pass"))
    kept.look_after()
    waits = []
    for _ in range(3):
        assert kept.process is not None
        kept.process.wait(20)
        kept.look_after()
        assert kept.process is None  # not at once
        waits.append(kept.backoff_s)
        kept.start_at = 0.0
        kept.look_after()
    kept.process.wait(20)
    assert waits == [2.0, 4.0, 8.0]
