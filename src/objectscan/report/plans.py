"""The cameras around the model as two drawings, from above and from the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from objectscan.mesh.visibility import surface_samples
from objectscan.report.photos import PhotoCamera, PhotoRow, Status
from objectscan.types import Mesh

_MARGIN = 0.07
_LEAST_ASPECT, _MOST_ASPECT = 0.45, 1.2
"""Height over width of a drawing: room for a card over it, and a page that needs no scrolling."""
_LOOK = 0.05
"""Length of the stroke that shows where a camera looks, as a share of the width."""
_CELLS = 160
"""Along the longer side of the model's shape."""
_LEAST_CELLS = 25


@dataclass(frozen=True, slots=True)
class Mark:
    """One camera in a drawing, in its units."""

    number: int
    status: Status
    x: float
    y: float
    look_x: float
    """End of the stroke that shows where it looks."""
    look_y: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One drawing: 100 units wide, y down."""

    title: str
    height: float
    shape: str
    """SVG path of the model's outline."""
    marks: tuple[Mark, ...]
    """Those that are nearer come later."""


@dataclass(frozen=True, slots=True)
class _Direction:
    title: str
    right: Float[np.ndarray, " 3"]
    """Delivered axes that point right, down and towards the eye in the drawing."""
    down: Float[np.ndarray, " 3"]
    near: Float[np.ndarray, " 3"]


_DIRECTIONS = (
    _Direction("From above, front at the bottom", *np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])),
    _Direction("From the front", *np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, 1]])),
)


def camera_plans(
    rows: Sequence[PhotoRow], mesh: Mesh, delivered_from_world: Float[np.ndarray, "4 4"]
) -> tuple[Plan, ...]:
    """Two drawings; none if no camera is known."""
    placed = [(row, row.camera) for row in rows if row.camera is not None]
    if not placed:
        return ()
    samples = surface_samples(mesh, 30_000).points @ delivered_from_world[:3, :3].T
    samples = samples + delivered_from_world[:3, 3]
    return tuple(_plan(direction, placed, samples) for direction in _DIRECTIONS)


def _plan(
    direction: _Direction, placed: Sequence[tuple[PhotoRow, PhotoCamera]], samples: Float[np.ndarray, "S 3"]
) -> Plan:
    axes = np.stack([direction.right, direction.down])
    centres = np.array([camera.position for _, camera in placed])
    looks = np.array([camera.forward for _, camera in placed]) @ axes.T
    depth = centres @ direction.near
    flat, shape = centres @ axes.T, samples @ axes.T
    everything = np.concatenate([flat, shape])
    low, extent = everything.min(0), np.maximum(np.ptp(everything, axis=0), 1e-9)
    unit = max(extent[0], extent[1] / _MOST_ASPECT) / (100.0 * (1.0 - 2.0 * _MARGIN))
    height = float(np.clip(extent[1] / unit + 200.0 * _MARGIN, 100.0 * _LEAST_ASPECT, 100.0 * _MOST_ASPECT))
    shift = np.array([100.0, height]) / 2.0 - (low + extent / 2.0) / unit
    places = flat / unit + shift
    ends = places + 100.0 * _LOOK * looks
    marks = tuple(
        Mark(placed[k][0].number, placed[k][0].status, *places[k].tolist(), *ends[k].tolist())
        for k in np.argsort(depth, kind="stable")
    )
    return Plan(direction.title, height, _shape_path(shape / unit + shift), marks)


def _shape_path(points: Float[np.ndarray, "S 2"]) -> str:
    """Outline of a cloud of points: cells that hold some; small gaps between samples are no holes."""
    low, extent = points.min(0), max(float(np.ptp(points, axis=0).max()), 1e-9)
    cell = extent / _CELLS
    border = 4
    cells = np.zeros((_CELLS + 2 * border + 1, _CELLS + 2 * border + 1), np.uint8)
    columns, rows = ((points - low) / cell).astype(int).T + border
    cells[rows, columns] = 1
    filled = cv2.morphologyEx(cells, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    contours, _ = cv2.findContours(filled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    large = [contour for contour in contours if cv2.contourArea(contour) >= _LEAST_CELLS]
    corners = [cv2.approxPolyDP(contour, 0.8, True)[:, 0] for contour in large]
    places = [(one - border + 0.5) * cell + low for one in corners if len(one) >= 3]
    return "".join("M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in one.tolist()) + "Z" for one in places)
