"""Masks as distances: how far, in pixels, each pixel is from the outline of the object."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numba import njit

from objectscan.types import View

_EXACT_RADIUS_PX = 8
"""Up to here distances to the outline are exact; beyond, to half a pixel and 2 %. 3 ms a 512 x 512 mask."""


@dataclass(frozen=True, slots=True)
class Silhouette:
    """One view's outline as a signed distance, with the projection that reaches it."""

    distance_px: Float32[np.ndarray, "H W"]
    """Negative inside; measured between pixel centres and the outline."""
    pixels_from_world: Float[np.ndarray, "3 4"]
    """Homogeneous projection into this distance image; the third row gives the camera depth, world units."""
    focal_px: float
    """Mean of both focal lengths: a length at depth z has focal / z pixels."""
    cropped: bool
    """The object runs out of the picture, so nothing is known of what is beyond its border."""


def silhouette_of(view: View, longest_edge_px: int) -> Silhouette:
    """The outline of a masked view, shrunk by area averaging to at most `longest_edge_px`."""
    assert view.mask is not None  # `hull.carve` has refused views without a mask
    mask, (scale_x, scale_y) = _shrunk(view.mask, longest_edge_px)
    intrinsics = np.diag([scale_x, scale_y, 1.0]) @ view.camera.intrinsics
    camera_from_world = np.linalg.inv(view.camera.world_from_camera)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return Silhouette(
        outline_distance(mask),
        intrinsics @ camera_from_world[:3],
        float(np.sqrt(intrinsics[0, 0] * intrinsics[1, 1])),
        bool((border >= 127.5).any()),
    )


def outline_distance(
    mask: UInt8[np.ndarray, "H W"] | Float32[np.ndarray, "H W"],
) -> Float32[np.ndarray, "H W"]:
    """Signed distance in pixels of each pixel centre to the line where the mask is half (127.5); inside < 0.

    The line is the marching-squares polygon of the mask, so that soft edges place it between pixels: for
    box-filtered edges within 0.09 px. Without a line the distance is the image's diagonal.
    """
    level = mask.astype(np.float32) - 127.5
    inside = level >= 0
    far = float(np.hypot(*mask.shape))
    distance = np.full(mask.shape, np.float32(far))
    if inside.any() and not inside.all():
        solid = inside.astype(np.uint8)
        steps = [cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_5) for side in (solid, 1 - solid)]
        distance = np.maximum(steps[0] + steps[1] - 0.5, 0.0).astype(np.float32)
        _exact_near_outline(level, distance, _EXACT_RADIUS_PX)
    return np.where(inside, -distance, distance)


def _shrunk(mask: np.ndarray, longest_edge_px: int) -> tuple[np.ndarray, tuple[float, float]]:
    """The mask as float32 at the new size, and the factors on x and y."""
    height, width = mask.shape
    factor = min(1.0, longest_edge_px / max(width, height))
    size = max(2, round(width * factor)), max(2, round(height * factor))
    values = mask.astype(np.float32)
    if factor < 1:
        values = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
        return values, (size[0] / width, size[1] / height)
    return values, (1.0, 1.0)


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
