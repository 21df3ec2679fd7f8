"""Texture coordinates: xatlas in a child process with a time limit, and a simple layout if it fails."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from objectscan.errors import UvFailed
from objectscan.mesh.grid_unwrap import grid_unwrap
from objectscan.types import Mesh, UvMap

_BLOCK_FACES = 1500
"""xatlas is super-linear in the faces of one block: 200,000 faces took 217 s whole, 9 s in blocks of this
size."""


def unwrap(mesh: Mesh, *, texture_size_px: int, timeout_s: float = 120.0) -> UvMap:
    """Lay the surface out in the unit square without overlap, with gutters for `texture_size_px`.

    xatlas may hang on a bad surface: it runs in a child process that is killed after `timeout_s`; then
    faces are put two to a cell of a grid, which always works and looks worse.

    Raises:
        UvFailed: Both failed.
    """
    layout = _unwrap_in_child(mesh, texture_size_px, timeout_s)
    layout = grid_unwrap(mesh, texture_size_px) if layout is None else layout
    if not np.isfinite(layout.coordinates).all() or len(layout.faces) != len(mesh.faces):
        raise UvFailed(
            f"No texture layout could be made for {len(mesh.faces)} faces.", hint="Try a smaller face budget."
        )
    return layout


def spatial_blocks(mesh: Mesh, block_faces: int = _BLOCK_FACES) -> list[Int64[np.ndarray, B]]:
    """Face indices in compact blocks: recursive median cuts of the face centres across their longest side."""
    centres = mesh.vertices[mesh.faces].mean(axis=1)
    pending, blocks = [np.arange(len(mesh.faces))], []
    while pending:
        block = pending.pop()
        if len(block) <= block_faces:
            blocks.append(block)
            continue
        axis = int(np.ptp(centres[block], axis=0).argmax())
        order = block[np.argsort(centres[block, axis], kind="stable")]
        pending += [order[: len(order) // 2], order[len(order) // 2 :]]
    return blocks


def _unwrap_in_child(mesh: Mesh, texture_size_px: int, timeout_s: float) -> UvMap | None:
    with tempfile.TemporaryDirectory(prefix="objectscan-uv-") as folder:
        request, answer = Path(folder) / "request.npz", Path(folder) / "answer.npz"
        np.savez(request, vertices=mesh.vertices, faces=mesh.faces, size_px=texture_size_px)
        command = [sys.executable, "-m", "objectscan.mesh.uv_worker", str(request), str(answer)]
        try:
            subprocess.run(command, check=True, timeout=timeout_s, capture_output=True)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            return None
        with np.load(answer) as arrays:
            return UvMap(arrays["coordinates"], arrays["faces"])
