"""`objectscan doctor`: facts about this machine, and what to do about those that are in the way."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from objectscan.cli.machine import kernel_cache, machine_settings
from objectscan.cli.output import Output
from objectscan.errors import ResourceError
from objectscan.memory import free_memory_bytes

_PACKAGES = (
    "torch", "numba", "numpy", "scipy", "opencv-python-headless", "pillow", "pillow-heif", "scikit-image",
    "pycolmap", "onnxruntime", "xatlas", "fast-simplification", "manifold3d", "trimesh", "jinja2", "httpx",
    "safetensors",
)  # fmt: skip
_NEEDED_BYTES = 3e9
_NEEDED_DISK_BYTES = 1e9
_NEEDED_SHARED_BYTES = 64e6


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing about the machine."""

    name: str
    value: str
    ok: bool = True
    advice: str = ""
    """What to do if it is not ok."""


def run(*, output: Output) -> None:
    """Tell every fact.

    Raises:
        ResourceError: Something is in the way.
    """
    questions = (
        _python, _packages, _settings, _processor, _memory, _disk, _shared_memory, _kernel_cache,
        _torch, _gpu, _weights,
    )  # fmt: skip
    facts = [_answered(question) for question in questions]
    for fact in facts:
        text = f"{'ok ' if fact.ok else '!! '} {fact.name:<14} {fact.value}"
        output.event("fact", asdict(fact), text if fact.ok else f"{text}\n    {'':<14} {fact.advice}")
    wrong = [fact.name for fact in facts if not fact.ok]
    if wrong:
        raise ResourceError(f"Not in order: {', '.join(wrong)}.", hint="Follow the advice and ask again.")
    output.event("done", {"ok": True}, "This machine is ready.")


def _answered(question: Callable[[], Fact]) -> Fact:
    try:
        return question()
    except Exception as problem:  # a broken driver or package may raise anything: that is the answer
        name = question.__name__.strip("_").replace("_", " ")
        return Fact(name, f"{type(problem).__name__}: {problem}", False, "Install again: make setup.")


def _python() -> Fact:
    ok = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Fact(
        "python", f"{platform.python_version()} on {platform.machine()}", ok, "Use Python 3.11 or 3.12."
    )


def _packages() -> Fact:
    missing, found = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    advice = f"Missing: {', '.join(missing)}. Run `make setup`, or pip install objectscan."
    return Fact("packages", ", ".join(found), not missing, advice)


def _settings() -> Fact:
    names = sorted(name for name in os.environ if name.startswith("OBJECTSCAN_"))
    machine_settings()
    return Fact(
        "settings", ", ".join(f"{name}={os.environ[name]}" for name in names) or "all at their defaults"
    )


def _processor() -> Fact:
    return Fact("processor", f"{os.cpu_count()} cores, {machine_settings().threads} threads used")


def _memory() -> Fact:
    free_bytes = free_memory_bytes()
    advice = f"The preset standard needs about {_NEEDED_BYTES / 1e9:.0f} GB; use preview, or close programs."
    return Fact("memory", f"{free_bytes / 1e9:.1f} GB free", free_bytes >= _NEEDED_BYTES, advice)


def _disk() -> Fact:
    free_bytes = shutil.disk_usage(Path.cwd()).free
    advice = f"A job takes up to {_NEEDED_DISK_BYTES / 1e9:.0f} GB: free some space."
    return Fact("disk", f"{free_bytes / 1e9:.1f} GB free here", free_bytes >= _NEEDED_DISK_BYTES, advice)


def _shared_memory() -> Fact:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Fact("shared memory", "no /dev/shm; nothing here needs it")
    size_bytes = shutil.disk_usage(folder).total
    advice = "Start the container with --shm-size=1g: torch may need it."
    return Fact(
        "shared memory", f"/dev/shm {size_bytes / 1e6:.0f} MB", size_bytes >= _NEEDED_SHARED_BYTES, advice
    )


def _kernel_cache() -> Fact:
    folder = kernel_cache(machine_settings()) or Path(__file__).parent.parent
    advice = "Set OBJECTSCAN_CACHE_FOLDER to a folder that can be written, or each job compiles for 30 s."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return Fact("kernel cache", str(folder))
    except OSError as problem:
        return Fact("kernel cache", f"{folder}: {problem.strerror}", False, advice)


def _torch() -> Fact:
    import torch

    if float(torch.ones(2) @ torch.ones(2)) != 2.0:
        return Fact("torch", f"{torch.__version__} computes wrongly", False, "Install again: make setup.")
    return Fact(
        "torch", f"{torch.__version__}, CUDA {'usable' if torch.cuda.is_available() else 'not usable'}"
    )


def _gpu() -> Fact:
    """What the driver says; without a GPU the processor computes, so nothing here is in the way."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Fact("gpu", "no NVIDIA driver; none is needed")
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as problem:
        return Fact("gpu", f"the NVIDIA driver does not answer ({type(problem).__name__}); none is needed")
    return Fact("gpu", f"{'; '.join(answer.strip().splitlines())}")


def _weights() -> Fact:
    """Which collections of the generative engine are here; it is optional, so nothing is in the way."""
    from objectscan.engines.reconviagen.catalogue import collections_here
    from objectscan.weights.folder import models_folder

    root = models_folder(machine_settings(), os.environ)
    complete = ", ".join(collection.name for collection in collections_here(root))
    return Fact("weights", f"{complete or 'none; only generating from few photos needs them'} ({root})")
