"""Held-out views are spread around the object and chosen without chance."""

from __future__ import annotations

import numpy as np
import pytest
from capture_samples import ball, ring

from objectscan.capture.holdout import azimuths_rad, split_views
from objectscan.capture.orientation import Z_UP_TO_Y_UP
from objectscan.types import Camera, Capture, View


def capture_of(poses: list[np.ndarray]) -> Capture:
    pixels = ball((16, 12))
    intrinsics = np.array([[20.0, 0, 8], [0, 20, 6], [0, 0, 1]])
    views = [
        View(f"{i}.png", Camera(intrinsics, pose, (16, 12)), pixels[..., :3], pixels[..., 3])
        for i, pose in enumerate(poses)
    ]
    return Capture(tuple(views), Z_UP_TO_Y_UP)


@pytest.mark.parametrize(("count", "expected"), [(12, 2), (20, 2), (30, 3), (40, 4)])
def test_one_in_ten_but_at_least_two_are_held_out(count: int, expected: int) -> None:
    capture = capture_of(ring(count))
    fit, held_out = split_views(capture)
    assert len(held_out.views) == expected
    assert {view.name for view in fit.views}.isdisjoint(view.name for view in held_out.views)
    assert len(fit.views) + expected == count
    assert fit.findings == ()


def test_held_out_views_are_spread_around_the_object_whatever_the_order_of_photos() -> None:
    poses = ring(20, elevation_deg=10) + ring(20, elevation_deg=50)
    order = np.random.default_rng(0).permutation(40)
    _, held_out = split_views(capture_of([poses[i] for i in order]))
    angles = np.sort(azimuths_rad(held_out))
    gaps = np.diff(angles, append=angles[0] + 2 * np.pi)
    assert np.degrees(gaps.max()) < 110  # Evenly would be 90.


def test_the_split_is_repeatable_and_keeps_the_photos_order() -> None:
    capture = capture_of(ring(24))
    first, second = split_views(capture), split_views(capture)
    assert [v.name for v in first[1].views] == [v.name for v in second[1].views]
    numbers = [int(view.name[:-4]) for view in first[0].views]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(("count", "every"), [(11, 8), (40, 0)])
def test_without_held_out_views_the_capture_says_so(count: int, every: int) -> None:
    fit, held_out = split_views(capture_of(ring(count)), every=every)
    assert len(fit.views) == count
    assert held_out.views == ()
    assert [finding.code for finding in fit.findings] == ["evidence_from_training_views"]
