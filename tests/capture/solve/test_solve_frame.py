"""The frame stands on the support plane, is centred on the object, and has its size."""

from __future__ import annotations

import cv2
import numpy as np
from evidence_samples import COUNT, model_of, scene_points, true_cameras

from objectscan.capture.solve.frame import world_frame
from objectscan.capture.solve.geometry import dominant_plane, triangulation_angle_rad, world_from_cameras

TURN = cv2.Rodrigues(np.array([0.9, -0.3, 2.0]))[0]


def tilted(scale: float = 3.0):
    """The scene in a frame of its own, as structure from motion leaves it."""
    points, cameras = scene_points(np.random.default_rng(0)), true_cameras()
    cameras[:, :3, :3] = TURN @ cameras[:, :3, :3]
    cameras[:, :3, 3] = scale * cameras[:, :3, 3] @ TURN.T + 7
    return model_of(cameras, scale * points @ TURN.T + 7), points


def test_up_is_the_normal_of_the_table():
    model, _ = tilted()
    frame = world_frame(model)
    np.testing.assert_allclose(frame.rotation @ TURN @ (0, 0, 1), (0, 0, 1), atol=0.01)
    assert frame.support_plane is not None
    np.testing.assert_allclose(frame.support_plane[:3], (0, 0, 1), atol=1e-6)


def test_the_object_is_at_the_origin_with_radius_one():
    model, true = tilted()
    moved = world_frame(model).points(model.points)[len(true) // 2 :]  # the lump
    assert np.linalg.norm(np.median(moved, axis=0)) < 0.25
    assert 0.7 < np.percentile(np.linalg.norm(moved, axis=1), 90) < 1.4


def test_the_table_lies_on_the_support_plane_below_the_object():
    model, true = tilted()
    frame = world_frame(model)
    table = frame.points(model.points)[: len(true) // 2]
    assert frame.support_plane is not None
    distance = table @ frame.support_plane[:3] + frame.support_plane[3]
    assert np.abs(distance).max() < 0.02
    assert frame.support_plane[3] > 0.3  # the origin, inside the object, is above


def test_cameras_move_with_the_points():
    model, _ = tilted()
    frame = world_frame(model)
    cameras = frame.cameras(world_from_cameras(model))
    point = model.points[3]
    before = world_from_cameras(model)[0]
    seen_before = (point - before[:3, 3]) @ before[:3, :3]
    seen_after = (frame.points(point[None])[0] - cameras[0][:3, 3]) @ cameras[0][:3, :3]
    np.testing.assert_allclose(seen_after, frame.scale * seen_before, rtol=1e-9)


def test_without_a_plane_up_is_that_of_the_photos():
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(800, 3))
    ball = 0.5 * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    frame = world_frame(model_of(true_cameras(), ball))
    assert frame.support_plane is None
    assert (frame.rotation @ (0, 0, 1))[2] > 0.98


def test_a_plane_is_found_among_outliers():
    rng = np.random.default_rng(0)
    plane = np.c_[rng.uniform(-1, 1, (300, 2)), rng.normal(0, 0.002, 300)] @ TURN.T
    points = np.vstack([plane, rng.uniform(-1, 1, (300, 3))])
    found, inside = dominant_plane(points, 0.01)
    assert abs(found[:3] @ TURN[:, 2]) > 0.9999
    assert inside[:300].mean() > 0.98


def test_the_triangulation_angle_is_that_between_the_outermost_views():
    cameras = true_cameras()[: COUNT // 4]
    model = model_of(cameras, np.array([[0, 0, 0.4], [0.01, 0, 0.4], [0, 0.01, 0.4]]))
    rays = model.centres - (0, 0, 0.4)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    widest = np.arccos((rays @ rays.T).min())
    assert abs(triangulation_angle_rad(model) - widest) < 0.02
