"""A painted ball with a nose at +x, as photos and as a generated surface."""

from __future__ import annotations

import numpy as np
from tests.engines.nvdiffrec.captures import ball, camera_at, picture

from objectscan.mesh.bake import fill_gutters, surface_points, texel_coverage
from objectscan.mesh.box_unwrap import box_unwrap
from objectscan.types import Capture, Environment, Material, Mesh, Reconstruction, View

_UPRIGHT = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""delivered_from_world of a capture with Z up."""


def _shape(nose: float) -> tuple[np.ndarray, np.ndarray]:
    vertices, faces = ball(rings=40)
    bump = nose * np.exp(-12 * (1 - vertices[:, :1]))
    return (vertices * (1 + bump)).astype(np.float32), faces


def capture_of_the_object(*, nose: float = 0.6, azimuths: tuple[float, float] = (0.0, 6.0)) -> Capture:
    """Ten photos between two azimuths."""
    vertices, faces = _shape(nose)
    angles = np.linspace(*azimuths, 10)
    cameras = [camera_at(float(angle), 0.3 * (-1) ** k, 96) for k, angle in enumerate(angles)]
    pictures = [picture(camera, vertices, faces) for camera in cameras]
    views = [View(f"{k}.png", c, *p) for k, (c, p) in enumerate(zip(cameras, pictures, strict=True))]
    return Capture(tuple(views), _UPRIGHT)


def object_standing_at(surface_from_world: np.ndarray, *, nose: float = 0.6) -> Reconstruction:
    """The object with its paint, moved; not registered, as a generator leaves it."""
    vertices, faces = _shape(nose)
    mesh = Mesh(vertices, faces)
    uv = box_unwrap(mesh, 128)
    texels = texel_coverage(mesh, uv, 128)
    points = surface_points(mesh, texels)
    paint = 0.5 + 0.3 * np.sin(points @ np.array([[6.0, 1.0, 2.0], [1.0, 7.0, 2.0], [3.0, 1.0, 6.0]]))
    image, covered = np.zeros((128 * 128, 3), np.float32), np.zeros(128 * 128, bool)
    image[texels.index], covered[texels.index] = paint * (0.75 + 0.25 * points[:, 2:]).clip(0.3, 1.0), True
    colours = fill_gutters(image.reshape(128, 128, 3), covered.reshape(128, 128)).astype(np.float32)
    matt = np.broadcast_to(np.float32([1.0, 0.8, 0.0]), colours.shape).copy()
    there = vertices @ surface_from_world[:3, :3].T + surface_from_world[:3, 3]
    light = Environment(np.ones((6, 16, 16, 3), np.float32))
    placed = Mesh(there.astype(np.float32), faces)
    return Reconstruction(placed, uv, Material(colours, matt, None), light, (), is_registered=False)
