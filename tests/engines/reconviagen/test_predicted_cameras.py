from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.engines.reconviagen.tiny import EDGE_PX, cut_outs, tiny_networks, write_weights

from objectscan.engines.reconviagen.predicted_cameras import predicted_cameras
from objectscan.engines.reconviagen.preparation import photo_from_prepared, prepared


def test_every_photo_gets_a_rigid_camera_of_its_own_size(tmp_path: Path):
    write_weights(tmp_path)
    photos = cut_outs(3)
    cameras = predicted_cameras(photos, tiny_networks(tmp_path), device=torch.device("cpu"), edge_px=EDGE_PX)
    assert [camera.size for camera in cameras] == [(100, 80)] * 3
    for camera in cameras:
        turn = camera.world_from_camera[:3, :3]
        assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-6) and np.linalg.det(turn) > 0
        assert np.isfinite(camera.intrinsics).all()
    # The middle of the prepared square is the middle of the object in the photo: discs at x 45, 50, 55.
    assert [camera.intrinsics[0, 2] for camera in cameras] == pytest.approx([45, 50, 55], abs=1.0)


def test_prepared_pixels_lie_where_the_photo_has_them():
    rgba = np.zeros((90, 140, 4), np.uint8)
    rgba[20:70, 100:135, 3] = 255  # the crop reaches over the right edge of the photo
    rgba[40:44, 110:114, 0] = 255
    square = prepared(rgba, name="a.png", edge_px=112)
    rows, columns = np.nonzero(square[..., 0] > 127)
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5, 1.0])
    found = photo_from_prepared(rgba[..., 3], name="a.png", edge_px=112) @ middle
    assert found[:2] == pytest.approx([112, 42], abs=0.5)
