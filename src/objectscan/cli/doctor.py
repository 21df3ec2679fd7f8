"""`objectscan doctor`: facts about this machine, and what to do about those that are in the way."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from objectscan.cli.output import Output
from objectscan.cli.setup import machine_settings
from objectscan.errors import ResourceError
from objectscan.memory import free_memory_bytes

_PACKAGES = ("torch", "numba", "numpy", "scipy", "opencv-python-headless", "pillow", "xatlas", "manifold3d")
_NEEDED_BYTES = 3e9
_NEEDED_DISK_BYTES = 1e9

Fact = tuple[str, str, bool, str]
"""(name, value, in order, advice)."""


def examine(output: Output) -> None:
    """Tell every fact; raise at the end if one is in the way."""
    facts = [_guarded(question) for question in (_python, _packages, _processor, _memory, _disk, _kernel_cache, _gpu)]
    for name, value, in_order, advice in facts:
        mark = "ok " if in_order else "!! "
        text = f"{mark}{name}: {value}" + ("" if in_order else f"\n     {advice}")
        output.event("fact", {"name": name, "value": value, "ok": in_order, "advice": advice}, text)
    wrong = [name for name, _, in_order, _ in facts if not in_order]
    if wrong:
        raise ResourceError(f"Not in order: {', '.join(wrong)}.", hint="Follow the advice above and try again.")


def _guarded(question: Callable[[], Fact]) -> Fact:
    try:
        return question()
    except Exception as problem:  # a broken driver or package may raise anything: that is the answer
        return question.__name__.strip("_"), f"{type(problem).__name__}: {problem}", False, "Reinstall: make setup."


def _python() -> Fact:
    return "Python", platform.python_version(), sys.version_info[:2] in ((3, 11), (3, 12)), "Use Python 3.11 or 3.12."


def _packages() -> Fact:
    missing, found = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    return "packages", ", ".join(found), not missing, f"Missing: {', '.join(missing)}. Run `make setup`."


def _processor() -> Fact:
    threads = machine_settings().threads
    return "processor", f"{os.cpu_count()} cores, {threads} threads used", threads >= 1, ""


def _memory() -> Fact:
    free = free_memory_bytes()
    return "memory", f"{free / 1e9:.1f} GB free", free >= _NEEDED_BYTES, "3 GB are needed for the standard preset."


def _disk() -> Fact:
    free = shutil.disk_usage(Path.cwd()).free
    return "disk", f"{free / 1e9:.1f} GB free here", free >= _NEEDED_DISK_BYTES, "1 GB is needed for a job."


def _kernel_cache() -> Fact:
    folder = Path(os.environ.get("NUMBA_CACHE_DIR", Path(__file__).parent.parent))
    folder.mkdir(parents=True, exist_ok=True)
    advice = "Set NUMBA_CACHE_DIR to a folder that can be written: else kernels compile anew for every job (20 s)."
    return "kernel cache", str(folder), os.access(folder, os.W_OK), advice


def _gpu() -> Fact:
    import torch

    if not torch.cuda.is_available():
        return "GPU", "none used: this version computes on the processor", True, ""
    return "GPU", f"{torch.cuda.get_device_name(0)}, not used by this version", True, ""
