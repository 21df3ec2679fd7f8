"""Masks tell whether cameras are right, and cameras whether masks are."""

from __future__ import annotations

import numpy as np
import pytest

from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import SolvedCameras
from objectscan.capture.samples.photographs import look_at, ring
from objectscan.capture.solve.silhouette import silhouette_consistency

SIZE, COUNT = (240, 180), 10
FOCAL = 1.1 * 240
HALF = np.array([0.5, 0.25, 0.35])
"""Of an ellipsoid around the origin."""
NAMES = tuple(f"{number}.jpg" for number in range(COUNT))


def outline(camera: np.ndarray) -> np.ndarray:
    """The ellipsoid's mask in a photo: rays whose distance from it is 0."""
    columns, rows = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    ray = (
        np.stack([(columns - 120) / FOCAL, (rows - 90) / FOCAL, np.ones_like(columns)], -1) @ camera[:3, :3].T
    )
    eye, ray = camera[:3, 3] / HALF, ray / HALF
    b, a, c = (ray @ eye), (ray**2).sum(-1), eye @ eye - 1
    return np.where(b**2 - a * c > 0, 255, 0).astype(np.uint8)


@pytest.fixture
def scene() -> tuple[SolvedCameras, dict[str, np.ndarray]]:
    cameras = [
        look_at(shot.world_from_camera[:3, 3], (0, 0, 0)) for shot in ring(COUNT, size=SIZE, radius=2.5)
    ]
    lens = Lens((FOCAL, FOCAL), (None, None), (120.0, 90.0), SIZE)
    solved = SolvedCameras(
        dict.fromkeys(NAMES, lens), dict(zip(NAMES, cameras, strict=True)), np.zeros((0, 3)),
        np.zeros((0, 3), np.uint8), np.zeros((0, 2), np.int32), NAMES, "good",
    )  # fmt: skip
    return solved, {name: outline(camera) for name, camera in zip(NAMES, cameras, strict=True)}


def test_right_cameras_and_masks_cover_each_other(scene):
    shares = silhouette_consistency(*scene)
    assert set(shares) == set(NAMES)
    assert min(shares.values()) > 0.97


def test_a_wrong_camera_stands_out(scene):
    solved, masks = scene
    solved.world_from_camera["4.jpg"][:3, 3] += (0.5, 0.3, 0)
    shares = silhouette_consistency(solved, masks)
    assert min(shares, key=shares.__getitem__) == "4.jpg"
    assert shares["4.jpg"] < 0.94
    assert min(share for name, share in shares.items() if name != "4.jpg") > 0.95


def test_a_mask_that_takes_in_the_table_stands_out(scene):
    solved, masks = scene
    masks["7.jpg"][120:, :] = 255
    shares = silhouette_consistency(solved, masks)
    assert shares["7.jpg"] < 0.7
    assert min(share for name, share in shares.items() if name != "7.jpg") > 0.97


def test_photos_without_a_usable_mask_are_left_out(scene):
    solved, masks = scene
    masks["2.jpg"][:] = 0
    del masks["3.jpg"]
    shares = silhouette_consistency(solved, masks)
    assert set(shares) == set(NAMES) - {"2.jpg", "3.jpg"}
    assert silhouette_consistency(solved, {"1.jpg": masks["1.jpg"]}) == {}


def test_a_box_stated_by_the_caller_is_used(scene):
    solved, masks = scene
    elsewhere = np.array([[5.0, 5, 5], [6, 6, 6]])
    assert max(silhouette_consistency(solved, masks, bounds=elsewhere).values()) == 0.0
