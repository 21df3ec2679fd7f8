"""How much memory there is, asked before the work begins instead of found out when the process is killed."""

from __future__ import annotations

from pathlib import Path

import psutil

from objectscan.errors import NotEnoughMemory

_UNLIMITED_BYTES = 1 << 60
"""Version 1 of the kernel's control groups states a huge number where there is no limit."""


def free_memory_bytes(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that this process can still take: the machine's, or its container's if that is less.

    Args:
        root: Where the kernel shows the container's control group, version 1 or 2. File cache that the
            kernel can drop at once counts as free.
    """
    free = int(psutil.virtual_memory().available)
    for limit, used, statistics, cache in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat",
         "total_inactive_file"),
    ):  # fmt: skip
        most = _number(root / limit)
        taken = _number(root / used)
        if most is not None and taken is not None and most < _UNLIMITED_BYTES:
            free = min(free, most - taken + _statistic(root / statistics, cache))
    return max(free, 0)


def require_memory(estimate_bytes: int, *, free_bytes: int, share: float) -> None:
    """Refuse work that is not going to fit.

    Raises:
        NotEnoughMemory: States both numbers.
    """
    if estimate_bytes > share * free_bytes:
        raise NotEnoughMemory(
            f"About {estimate_bytes / 1e9:.1f} GB of memory are needed, and {share:.0%} of the "
            f"{free_bytes / 1e9:.1f} GB that are free may be used.",
            hint="Use a smaller preset or fewer photos, close programs, or raise OBJECTSCAN_MEMORY_SHARE.",
            details={"needed_bytes": estimate_bytes, "free_bytes": free_bytes, "share": share},
        )


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _statistic(path: Path, name: str) -> int:
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return 0
    return next((int(words[1]) for words in lines if len(words) == 2 and words[0] == name), 0)
