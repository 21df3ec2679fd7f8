"""The frame of a solved capture: +z up, the object at the origin, size about 1.

Structure from motion knows neither up nor size. Up is the normal of the plane that most points near the
object lie on, as far as it agrees with the photos' own up; without such a plane it is the photos' up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from objectscan.capture.orientation import camera_up, meeting_point
from objectscan.capture.solve.evidence import SparseModel
from objectscan.capture.solve.geometry import camera_distance, dominant_plane, world_from_cameras

_NEAR = 0.6
"""Of the mean camera distance: points this near to where the cameras look may belong to the support."""
_PLANE_TOLERANCE = 0.01
_ABOVE = 0.02
"""Of the mean camera distance: what is higher above the plane is the object."""
_LEAST_ON_PLANE = 0.2
"""Share of the near points that a support plane must hold."""
_LEAST_OBJECT_POINTS = 30
_RADIUS_PERCENTILE = 95.0


@dataclass(frozen=True, slots=True)
class WorldFrame:
    """new = scale * rotation @ old + shift, and what was found on the way."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    shift: Float[np.ndarray, " 3"]
    support_plane: Float[np.ndarray, " 4"] | None
    """In the new frame: unit normal towards the object, offset."""

    def points(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 3"]:
        """Points in the new frame."""
        return np.asarray(self.scale * points @ self.rotation.T + self.shift)

    def cameras(self, world_from_camera: Float[np.ndarray, "I 4 4"]) -> Float[np.ndarray, "I 4 4"]:
        """Rigid camera transforms in the new frame."""
        result = np.array(world_from_camera)
        result[:, :3, :3] = self.rotation @ world_from_camera[:, :3, :3]
        result[:, :3, 3] = self.points(world_from_camera[:, :3, 3])
        return result


def world_frame(model: SparseModel) -> WorldFrame:
    """The frame for a model: +z up, middle of the object's points at the origin, their radius 1.

    A model without points gets the cameras' up and meeting point, and their distance as scale.
    """
    cameras = list(world_from_cameras(model))
    target, distance = meeting_point(cameras), camera_distance(model)
    seen = model.points[model.track_lengths >= 3]
    near = seen[np.linalg.norm(seen - target, axis=1) < _NEAR * distance]
    up = camera_up(cameras)
    plane = _support(near, up, distance)
    normal = up / max(float(np.linalg.norm(up)), 1e-9) if plane is None else plane[:3]
    middle, radius = _object(near, plane, target, distance)
    rotation = _rotation_to_z(normal)
    scale = 1.0 / radius
    shift = -scale * rotation @ middle
    moved = None
    if plane is not None:
        offset = scale * float(plane[3] + plane[:3] @ middle)
        moved = np.r_[rotation @ plane[:3], offset]
    return WorldFrame(scale, rotation, shift, moved)


def _support(
    near: Float[np.ndarray, "P 3"], up: Float[np.ndarray, " 3"], distance: float
) -> Float[np.ndarray, " 4"] | None:
    """The plane below the object; None if the photos have no common up or too few points lie on a plane."""
    length = float(np.linalg.norm(up))
    if len(near) < _LEAST_OBJECT_POINTS or length < 0.1:
        return None
    plane, inside = dominant_plane(near, _PLANE_TOLERANCE * distance, up=up / length)
    above = near @ plane[:3] + plane[3] > _ABOVE * distance
    below = near @ plane[:3] + plane[3] < -_ABOVE * distance
    if inside.mean() < _LEAST_ON_PLANE or below.sum() > above.sum():
        return None
    return plane


def _object(
    near: Float[np.ndarray, "P 3"],
    plane: Float[np.ndarray, " 4"] | None,
    target: Float[np.ndarray, " 3"],
    distance: float,
) -> tuple[Float[np.ndarray, " 3"], float]:
    """Middle and radius of the object's points; from the cameras alone if there are too few of them."""
    points = near
    if plane is not None:
        foot = target - (plane[:3] @ target + plane[3]) * plane[:3]
        height = near @ plane[:3] + plane[3]
        sideways = np.linalg.norm(near - foot - height[:, None] * plane[:3], axis=1)
        points = near[(height > _ABOVE * distance) & (sideways < _NEAR / 2 * distance)]
    if len(points) < _LEAST_OBJECT_POINTS:
        return target, _NEAR / 2 * distance
    low, high = np.percentile(points, [2, 98], axis=0)
    middle = (low + high) / 2
    radius = float(np.percentile(np.linalg.norm(points - middle, axis=1), _RADIUS_PERCENTILE))
    return middle, max(radius, 1e-3 * distance)


def _rotation_to_z(up: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """A rotation that turns `up` to +z."""
    helper = np.eye(3)[np.abs(up).argmin()]
    right = np.cross(helper, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(up, right), up])
