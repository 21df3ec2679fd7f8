"""What a solve may cost, and how its photos are looked at."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SolveLimits:
    """Limits of one solve and the size at which photos are looked at."""

    timeout_s: float = 1200.0
    """For the whole solve, with its retries; then it is killed."""
    memory_bytes: int = 12_000_000_000
    """Address space of the child process; 0 for no limit. 30 photos map 2.5 GB, mostly unused."""
    threads: int = 0
    """0: one for each usable processor core."""
    max_edge_px: int = 1200
    """Photos are looked at with this longer side. 800, 1200 and 1600 px gave the same cameras on two sets."""
    features: int = 4096
    """Most features in one photo."""
    exhaustive_up_to: int = 60
    """Ordered sets above this many photos are matched with their neighbours and a grid for loops only."""
    min_model_size: int = 3
    """Fewest photos of a model."""

    @property
    def used_threads(self) -> int:
        """Threads to use, at least 1."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.threads or usable


DEFAULT_SOLVE_LIMITS = SolveLimits()
