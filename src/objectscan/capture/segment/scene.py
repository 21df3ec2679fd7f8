"""What the solved cameras say about where the object is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from objectscan.capture.orientation import meeting_point
from objectscan.capture.photoset import PhotoSet, SolvedCameras
from objectscan.capture.segment.boxes import camera_distance, object_points
from objectscan.capture.segment.projection import PhotoCamera, cameras_of

_POINTS_MARGIN = 0.6
"""The object may reach this share of its points' extent beyond them."""
_BLIND_REACH = 0.6
"""Without points: half the side of the cube about the meeting point, as a share of the camera distance."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Cameras by photo name, points on the object, the plane it stands on and a box that surely holds it."""

    cameras: Mapping[str, PhotoCamera]
    points: Float[np.ndarray, "P 3"]
    """Most probably on the object; empty if there are too few."""
    support_plane: Float[np.ndarray, " 4"] | None
    bounds: Float[np.ndarray, "2 3"]
    """(min, max), world frame."""


def scene_of(photos: PhotoSet, solved: SolvedCameras | None) -> Scene | None:
    """The scene, or None if fewer than three photos have a camera: then nothing can be compared.

    Raises:
        BadCameras: A lens can't belong to its photo.
    """
    cameras = {} if solved is None else cameras_of(photos.photos, solved)
    if solved is None or len(cameras) < 3:
        return None
    found = object_points(solved)
    if len(found.points):
        low, high = np.percentile(found.points, (1, 99), axis=0)
        reach = _POINTS_MARGIN * float((high - low).max())
        bounds = np.stack([low - reach, high + reach])
    else:
        centre = meeting_point(list(solved.world_from_camera.values()))
        reach = _BLIND_REACH * camera_distance(solved)
        bounds = np.stack([centre - reach, centre + reach])
    return Scene(cameras, found.points, found.support_plane, bounds)
