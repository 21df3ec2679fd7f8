"""Where in each photo the network should look: networks find an object far better that fills their picture.

On 30 photos of a bottle on a printed mat u2netp reaches an IoU of 0.74 on whole photos and 0.98 on crops.
The crop comes from the sparse points of the camera solve: those near the point that all cameras look at and
above the plane that the object stands on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from objectscan.capture.orientation import camera_up, meeting_point
from objectscan.capture.photoset import SolvedCameras
from objectscan.capture.segment.projection import PhotoCamera
from objectscan.errors import InputError

INSIDE = 128
"""From this value on a pixel counts as object where a yes or no is needed."""
_NEAR = 0.6
"""Points within this share of the mean camera distance from the meeting point belong to the scene."""
_PLANE_TOLERANCE = 0.01
"""Distance from the plane that still is on it, and the step of all following lengths: camera distances."""
_ABOVE_PLANE = 0.02
_BESIDE_CENTRE = 0.25
_PLANE_SHARE = 0.3
"""Share of the near points which a support plane must hold; else there is none."""
_PLANE_TRIES = 500
_MOST_TILT = np.cos(np.radians(50))
_LEAST_POINTS = 30
_PERCENTILES = (2.0, 98.0)
_LEAST_SIDE_PX = 60

FourShares = tuple[float, float, float, float]
"""(left, top, right, bottom) as shares of a photo's width and height."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels; right and bottom are excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.right - self.left, self.bottom - self.top

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return self.size[0] * self.size[1]

    @property
    def rows_columns(self) -> tuple[slice, slice]:
        """For indexing an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class ObjectPoints:
    """Sparse points that most probably lie on the object."""

    points: Float[np.ndarray, "P 3"]
    """World frame."""
    support_plane: Float[np.ndarray, " 4"] | None
    """Unit normal towards the object and offset; None if the object stands on nothing that was seen."""


def object_points(solved: SolvedCameras) -> ObjectPoints:
    """Points of the object among the sparse points; `points` is empty if there are fewer than 30.

    Cost: milliseconds. Deterministic.
    """
    cameras = list(solved.world_from_camera.values())
    centre = meeting_point(cameras)
    reach = camera_distance(solved)
    near = solved.points[np.linalg.norm(solved.points - centre, axis=1) < _NEAR * reach]
    plane = solved.support_plane
    if plane is None:
        plane = _support_plane(near, camera_up(cameras), _PLANE_TOLERANCE * reach)
    chosen = near[np.linalg.norm(near - centre, axis=1) < _NEAR * reach]
    if plane is not None:
        normal, offset = plane[:3], plane[3]
        heights = chosen @ normal + offset
        beside = chosen - centre
        beside = beside - np.outer(beside @ normal, normal)
        keep = (heights > _ABOVE_PLANE * reach) & (np.linalg.norm(beside, axis=1) < _BESIDE_CENTRE * reach)
        chosen = chosen[keep]
    if len(chosen) < _LEAST_POINTS:
        chosen = np.zeros((0, 3))
    return ObjectPoints(chosen, plane)


def camera_distance(solved: SolvedCameras) -> float:
    """Mean distance of the cameras from the point where their axes meet; world units."""
    cameras = list(solved.world_from_camera.values())
    centre = meeting_point(cameras)
    return float(np.mean([np.linalg.norm(camera[:3, 3] - centre) for camera in cameras]))


def box_of_points(points: Float[np.ndarray, "P 3"], camera: PhotoCamera, margin: float) -> Box | None:
    """The 2nd to 98th percentile of the points' pixels, `margin` times as large; None if none is in sight.

    Args:
        points: Of the object, world frame.
        camera: The photo's.
        margin: Factor on both sides' lengths.
    """
    pixels, _ = camera.project(points)
    pixels = pixels[np.isfinite(pixels).all(axis=1)]
    if len(pixels) < _LEAST_POINTS:
        return None
    low, high = np.percentile(pixels, _PERCENTILES, axis=0)
    return box_around(low, high, camera.size, margin)


def box_of_mask(mask: UInt8[np.ndarray, "H W"], margin: float) -> Box | None:
    """The box around a mask's object pixels, `margin` times as large; None if there are none."""
    rows, columns = np.nonzero(mask >= INSIDE)
    if not len(rows):
        return None
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max() + 1, rows.max() + 1])
    return box_around(low, high, (mask.shape[1], mask.shape[0]), margin)


def box_around(
    low: Float[np.ndarray, " 2"], high: Float[np.ndarray, " 2"], size: tuple[int, int], margin: float
) -> Box | None:
    """The rectangle from `low` to `high` (x, y), grown by `margin` about its middle and cut at the photo."""
    middle, half = (low + high) / 2, np.maximum((high - low) / 2 * margin, _LEAST_SIDE_PX / 2)
    left, top = np.clip(np.floor(middle - half), 0, size).astype(int).tolist()
    right, bottom = np.clip(np.ceil(middle + half), 0, size).astype(int).tolist()
    if right - left < 2 or bottom - top < 2:
        return None
    return Box(left, top, right, bottom)


def stated_box(shares: FourShares, size: tuple[int, int]) -> Box:
    """The user's box, (left, top, right, bottom) as shares of the photo, in pixels of a photo of `size`.

    Raises:
        InputError: The shares are not in order within [0, 1], or the box is under two pixels wide.
    """
    left, top, right, bottom = shares
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InputError(
            f"The box {left:g},{top:g},{right:g},{bottom:g} is not left,top,right,bottom within 0 to 1.",
            hint="Give shares of the photo, such as 0.2,0.1,0.8,0.95.",
        )
    width, height = size
    return Box(
        int(left * width), int(top * height), int(np.ceil(right * width)), int(np.ceil(bottom * height))
    )


def touched_sides(mask: UInt8[np.ndarray, "H W"], sides: Iterable[str] = ("left", "top", "right", "bottom")):
    """Names of the sides of a mask picture which more than two object pixels touch."""
    edges = {"left": mask[:, 0], "top": mask[0], "right": mask[:, -1], "bottom": mask[-1]}
    return tuple(side for side in sides if int((edges[side] >= INSIDE).sum()) > 2)


def _support_plane(
    points: Float[np.ndarray, "P 3"], up: Float[np.ndarray, " 3"], tolerance: float
) -> Float[np.ndarray, " 4"] | None:
    """The plane that holds most points and is level for the cameras, by RANSAC (Fischler, Bolles 1981)."""
    if len(points) < 3 * _LEAST_POINTS or np.linalg.norm(up) < 0.2:
        return None
    rng = np.random.default_rng(0)
    triples = points[rng.integers(0, len(points), (_PLANE_TRIES, 3))]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    normals = normals / np.maximum(lengths, 1e-12)[:, None]
    normals *= np.sign(normals @ up)[:, None]
    level = (lengths > 1e-12) & (normals @ up > _MOST_TILT * np.linalg.norm(up))
    if not level.any():
        return None
    normals, anchors = normals[level], triples[level, 0]
    counts = [
        int(_on_plane(points, n, -n @ a, tolerance).sum()) for n, a in zip(normals, anchors, strict=True)
    ]
    best = int(np.argmax(counts))
    if counts[best] < _PLANE_SHARE * len(points):
        return None
    held = points[_on_plane(points, normals[best], -normals[best] @ anchors[best], tolerance)]
    middle = held.mean(axis=0)
    normal = np.linalg.svd(held - middle, full_matrices=False)[2][2]
    normal = normal * np.sign(normal @ up)
    return np.append(normal, -normal @ middle)


def _on_plane(
    points: Float[np.ndarray, "P 3"], normal: Float[np.ndarray, " 3"], offset: float, tolerance: float
) -> Bool[np.ndarray, " P"]:
    return np.abs(points @ normal + offset) < tolerance
