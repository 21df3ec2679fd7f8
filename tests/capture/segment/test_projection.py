from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scenes import FOCAL_PX, SIZE, ball_scene

from objectscan.capture.formats.posed import Lens
from objectscan.capture.segment.projection import PhotoCamera, cameras_of


def camera(lens: Lens) -> PhotoCamera:
    matrix = np.array([[FOCAL_PX, 0, SIZE[0] / 2], [0, FOCAL_PX, SIZE[1] / 2], [0, 0, 1]])
    return PhotoCamera("a.jpg", SIZE, matrix, lens, np.eye(4))


def test_a_point_on_the_axis_falls_on_the_principal_point():
    pixels, depth = camera(Lens((FOCAL_PX, FOCAL_PX))).project(np.array([[0.0, 0.0, 2.0]]))
    assert np.allclose(pixels, [[80.0, 60.0]]) and depth[0] == 2.0


def test_points_behind_and_far_beside_have_no_pixel():
    pixels, _ = camera(Lens((FOCAL_PX, FOCAL_PX))).project(
        np.array([[0, 0, -1.0], [50, 0, 1.0], [0, 0, 0.0]])
    )
    assert np.isnan(pixels).all()


@pytest.mark.parametrize("model", ["brown", "fisheye"])
def test_distortion_is_undone_by_opencv(model):
    coefficients = (-0.12, 0.03, 0.0, 0.0)
    lens = Lens((FOCAL_PX, FOCAL_PX), model=model, distortion=coefficients)
    points = np.array([[0.2, -0.1, 1.0], [-0.3, 0.25, 1.2], [0.0, 0.1, 2.0]])
    found = camera(lens)
    pixels, _ = found.project(points)
    matrix = found.intrinsics - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    undo = cv2.fisheye.undistortPoints if model == "fisheye" else cv2.undistortPoints
    rays = undo(pixels[None] - 0.5, matrix, np.array(coefficients)).reshape(-1, 2)
    assert np.allclose(rays, points[:, :2] / points[:, 2:], atol=1e-4)
    straight, _ = camera(replace(lens, distortion=())).project(points)
    assert np.abs(pixels - straight).max() > 0.3


def test_photos_without_a_camera_are_left_out(tmp_path):
    scene = ball_scene(tmp_path, 4)
    poses = {name: pose for name, pose in scene.solved.world_from_camera.items() if name != "photo2.jpg"}
    found = cameras_of(scene.photos.photos, replace(scene.solved, world_from_camera=poses))
    assert list(found) == ["photo0.jpg", "photo1.jpg", "photo3.jpg"]
