"""The renderer's own threads: numba kernels release the GIL, so a plain pool runs them side by side.

numba's threading layer is not used: with pip only, its `workqueue` may not be entered from two Python
threads at once, which a server does.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from objectscan.errors import InputError


class _Workers:
    """A pool that can be replaced while other threads use the old one."""

    def __init__(self, count: int):
        self.count = count
        self.pool: ThreadPoolExecutor | None = None
        self.lock = threading.Lock()
        self.local = threading.local()

    def resize(self, count: int) -> None:
        with self.lock:
            old, self.pool, self.count = self.pool, None, count
        if old is not None:
            old.shutdown(wait=False)

    def started(self) -> ThreadPoolExecutor:
        with self.lock:
            if self.pool is None:
                # The caller works too, so one thread fewer is enough.
                self.pool = ThreadPoolExecutor(self.count - 1, "render", initializer=self._mark)
            return self.pool

    def _mark(self) -> None:
        self.local.busy = True

    def inside(self) -> bool:
        return getattr(self.local, "busy", False)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_WORKERS = _Workers(_usable_cores())


def set_threads(count: int) -> None:
    """Use `count` threads (at least 1) for rendering in this process; the default is every usable core.

    Results are the same for every count; gradients that many pixels share differ in their last bits.
    """
    if count < 1:
        raise InputError(f"The renderer can't run on {count} threads.", hint="Give 1 or more.")
    _WORKERS.resize(count)


def thread_count() -> int:
    """How many threads rendering uses."""
    return _WORKERS.count


def run_jobs(job: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
    """`job(*a)` for every `a`, side by side; results in order. The first exception is raised again.

    A job that calls `run_jobs` itself runs its jobs one after another: waiting for the pool inside the
    pool could wait for ever.
    """
    calls = list(arguments)
    if len(calls) <= 1 or _WORKERS.count == 1 or _WORKERS.inside():
        return [job(*call) for call in calls]
    results: list[Any] = [None] * len(calls)
    todo = iter(range(len(calls)))  # shared: `next` is atomic, so each call is taken once

    def work() -> None:
        for index in todo:
            results[index] = job(*calls[index])

    pool = _WORKERS.started()
    futures = [pool.submit(work) for _ in range(min(_WORKERS.count, len(calls)) - 1)]
    try:
        work()
    finally:
        # Jobs write into the caller's arrays: none may still run when the caller goes on.
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error
    return results


def split_range(count: int) -> list[tuple[int, int]]:
    """[0, count) cut into one (first, last) range a thread; fewer if `count` is small, one if it is 0."""
    # Below 1024 points a hand-over costs more than it saves.
    parts = max(1, min(_WORKERS.count, count // 1024))
    cuts = [count * i // parts for i in range(parts + 1)]
    return list(itertools.pairwise(cuts))


def view_bands(views: int, rows: int) -> list[tuple[int, int, int]]:
    """(view, first row, last row) jobs: whole views if there are enough of them, else bands of rows."""
    bands = min(rows, -(-_WORKERS.count // max(views, 1)))
    cuts = [rows * i // bands for i in range(bands + 1)]
    return [(view, cuts[b], cuts[b + 1]) for view in range(views) for b in range(bands)]
