"""What inspection tells about coverage, size and sharpness."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from capture_samples import ring

from objectscan.capture.inspect import inspect_capture
from objectscan.capture.orientation import Z_UP_TO_Y_UP, delivered_from_up, meeting_point
from objectscan.capture.sharpness import sharpness_of
from objectscan.types import Camera, Capture, Finding, View

SIZE = (160, 120)


def textured(index: int) -> View:
    image = np.random.default_rng(index).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[20:100, 40:110] = 255
    camera = Camera(np.array([[180.0, 0, 80], [0, 180, 60], [0, 0, 1]]), np.eye(4), SIZE)
    return View(f"{index}.png", camera, image, mask)


def capture_of(poses: list[np.ndarray]) -> Capture:
    views = [textured(i) for i in range(len(poses))]
    placed = [
        replace(v, camera=replace(v.camera, world_from_camera=p)) for v, p in zip(views, poses, strict=True)
    ]
    return Capture(tuple(placed), Z_UP_TO_Y_UP)


def test_a_full_ring_is_measured() -> None:
    summary = inspect_capture(capture_of(ring(24, elevation_deg=30)))
    assert summary.views == summary.masked_views == 24
    assert np.isclose(summary.largest_gap_deg, 15)
    assert np.allclose(summary.elevation_range_deg, 30)
    assert summary.object_edge_px == 80
    assert summary.verdict_cap == "high"
    assert summary.findings == ()
    step = 2 * np.degrees(np.arcsin(np.cos(np.radians(30)) * np.sin(np.radians(7.5))))
    assert np.isclose(summary.neighbour_angle_deg, step)


def test_a_gap_is_named_and_caps_the_verdict() -> None:
    summary = inspect_capture(capture_of(ring(24, turn=0.75)))
    assert np.isclose(summary.largest_gap_deg, 90 + 360 / 32)
    assert set(summary.gap_between or ()) == {"0.png", "23.png"}
    assert summary.verdict_cap == "medium"
    assert [finding.code for finding in summary.findings] == ["poor_coverage"]


def test_few_views_cap_the_verdict() -> None:
    summary = inspect_capture(capture_of(ring(8)))
    assert summary.verdict_cap == "medium"
    assert "few_views" in [finding.code for finding in summary.findings]


def test_a_blurred_photo_is_found_inside_its_mask() -> None:
    capture = capture_of(ring(12))
    blurred = replace(capture.views[5], image_srgb=cv2.GaussianBlur(capture.views[5].image_srgb, (0, 0), 4))
    views = (*capture.views[:5], blurred, *capture.views[6:])
    assert sharpness_of(blurred) < 0.3 < sharpness_of(capture.views[0])
    assert inspect_capture(replace(capture, views=views)).blurred == ("5.png",)


def test_photos_that_touch_the_edge_are_listed() -> None:
    finding = Finding("mask_touches_border", "warning", "x", ("3.png", "gone.png"))
    summary = inspect_capture(replace(capture_of(ring(12)), findings=(finding,)))
    assert summary.touching_border == ("3.png",)


def test_optical_axes_meet_at_the_object() -> None:
    poses = ring(7)
    for pose in poses:
        pose[:3, 3] += (0.5, -1.0, 2.0)
    assert np.allclose(meeting_point(poses), (0.5, -1.0, 2.0), atol=1e-4)


@pytest.mark.parametrize("up", [(0, 0, 1), (0, 1, 0), (0, -1, 0), (1, 2, -3)])
def test_the_delivered_frame_has_up_on_y_and_is_a_rotation(up: tuple[float, float, float]) -> None:
    turn = delivered_from_up(np.array(up, float))[:3, :3]
    assert np.allclose(turn @ up / np.linalg.norm(up), (0, 1, 0))
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.isclose(np.linalg.det(turn), 1)
