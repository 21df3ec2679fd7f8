"""Machine code of the kernels: sources from the package, results kept on disk for each architecture."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from importlib import resources
from pathlib import Path

from objectscan.render.cuda.nvrtc import compile_cubin, nvrtc_version

SOURCES = (
    "adjacency",
    "cubemap",
    "interpolation",
    "lists",
    "resolve",
    "shading",
    "silhouette",
    "sparse",
    "texture",
    "visibility",
)
"""Files of `kernels/`, each compiled by itself at its first use."""


@lru_cache(maxsize=1)
def headers() -> dict[str, str]:
    """Texts of the header files, by name."""
    folder = resources.files("objectscan.render.cuda") / "kernels"
    return {
        file.name: file.read_text("utf-8")
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".cuh")
    }


def source(name: str) -> str:
    """Text of one of `SOURCES`, or of another package's: `package/name` is in its folder `kernels`."""
    package, _, stem = name.rpartition("/")
    folder = resources.files(package or "objectscan.render.cuda") / "kernels"
    return (folder / f"{stem}.cu").read_text("utf-8")


def cubin(name: str, architecture: int, *, options: Sequence[str] = ()) -> bytes:
    """Machine code of a `source`, compiled (0.3 to 1 s) or from an earlier run."""
    text, name = source(name), name.rpartition("/")[2]
    key = repr((text, sorted(headers().items()), architecture, tuple(options), nvrtc_version()))
    kept = _folder() / f"{name}.sm_{architecture}.{hashlib.sha256(key.encode()).hexdigest()[:20]}.cubin"
    try:
        return kept.read_bytes()
    except OSError:
        compiled = compile_cubin(text, f"{name}.cu", headers(), architecture, options=options)
    _keep(compiled, kept)
    return compiled


def _keep(compiled: bytes, path: Path) -> None:
    """Write beside, then rename: another process may read at any time. Not being able to costs time only."""
    beside = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.write_bytes(compiled)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()


def _folder() -> Path:
    """Beside numba's kernels: the command line puts that folder into the environment from `cache_folder`."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen) / "cuda"
    beside = Path(__file__).parent
    if os.access(beside, os.W_OK):
        return beside / "__pycache__"
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "objectscan" / "kernels" / "cuda"
    )
