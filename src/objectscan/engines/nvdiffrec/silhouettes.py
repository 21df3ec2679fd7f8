"""Masks as distances: how far, in pixels, each pixel is from the outline of the object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32
from numba import njit

from objectscan.errors import BadMasks
from objectscan.render.threads import run_jobs
from objectscan.types import View

_LONGEST_EDGE_PX = 1024
"""At most so large, 7 px a cell of the finest grid: 40 photos of 24 MP would fill 4 GB."""
_EXACT_RADIUS_PX = 8
"""Up to here distances to the outline are exact; beyond, to half a pixel and 2 %. 3 ms a 512 x 512 mask."""


@dataclass(frozen=True, slots=True)
class Silhouettes:
    """What carving needs of the photos; made once, used at every resolution."""

    distance_px: tuple[Float32[np.ndarray, "H W"], ...]
    """Signed distance to each mask's outline, positive outside; large photos are shrunk."""
    projection: Float[np.ndarray, "N 3 4"]
    """Homogeneous pixels of these distance images from world points; the third row gives the camera depth."""
    focal_px: Float[np.ndarray, " N"]
    """A length at depth z has focal / z pixels."""
    is_cut_off: tuple[bool, ...]
    """The mask touches the photo's border: the object may go on beyond it."""
    names: tuple[str, ...]


def silhouettes(views: Sequence[View]) -> Silhouettes:
    """Measure the masks of all views.

    Raises:
        BadMasks: A view has no mask, or an empty one; names the photos.
    """
    lacking = [view.name for view in views if view.mask is None or view.mask.max() < 128]
    if lacking or not views:
        raise BadMasks(
            f"{len(lacking)} of {len(views)} photos have no foreground mask: {', '.join(lacking[:5])}.",
            hint="Add an alpha channel or a `masks` folder with one mask a photo.",
            details={"photos": lacking},
        )
    masks = [_shrunk(view.mask) for view in views if view.mask is not None]
    intrinsics = np.stack([_resized(view, mask) for view, mask in zip(views, masks, strict=True)])
    camera_from_world = np.stack([np.linalg.inv(view.camera.world_from_camera)[:3] for view in views])
    return Silhouettes(
        distance_px=tuple(run_jobs(outline_distance, [(mask,) for mask in masks])),
        projection=intrinsics @ camera_from_world,
        focal_px=np.sqrt(intrinsics[:, 0, 0] * intrinsics[:, 1, 1]),
        is_cut_off=tuple(map(_touches_border, masks)),
        names=tuple(view.name for view in views),
    )


def outline_distance(mask: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Signed distance in pixels of each pixel centre to the line where the mask is half (127.5); inside < 0.

    The line is the marching-squares polygon of the mask, so that soft edges place it between pixels: for
    box-filtered edges within 0.09 px. Without a line the distance is the image's diagonal.
    """
    level = mask - np.float32(127.5)
    inside = level >= 0
    distance = np.full(mask.shape, np.float32(np.hypot(*mask.shape)))
    if inside.any() and not inside.all():
        solid = inside.astype(np.uint8)
        steps = [cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_5) for side in (solid, 1 - solid)]
        distance = np.maximum(steps[0] + steps[1] - 0.5, 0.0).astype(np.float32)
        _exact_near_outline(level, distance, _EXACT_RADIUS_PX)
    return np.where(inside, -distance, distance)


def _shrunk(mask: np.ndarray) -> Float32[np.ndarray, "H W"]:
    """The mask as float32, averaged down to the size at which outlines are measured."""
    height, width = mask.shape
    factor = _LONGEST_EDGE_PX / max(width, height)
    values: np.ndarray = mask.astype(np.float32)
    if factor >= 1:
        return values
    size = max(2, round(width * factor)), max(2, round(height * factor))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def _resized(view: View, mask: np.ndarray) -> Float[np.ndarray, "3 3"]:
    """The view's intrinsics for the shrunk mask."""
    width, height = view.camera.size
    scale = np.diag([mask.shape[1] / width, mask.shape[0] / height, 1.0])
    return np.asarray(scale @ view.camera.intrinsics)


def _touches_border(mask: np.ndarray) -> bool:
    return bool(max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) >= 127.5)


@njit(cache=True, nogil=True)
def _exact_near_outline(level, distance, radius):
    height, width = level.shape
    points = np.zeros((4, 2), np.float32)
    exact = np.full((height, width), np.float32(1e9))
    for row in range(height - 1):
        for column in range(width - 1):
            a, b = level[row, column], level[row, column + 1]
            d, c = level[row + 1, column], level[row + 1, column + 1]
            if (a >= 0) == (b >= 0) and (a >= 0) == (c >= 0) and (a >= 0) == (d >= 0):
                continue
            # Crossings in ring order: top, right, bottom, left.
            count = 0
            if (a >= 0) != (b >= 0):
                points[count, 0], points[count, 1] = column + a / (a - b), row
                count += 1
            if (b >= 0) != (c >= 0):
                points[count, 0], points[count, 1] = column + 1, row + b / (b - c)
                count += 1
            if (c >= 0) != (d >= 0):
                points[count, 0], points[count, 1] = column + d / (d - c), row + 1
                count += 1
            if (d >= 0) != (a >= 0):
                points[count, 0], points[count, 1] = column, row + a / (a - d)
                count += 1
            if count == 2:
                _lower_around(exact, row, column, points[0], points[1], radius)
            elif (a >= 0) == (a + b + c + d >= 0):
                # A saddle: a and c hang together, b and d are cut off.
                _lower_around(exact, row, column, points[0], points[1], radius)
                _lower_around(exact, row, column, points[2], points[3], radius)
            else:
                _lower_around(exact, row, column, points[3], points[0], radius)
                _lower_around(exact, row, column, points[1], points[2], radius)
    for row in range(height):
        for column in range(width):
            if exact[row, column] < radius * radius:
                distance[row, column] = np.sqrt(exact[row, column])


@njit(cache=True, nogil=True)
def _lower_around(squared, row, column, first, second, radius):
    """Lower the squared distances around a cell to those from one line segment."""
    x0, y0 = first[0], first[1]
    dx, dy = second[0] - x0, second[1] - y0
    inverse = np.float32(1.0) / max(dx * dx + dy * dy, np.float32(1e-12))
    for y in range(max(row - radius, 0), min(row + radius + 2, squared.shape[0])):
        for x in range(max(column - radius, 0), min(column + radius + 2, squared.shape[1])):
            along = min(max(((x - x0) * dx + (y - y0) * dy) * inverse, np.float32(0.0)), np.float32(1.0))
            ex, ey = x - x0 - along * dx, y - y0 - along * dy
            squared[y, x] = min(squared[y, x], ex * ex + ey * ey)
