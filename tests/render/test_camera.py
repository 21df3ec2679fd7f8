from __future__ import annotations

import numpy as np
import pytest

from objectscan.render import clip_from_camera, clip_from_world, depth_range
from objectscan.types import Camera

INTRINSICS = np.array([[310.0, 4.0, 71.5], [0.0, 290.0, 130.25], [0.0, 0.0, 1.0]])
SIZE = (200, 240)


def _pixels_by_hand(points):
    """Pinhole: x / z times the intrinsics."""
    return (INTRINSICS @ (points / points[:, 2:]).T).T[:, :2]


def _clip(points, matrix):
    return np.pad(points, ((0, 0), (0, 1)), constant_values=1.0) @ np.asarray(matrix, float).T


def _points(rng, count=50):
    return np.stack(
        [rng.uniform(-1, 1, count), rng.uniform(-1, 1, count), rng.uniform(1.5, 6, count)], axis=1
    )


def test_ndc_is_the_pixel_position_for_any_principal_point_and_skew():
    points = _points(np.random.default_rng(0))
    clip = _clip(points, clip_from_camera(INTRINSICS, SIZE, 0.5, 9.0))
    pixels = (clip[:, :2] / clip[:, 3:] + 1.0) / 2.0 * np.array(SIZE)
    assert np.allclose(pixels, _pixels_by_hand(points), atol=1e-9)
    assert np.allclose(clip[:, 3], points[:, 2])


def test_the_top_left_corner_of_the_picture_is_minus_one_minus_one():
    corner = np.linalg.inv(INTRINSICS) @ np.array([0.0, 0.0, 1.0]) * 3.0
    clip = _clip(corner[None], clip_from_camera(INTRINSICS, SIZE, 0.5, 9.0))[0]
    assert np.allclose(clip[:2] / clip[3], [-1.0, -1.0])


def test_near_and_far_are_minus_one_and_one():
    clip = _clip(np.array([[0, 0, 0.5], [0, 0, 9.0]]), clip_from_camera(INTRINSICS, SIZE, 0.5, 9.0))
    assert np.allclose(clip[:, 2] / clip[:, 3], [-1.0, 1.0])


def _posed_camera(rng):
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3], world_from_camera[:3, 3] = rotation, [2.0, -1.0, 0.5]
    return Camera(INTRINSICS, world_from_camera, SIZE)


def test_world_points_land_where_their_camera_coordinates_say():
    rng = np.random.default_rng(1)
    camera, points = _posed_camera(rng), _points(rng)
    world = points @ camera.world_from_camera[:3, :3].T + camera.world_from_camera[:3, 3]
    matrix = clip_from_world(camera, 0.5, 9.0)
    clip = _clip(world, matrix)
    assert matrix.dtype == np.float32
    assert np.allclose((clip[:, :2] / clip[:, 3:] + 1) / 2 * SIZE, _pixels_by_hand(points), atol=1e-3)


def test_depth_range_holds_all_points():
    rng = np.random.default_rng(2)
    camera, points = _posed_camera(rng), _points(rng)
    world = points @ camera.world_from_camera[:3, :3].T + camera.world_from_camera[:3, 3]
    near, far = depth_range(camera, world)
    assert 0.0 < near < points[:, 2].min()
    assert far > points[:, 2].max()


@pytest.mark.parametrize("depth", [-1.0, 0.0])
def test_near_stays_positive_with_points_behind_the_camera(depth):
    camera = Camera(INTRINSICS, np.eye(4), SIZE)
    near, far = depth_range(camera, np.array([[0.0, 0.0, depth], [0.0, 0.0, 4.0]]))
    assert 0.0 < near < far
