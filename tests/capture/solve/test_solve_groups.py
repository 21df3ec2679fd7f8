"""Photos share a camera if nothing speaks against it; pairs to match cover neighbours and loops."""

from __future__ import annotations

from pathlib import Path

from objectscan.capture.photoset import PlainPhoto
from objectscan.capture.solve.groups import camera_groups
from objectscan.capture.solve.pairing import LOOP_STEP, in_blocks, pairs_to_match


def photo(number: int, size=(800, 600), focal: float | None = 700.0, camera: str | None = "A") -> PlainPhoto:
    return PlainPhoto(f"{number}.jpg", Path(f"{number}.jpg"), size, focal, camera)


def test_photos_that_agree_share_one_camera():
    groups = camera_groups([photo(number, focal=700.0 + number) for number in range(5)])
    assert [group.photos for group in groups] == [tuple(f"{number}.jpg" for number in range(5))]
    assert groups[0].focal_prior_px == 702.0


def test_turned_zoomed_and_foreign_photos_have_cameras_of_their_own():
    photos = [photo(0), photo(1, size=(600, 800)), photo(2, focal=900.0), photo(3, camera="B"), photo(4)]
    assert [group.photos for group in camera_groups(photos)] == [
        ("0.jpg", "4.jpg"),
        ("1.jpg",),
        ("2.jpg",),
        ("3.jpg",),
    ]


def test_photos_without_a_prior_start_from_a_guess_and_do_not_mix_with_others():
    groups = camera_groups([photo(0, focal=None), photo(1), photo(2, focal=None)])
    assert [group.photos for group in groups] == [("0.jpg", "2.jpg"), ("1.jpg",)]
    assert groups[0].focal_prior_px is None
    assert groups[0].first_focal_px == 960.0


def test_small_or_unordered_sets_are_matched_in_full():
    assert len(pairs_to_match(60, is_ordered=True, exhaustive_up_to=60)) == 60 * 59 // 2
    assert len(pairs_to_match(100, is_ordered=False, exhaustive_up_to=60)) == 100 * 99 // 2


def test_large_ordered_sets_are_matched_with_neighbours_and_loops():
    pairs = set(pairs_to_match(150, is_ordered=True, exhaustive_up_to=60))
    assert len(pairs) < 150 * 149 / 2 / 4
    assert all((number, number + 1) in pairs for number in range(149))
    assert (0, 145) in pairs and 145 % LOOP_STEP == 0
    assert all(one < other for one, other in pairs)


def test_blocks_hold_each_pair_once_and_few_photos():
    pairs = pairs_to_match(40, is_ordered=True, exhaustive_up_to=60)
    blocks = in_blocks(pairs)
    assert sorted(pair for block in blocks for pair in block) == pairs
    assert max(len({photo for pair in block for photo in pair}) for block in blocks) <= 30
