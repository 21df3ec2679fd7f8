"""How much memory there is, asked before a job starts instead of found out when it is killed."""

from __future__ import annotations

from pathlib import Path

import psutil

from objectscan.errors import NotEnoughMemory

_CGROUP = Path("/sys/fs/cgroup")


def free_memory_bytes() -> int:
    """Memory that this process can still take: the machine's, or its container's if that is less."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return free if limit == "max" else max(0, min(free, int(limit) - used))


def require_memory(estimate_bytes: int, *, free_bytes: int, share: float) -> None:
    """Refuse a job that is not going to fit.

    Raises:
        NotEnoughMemory: States both numbers.
    """
    if estimate_bytes > share * free_bytes:
        raise NotEnoughMemory(
            f"About {estimate_bytes / 1e9:.1f} GB of memory are needed and {free_bytes / 1e9:.1f} GB are free.",
            hint="Use a smaller preset or fewer photos, or close other programs.",
            details={"needed_bytes": estimate_bytes, "free_bytes": free_bytes},
        )
