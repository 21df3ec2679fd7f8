"""Texture coordinates: xatlas in a child process with a time limit, and a simple layout if it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

import objectscan
from objectscan.errors import UvFailed
from objectscan.mesh.box_unwrap import box_unwrap
from objectscan.types import Finding, Mesh, UvMap

_BLOCK_FACES = 1500
"""xatlas is super-linear in the faces of a block: 200,000 took 217 s whole, 9 s in blocks of this size."""
_POLL_S = 0.2
_WORKER = "objectscan.mesh.uv_worker"


@dataclass(frozen=True, slots=True)
class Layout:
    """Texture coordinates and what to tell about them."""

    uv: UvMap
    findings: tuple[Finding, ...] = ()
    """`simple_layout` if xatlas failed."""


def unwrap(mesh: Mesh, *, texture_size_px: int, timeout_s: float = 120.0) -> UvMap:
    """`lay_out` without its findings."""
    return lay_out(mesh, texture_size_px=texture_size_px, timeout_s=timeout_s).uv


def lay_out(
    mesh: Mesh,
    *,
    texture_size_px: int,
    timeout_s: float = 120.0,
    while_waiting: Callable[[], None] = lambda: None,
) -> Layout:
    """Lay the surface out in the unit square without overlap, with gutters for `texture_size_px`.

    Texels are square: u and v have one scale. xatlas may hang or crash on a bad surface, so it runs in a
    child process that is killed after `timeout_s`; then `box_unwrap` does it, with more and smaller charts.
    10,000 faces take about a second, 200,000 about ten.

    Args:
        mesh: Simplified; at least one face, finite vertices. The layout has one row of corners for each face.
        texture_size_px: Edge of the square texture that the gutters are meant for.
        timeout_s: How long xatlas may take.
        while_waiting: Called about five times a second; whatever it raises stops the child and passes
        through.

    Raises:
        UvFailed: No layout could be made.
    """
    broken = int((~np.isfinite(mesh.vertices)).any(axis=1).sum())
    if not len(mesh.faces) or broken:
        raise UvFailed(
            f"A mesh of {len(mesh.faces)} faces and {broken} non-finite vertices has no texture layout.",
            hint="Check the step that made it.",
        )
    answer, reason = _xatlas_in_child(mesh, texture_size_px, timeout_s, while_waiting)
    if answer is not None:
        return Layout(answer)
    simple = box_unwrap(mesh, texture_size_px)
    if not _is_usable(simple, mesh):
        raise UvFailed(f"No texture layout of {len(mesh.faces)} faces could be made ({reason}).")
    return Layout(simple, (_simple_layout(reason),))


def spatial_blocks(mesh: Mesh, block_faces: int = _BLOCK_FACES) -> list[Int64[np.ndarray, " B"]]:
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


def _xatlas_in_child(
    mesh: Mesh, texture_size_px: int, timeout_s: float, while_waiting: Callable[[], None]
) -> tuple[UvMap | None, str]:
    """(layout, ""), or (None, why there is none)."""
    with tempfile.TemporaryDirectory(prefix="objectscan-uv-") as folder:
        request, answer = Path(folder) / "request.npz", Path(folder) / "answer.npz"
        np.savez(request, vertices=mesh.vertices, faces=mesh.faces, size_px=texture_size_px)
        try:
            status = _run_child([str(request), str(answer)], timeout_s, while_waiting)
        except subprocess.TimeoutExpired:
            return None, f"xatlas took more than {timeout_s:.0f} s"
        if status != 0 or not answer.exists():
            return None, f"xatlas stopped with status {status}"
        with np.load(answer) as arrays:
            layout = UvMap(arrays["coordinates"], arrays["faces"])
    return (layout, "") if _is_usable(layout, mesh) else (None, "xatlas gave an unusable layout")


def _run_child(arguments: list[str], timeout_s: float, while_waiting: Callable[[], None]) -> int:
    """Exit status of the worker. The child never outlives this call."""
    source = str(Path(objectscan.__file__).resolve().parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    deadline_s = time.monotonic() + timeout_s
    with subprocess.Popen(
        [sys.executable, "-m", _WORKER, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        try:
            while True:
                while_waiting()
                left_s = deadline_s - time.monotonic()
                try:
                    return child.wait(timeout=max(min(_POLL_S, left_s), 0.0))
                except subprocess.TimeoutExpired:
                    if left_s <= _POLL_S:
                        raise
        finally:
            child.kill()


def _is_usable(layout: UvMap, mesh: Mesh) -> bool:
    return (
        layout.faces.shape == mesh.faces.shape
        and len(layout.coordinates) > 0
        and bool(np.isfinite(layout.coordinates).all())
        and layout.coordinates.min() >= 0
        and layout.coordinates.max() <= 1
        and layout.faces.min() >= 0
        and layout.faces.max() < len(layout.coordinates)
    )


def _simple_layout(reason: str) -> Finding:
    return Finding(
        code="simple_layout",
        severity="warning",
        message=f"The texture is laid out in more and smaller pieces than usual: {reason}. "
        "Expect more seams; a smaller face budget may help.",
    )
