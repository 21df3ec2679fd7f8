from __future__ import annotations

import numpy as np
import pytest

from objectscan.mesh.studio import orbit_cameras, studio_environment
from objectscan.render.cubemap import texel_directions
from objectscan.types import Mesh

Z_UP = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Mesh:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    vertices = np.float32(low) + corners * (np.float32(high) - np.float32(low))
    return Mesh(vertices.astype(np.float32), np.array([[0, 1, 3]], np.int32))


def projected(camera, points: np.ndarray) -> np.ndarray:
    camera_from_world = np.linalg.inv(camera.world_from_camera)
    in_camera = points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    assert (in_camera[:, 2] > 0).all()
    homogeneous = in_camera @ camera.intrinsics.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


@pytest.mark.parametrize("size", [(200, 200), (320, 180), (180, 320)])
@pytest.mark.parametrize("extent", [(1, 1, 1), (0.02, 3, 0.02), (3, 0.02, 0.5)])
def test_the_object_fills_the_picture_and_stays_inside_from_every_side(size, extent) -> None:
    mesh = box((4, 5, 6), (4 + extent[0], 5 + extent[1], 6 + extent[2]))
    azimuths = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    reach = []
    for camera in orbit_cameras(mesh, np.eye(4), azimuths, size=size):
        pixels = projected(camera, mesh.vertices) / size
        assert pixels.min() >= 0.0 and pixels.max() <= 1.0
        reach.append(np.abs(pixels - 0.5).max())
    assert max(reach) == pytest.approx(0.45, abs=1e-3)


def test_up_in_the_delivered_frame_is_up_in_the_picture() -> None:
    mesh = box((-1, -1, -1), (1, 1, 1))
    camera = orbit_cameras(mesh, Z_UP, [0.3])[0]
    low, high = projected(camera, np.array([[0.0, 0, -0.5], [0, 0, 0.5]]))
    assert high[1] < low[1] and high[0] == pytest.approx(low[0], abs=1e-6)


def test_azimuth_zero_looks_at_the_front_and_grows_to_the_right() -> None:
    mesh = box((-1, -1, -1), (1, 1, 1))
    front, right = orbit_cameras(mesh, np.eye(4), [0.0, np.pi / 2], elevation_rad=0.0)
    assert front.world_from_camera[2, 3] > 2 and abs(front.world_from_camera[0, 3]) < 1e-9
    assert right.world_from_camera[0, 3] > 2 and abs(right.world_from_camera[2, 3]) < 1e-9
    for camera in (front, right):
        assert np.linalg.det(camera.world_from_camera[:3, :3]) == pytest.approx(1.0)


def test_lamps_keep_their_place_relative_to_a_turning_camera() -> None:
    def towards_key(azimuth: float) -> np.ndarray:
        light = studio_environment(np.eye(4), azimuth_rad=azimuth, edge=32).radiance_linear[..., 0]
        return texel_directions(32)[np.unravel_index(light.argmax(), light.shape)]

    key = towards_key(0.0)
    assert key[1] > 0.5 and key[0] < 0 and key[2] > 0
    turn = 0.8
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    assert towards_key(turn) @ (rotation @ key) > 0.99


def test_the_room_is_upright_in_the_delivered_frame() -> None:
    light = studio_environment(Z_UP).radiance_linear
    plus_z, minus_z = light[4].mean(), light[5].mean()
    assert plus_z > 1.5 * minus_z and np.isfinite(light).all() and light.min() > 0
