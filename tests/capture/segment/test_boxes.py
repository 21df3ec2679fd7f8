from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scenes import PLANE, RADIUS, ball_scene, sparse_points

from objectscan.capture.segment.boxes import (
    Box,
    box_of_mask,
    box_of_points,
    object_points,
    stated_box,
    touched_sides,
)
from objectscan.capture.segment.projection import cameras_of
from objectscan.errors import InputError


def test_points_of_the_ball_are_found_and_the_table_is_not_among_them(tmp_path):
    found = object_points(ball_scene(tmp_path).solved)
    radii = np.linalg.norm(found.points, axis=1)
    assert len(found.points) > 250
    assert np.mean(np.abs(radii - RADIUS) < 0.01) > 0.95
    assert found.support_plane is not None
    assert np.allclose(found.support_plane, PLANE, atol=0.01)


def test_the_solvers_own_plane_is_taken(tmp_path):
    solved = replace(ball_scene(tmp_path).solved, support_plane=np.array([0.0, 0.0, 1.0, 0.0]))
    found = object_points(solved)
    assert found.points[:, 2].min() > 0


def test_an_object_that_hangs_in_the_air_keeps_all_its_points(tmp_path):
    solved = replace(ball_scene(tmp_path).solved, points=sparse_points()[:300])
    found = object_points(solved)
    assert found.support_plane is None and len(found.points) == 300


def test_too_few_points_are_none(tmp_path):
    solved = replace(ball_scene(tmp_path).solved, points=sparse_points()[:20])
    assert object_points(solved).points.shape == (0, 3)


def test_the_box_of_the_points_holds_the_ball_in_each_photo(tmp_path):
    scene = ball_scene(tmp_path)
    points = object_points(scene.solved).points
    for name, camera in cameras_of(scene.photos.photos, scene.solved).items():
        box, wanted = box_of_points(points, camera, 1.35), box_of_mask(scene.truth[name], 1.0)
        assert box is not None and wanted is not None
        assert box.left < wanted.left and box.right > wanted.right
        assert box.top < wanted.top and box.bottom > wanted.bottom
        assert box.area_px < 3 * wanted.area_px


def test_boxes_end_at_the_photo():
    mask = np.zeros((100, 200), np.uint8)
    mask[90:, 180:] = 255
    assert box_of_mask(mask, 1.0) == Box(160, 65, 200, 100)  # at least 60 pixels about its middle
    assert box_of_mask(np.zeros((100, 200), np.uint8), 1.0) is None


def test_the_users_box_is_in_shares_of_the_photo():
    assert stated_box((0.25, 0.1, 0.75, 1.0), (200, 100)) == Box(50, 10, 150, 100)


@pytest.mark.parametrize("box", [(0.5, 0, 0.4, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.2), (0, float("nan"), 1, 1)])
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(InputError, match="is not left,top,right,bottom"):
        stated_box(box, (200, 100))


def test_sides_that_a_mask_touches_are_named():
    mask = np.zeros((20, 20), np.uint8)
    mask[:, :5] = 255
    assert touched_sides(mask) == ("left", "top", "bottom")
    mask[:, :5] = 0
    mask[0, :2] = 255  # two pixels are no touch
    assert touched_sides(mask) == ()
