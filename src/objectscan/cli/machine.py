"""What verbs need from the machine: its settings, its threads, a place for compiled kernels."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from objectscan.settings import Settings, settings_from

_KERNEL_CACHE = "NUMBA_CACHE_DIR"


def machine_settings() -> Settings:
    """Settings from the environment of this process. To be called before anything heavy is imported."""
    settings = settings_from(os.environ)
    folder = kernel_cache(settings)
    if folder is not None:
        os.environ[_KERNEL_CACHE] = str(folder)
    return settings


def kernel_cache(settings: Settings) -> Path | None:
    """Where compiled kernels are kept; None if beside the package, numba's own habit."""
    if os.environ.get(_KERNEL_CACHE):
        return Path(os.environ[_KERNEL_CACHE])
    if settings["cache_folder"]:
        return Path(str(settings["cache_folder"])).expanduser() / "kernels"
    if os.access(Path(__file__).parent.parent, os.W_OK):
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if _can_be_written(home):
        return home / "objectscan" / "kernels"
    return _private_folder(Path(tempfile.gettempdir()) / f"objectscan-kernels-{os.getuid()}")


def _private_folder(path: Path) -> Path:
    """`path` if it is, or can be made, a folder that only we can write; else a new one for this process.

    Everybody can guess the name, and numba unpickles what it finds there: it must not be somebody else's.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        facts = path.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="objectscan-kernels-"))
    is_ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o077
    return path if is_ours else Path(tempfile.mkdtemp(prefix="objectscan-kernels-"))


def _can_be_written(folder: Path) -> bool:
    """Whether the folder, or the nearest of its parents that exists, can be written."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(existing, os.W_OK)


def use_threads(settings: Settings, threads: int | None = None) -> None:
    """Let the renderer use all threads, torch one.

    torch's own threads spin against the renderer's: a step took 357 ms with both, 39 ms with torch at 1.
    """
    import torch

    from objectscan.render import set_threads

    torch.set_num_threads(1)
    set_threads(settings.threads if threads is None else threads)
