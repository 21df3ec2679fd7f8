"""What quick matches tell of sets whose answer is known, because their scenes are drawn here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from objectscan.capture.checks import judge_overlaps, require_overlaps
from objectscan.capture.checks.view_graph import quick_graph
from objectscan.capture.photoset import PhotoSet
from objectscan.capture.samples.photographs import (
    Scene,
    Shot,
    box_on_a_table,
    noise_texture,
    photograph,
    ring,
    table_top,
    write_photos,
)
from objectscan.errors import Cancelled, PhotosUnusable

SIZE = (480, 360)


def shots_of(count: int, step_deg: float = 15.0) -> list[Shot]:
    return ring(count, size=SIZE, arc_deg=step_deg * (count - 1))


def drawn(shots: list[Shot], scene: Scene) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [photograph(scene, shot, rng=rng) for shot in shots]


@pytest.fixture(scope="module")
def arc() -> list[np.ndarray]:
    """Six photos, 15 degrees apart."""
    return drawn(shots_of(6), box_on_a_table())


@pytest.fixture(scope="module")
def elsewhere() -> list[np.ndarray]:
    """Four photos of other things."""
    return drawn(shots_of(4), box_on_a_table(seed=10))


def codes(photos: PhotoSet) -> dict[str, tuple[str, ...]]:
    return {finding.code: finding.photos for finding in judge_overlaps(photos).findings}


def test_photos_around_an_object_hang_together_without_a_word(tmp_path: Path, arc):
    overlaps = judge_overlaps(write_photos(tmp_path, arc, focal_px=528.0))
    assert overlaps.findings == () and overlaps.refusal is None
    assert [len(group) for group in overlaps.groups] == [6]
    assert overlaps.turned_share < 0.8 and overlaps.static_share < 0.3 and overlaps.planar_share < 0.9
    require_overlaps(overlaps)


def test_two_objects_in_one_set_are_told_with_the_smaller_group(tmp_path: Path, arc, elsewhere):
    found = codes(write_photos(tmp_path, [*arc, *elsewhere], focal_px=None))
    assert found["multiple_scenes"] == tuple(f"photo_{k:02d}.jpg" for k in range(6, 10))
    assert "unconnected_photo" not in found


def test_a_photo_of_something_else_is_named(tmp_path: Path, arc, elsewhere):
    found = codes(write_photos(tmp_path, [*arc, elsewhere[0]], focal_px=None))
    assert found == {"unconnected_photo": ("photo_06.jpg",)}


@pytest.mark.parametrize("focal_px", [528.0, None])
def test_a_camera_that_only_turned_is_refused(tmp_path: Path, focal_px: float | None):
    shot, turned = shots_of(2)[0], []
    for angle_rad in np.radians(np.linspace(-20, 20, 7)):
        pose = shot.world_from_camera.copy()
        pose[:3, :3] = pose[:3, :3] @ cv2.Rodrigues(np.array([0.0, angle_rad, 0.0]))[0]
        turned.append(replace(shot, world_from_camera=pose))
    overlaps = judge_overlaps(write_photos(tmp_path, drawn(turned, box_on_a_table()), focal_px=focal_px))
    assert overlaps.refusal is not None and overlaps.turned_share > 0.9
    with pytest.raises(PhotosUnusable, match="only turned") as raised:
        require_overlaps(overlaps)
    assert raised.value.details["reason"] == "no_parallax" and "Walk around" in raised.value.hint


def test_a_flat_thing_is_a_warning_and_no_turn(tmp_path: Path):
    table = Scene((), [table_top(noise_texture(np.random.default_rng(4), 1024))])
    overlaps = judge_overlaps(write_photos(tmp_path, drawn(shots_of(6), table), focal_px=528.0))
    assert ("flat_scene", "warning") in [(f.code, f.severity) for f in overlaps.findings]
    assert overlaps.refusal is None and overlaps.turned_share < 0.8


def test_nearly_the_same_photo_again_is_a_warning(tmp_path: Path):
    again = drawn([shots_of(2)[0]] * 5, box_on_a_table())
    overlaps = judge_overlaps(write_photos(tmp_path, again, focal_px=528.0))
    assert [(f.code, f.severity) for f in overlaps.findings] == [("still_background", "warning")]


def test_a_large_set_is_whole_without_matching_all_its_pairs(tmp_path: Path):
    images = drawn(ring(24, size=SIZE), box_on_a_table())
    for is_ordered in (True, False):
        photos = write_photos(tmp_path / str(is_ordered), images, focal_px=None, is_ordered=is_ordered)
        graph = quick_graph(photos)
        assert len(graph.pairs) < 200 < 24 * 23 / 2
        assert [len(group) for group in judge_overlaps(photos).groups] == [24]


def test_photos_without_detail_have_no_pairs_and_no_crash(tmp_path: Path):
    blank = [np.full((*SIZE[::-1], 3), 100 + k, np.uint8) for k in range(3)]
    overlaps = judge_overlaps(write_photos(tmp_path, blank, focal_px=None))
    assert [len(group) for group in overlaps.groups] == [1, 1, 1]
    assert set(overlaps.second_best.values()) == {0}


def test_results_repeat_and_cancelling_is_heard(tmp_path: Path, arc):
    photos = write_photos(tmp_path, arc, focal_px=None)
    first, second = quick_graph(photos), quick_graph(photos)
    assert np.array_equal(first.pairs, second.pairs) and np.array_equal(first.first, second.first)

    def cancel(progress: object) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        judge_overlaps(photos, cancel)
