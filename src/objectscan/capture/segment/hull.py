"""The visual hull of all masks by votes: what most photos agree is object, for checking each mask.

A coarse hull re-projected is no mask (it costs 5 to 15 points of IoU), but it shows what a single mask added
or left out. Votes instead of strict carving (Laurentini 1994), so that a few bad masks don't destroy it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int16, UInt8
from scipy.spatial import cKDTree

from objectscan.capture.segment.boxes import INSIDE
from objectscan.capture.segment.projection import PhotoCamera

_COARSE_CELLS = 48
_FINE_CELLS = 112
"""Cells along the longest side; one is 2.5 pixels of a 300 pixel object."""
_LEAST_VIEWS = 3
_SEEN_BY = 0.3
"""Share of the photos which must show a cell before it can be object."""


@dataclass(frozen=True, slots=True)
class SmallMask:
    """A mask reduced for voting."""

    mask: UInt8[np.ndarray, "H W"]
    scale: float
    """Pixels of `mask` per pixel of the photo."""

    def at_size(self, size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
        """Enlarged to (width, height)."""
        return np.asarray(cv2.resize(self.mask, size, interpolation=cv2.INTER_LINEAR), np.uint8)


@dataclass(frozen=True, slots=True)
class VoteGrid:
    """For each cell centre how many photos show it and how many of them show background there."""

    points: Float[np.ndarray, "P 3"]
    """World frame."""
    seen: Int16[np.ndarray, " P"]
    against: Int16[np.ndarray, " P"]
    spacing: float
    """World units."""
    photos: int
    """How many voted."""

    def inside(self, outvoted: float) -> Bool[np.ndarray, " P"]:
        """Cells which at most the share `outvoted` of the photos that show them call background."""
        return self._seen_enough() & (self.against <= outvoted * self.seen)

    def inside_for_others(self, small: SmallMask, camera: PhotoCamera, most: int) -> Bool[np.ndarray, " P"]:
        """Cells that at most `most` photos other than the given one, which voted too, call background."""
        shown, is_object = _one_vote(small, camera, self.points)
        return self._seen_enough() & (self.against - (shown & ~is_object) <= most)

    def _seen_enough(self) -> Bool[np.ndarray, " P"]:
        return self.seen >= max(_LEAST_VIEWS, _SEEN_BY * self.photos)


def reduced_mask(mask: UInt8[np.ndarray, "H W"], max_edge_px: int = 512) -> SmallMask:
    """A mask at a longer side of at most `max_edge_px`."""
    scale = min(1.0, max_edge_px / max(mask.shape))
    if scale == 1.0:
        return SmallMask(mask, 1.0)
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    return SmallMask(np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8), scale)


def vote(
    masks: Mapping[str, SmallMask],
    cameras: Mapping[str, PhotoCamera],
    bounds: Float[np.ndarray, "2 3"],
    *,
    outvoted: float,
    support_plane: Float[np.ndarray, " 4"] | None = None,
) -> VoteGrid | None:
    """Votes of all masks on a grid that fits the hull closely; None if no cell is inside.

    Args:
        masks: By photo name.
        cameras: By photo name; photos without one take no part.
        bounds: Box (min, max) that surely holds the object, world frame.
        outvoted: Share of the photos which may wrongly call a cell background.
        support_plane: Cells below it can't be object.
    """
    coarse = _votes(masks, cameras, _grid(bounds, _COARSE_CELLS), support_plane)
    inside = coarse.points[coarse.inside(outvoted)]
    if not len(inside):
        return None
    reach = 2 * coarse.spacing
    bounds = np.stack([inside.min(axis=0) - reach, inside.max(axis=0) + reach])
    points, spacing = _grid(bounds, _FINE_CELLS)
    # Most cells of a box round an object are far from it.
    near = cKDTree(inside).query(points, distance_upper_bound=reach)[0] < np.inf
    return _votes(masks, cameras, (points[near], spacing), support_plane)


def silhouette(
    points: Float[np.ndarray, "P 3"], spacing: float, camera: PhotoCamera
) -> UInt8[np.ndarray, "H W"]:
    """The outline of hull cells in a photo, at the photo's size; 0 or 255 but for the edge.

    Cells are drawn as dots on a picture so small that neighbours touch, which is then enlarged: exact to
    about half a cell.
    """
    width, height = camera.size
    pixels, depth = camera.project(points)
    seen = np.isfinite(pixels).all(axis=1)
    if not seen.any():
        return np.zeros((height, width), np.uint8)
    cell_px = spacing * float(camera.intrinsics[0, 0]) / float(np.median(depth[seen]))
    scale = min(1.0, 1 / cell_px)
    small = np.zeros((max(1, round(height * scale)), max(1, round(width * scale))), np.uint8)
    factor = np.array([small.shape[1] / width, small.shape[0] / height])
    columns, rows = np.floor(pixels[seen] * factor).astype(int).T
    in_photo = (columns >= 0) & (columns < small.shape[1]) & (rows >= 0) & (rows < small.shape[0])
    small[rows[in_photo], columns[in_photo]] = 255
    # Nearer cells are up to twice as far apart as the median ones: close the gaps between their dots.
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.resize(closed, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _grid(bounds: Float[np.ndarray, "2 3"], cells: int) -> tuple[Float[np.ndarray, "P 3"], float]:
    """Cell centres of a box, `cells` along its longest side, and their spacing."""
    spacing = float((bounds[1] - bounds[0]).max()) / cells
    axes = [np.arange(low + spacing / 2, high, spacing) for low, high in bounds.T]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3), spacing


def _votes(
    masks: Mapping[str, SmallMask],
    cameras: Mapping[str, PhotoCamera],
    grid: tuple[Float[np.ndarray, "P 3"], float],
    support_plane: Float[np.ndarray, " 4"] | None,
) -> VoteGrid:
    points, spacing = grid
    if support_plane is not None:
        points = points[points @ support_plane[:3] + support_plane[3] > 0]
    seen, against = np.zeros(len(points), np.int16), np.zeros(len(points), np.int16)
    voters = [name for name in masks if name in cameras]
    for name in voters:
        shown, is_object = _one_vote(masks[name], cameras[name], points)
        seen += shown
        against += shown & ~is_object
    return VoteGrid(points, seen, against, spacing, len(voters))


def _one_vote(
    small: SmallMask, camera: PhotoCamera, points: Float[np.ndarray, "P 3"]
) -> tuple[Bool[np.ndarray, " P"], Bool[np.ndarray, " P"]]:
    """Which points the photo shows, and which of all it shows as object."""
    pixels, _ = camera.project(points)
    height, width = small.mask.shape
    with np.errstate(invalid="ignore"):
        columns, rows = np.floor(pixels * small.scale).T
        shown = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    is_object = np.zeros(len(points), bool)
    at = rows[shown].astype(int), columns[shown].astype(int)
    is_object[shown] = small.mask[at] >= INSIDE
    return shown, is_object
