"""Where pictures of a finished model are taken: a neutral studio light, and cameras that frame the object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from objectscan.render.cubemap import texel_directions
from objectscan.types import Camera, Environment, Mesh

_FIELD_OF_VIEW_RAD = np.deg2rad(
    28.0
)  # about an 85 mm lens: what product photographers use, little distortion
_MARGIN = 0.90  # share of the picture's half-width that the object may fill

# (direction towards the lamp in the delivered frame, radiance, sharpness of the lobe exp(s (cos - 1)))
_LAMPS = (
    ((-0.55, 0.75, 0.65), 6.5, 9.0),  # key, front left above
    ((0.90, 0.25, 0.45), 1.0, 5.0),  # fill, right
    ((0.30, 0.65, -0.85), 4.0, 14.0),  # rim, behind
)
_SKY, _HORIZON, _FLOOR = 0.60, 0.38, 0.16


def studio_environment(
    delivered_from_world: Float[np.ndarray, "4 4"],
    *,
    azimuth_rad: float = 0.0,
    exposure: float = 1.0,
    edge: int = 32,
) -> Environment:
    """Three soft lamps in a grey room, upright in the delivered frame, given in the world frame.

    `azimuth_rad` turns the room with a camera of `orbit_cameras`: the object turns, the lamps stay.
    `exposure` multiplies all light.
    """
    cosine, sine = np.cos(azimuth_rad), np.sin(azimuth_rad)
    room_from_delivered = np.array([[cosine, 0.0, -sine], [0.0, 1.0, 0.0], [sine, 0.0, cosine]])
    directions = texel_directions(edge) @ (room_from_delivered @ delivered_from_world[:3, :3]).T
    height = directions[..., 1]
    room = np.where(
        height > 0.0, _HORIZON + (_SKY - _HORIZON) * height, _HORIZON + (_HORIZON - _FLOOR) * height
    )
    for towards, radiance, sharpness in _LAMPS:
        lamp = np.asarray(towards) / np.linalg.norm(towards)
        room = room + radiance * np.exp(sharpness * (directions @ lamp - 1.0))
    return Environment(np.repeat(exposure * room[..., None], 3, axis=-1).astype(np.float32))


def orbit_cameras(
    mesh: Mesh,
    delivered_from_world: Float[np.ndarray, "4 4"],
    azimuths_rad: Sequence[float],
    *,
    elevation_rad: float = np.deg2rad(20.0),
    size: tuple[int, int] = (512, 512),
) -> tuple[Camera, ...]:
    """Cameras on a circle around the object, upright in the delivered frame, at the distance that fits it.

    Args:
        mesh: The object, world frame.
        delivered_from_world: Rotation to the Y-up frame of delivered files; its +Z is the front.
        azimuths_rad: Angle around the vertical from the front; positive moves the camera to its right, +X.
        elevation_rad: Angle above the horizon.
        size: (width, height) in pixels.
    """
    points = mesh.vertices.astype(np.float64) @ delivered_from_world[:3, :3].T
    centre = (points.min(0) + points.max(0)) / 2.0
    half = np.tan(_FIELD_OF_VIEW_RAD / 2.0)
    tangents = half * np.array(size) / min(size) * _MARGIN
    rotations = [_camera_axes(azimuth, elevation_rad) for azimuth in azimuths_rad]
    distance = max(_fitting_distance((points - centre) @ axes.T, tangents) for axes in rotations)
    focal_px = min(size) / 2.0 / half
    intrinsics = np.array([[focal_px, 0.0, size[0] / 2.0], [0.0, focal_px, size[1] / 2.0], [0.0, 0.0, 1.0]])
    cameras = []
    for axes in rotations:
        delivered_from_camera = np.eye(4)
        delivered_from_camera[:3, :3] = axes.T
        delivered_from_camera[:3, 3] = centre - distance * axes[2]
        rotation_only = np.eye(4)
        rotation_only[:3, :3] = delivered_from_world[:3, :3]
        cameras.append(Camera(intrinsics, rotation_only.T @ delivered_from_camera, size))
    return tuple(cameras)


def _camera_axes(azimuth_rad: float, elevation_rad: float) -> Float[np.ndarray, "3 3"]:
    """Rows: the camera's x (right), y (down) and z (forward) in the delivered frame."""
    outward = np.array(
        [
            np.sin(azimuth_rad) * np.cos(elevation_rad),
            np.sin(elevation_rad),
            np.cos(azimuth_rad) * np.cos(elevation_rad),
        ]
    )
    right = np.array([np.cos(azimuth_rad), 0.0, -np.sin(azimuth_rad)])
    return np.stack([right, np.cross(-outward, right), -outward])


def _fitting_distance(in_camera: Float[np.ndarray, "V 3"], tangents: Float[np.ndarray, "xy=2"]) -> float:
    """Least distance from the centre at which |x| <= tangent * z holds for all points, on both axes."""
    needed = np.abs(in_camera[:, :2]) / tangents - in_camera[:, 2:3]
    return float(needed.max())
