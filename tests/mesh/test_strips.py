from __future__ import annotations

import numpy as np

from objectscan.mesh.metrics import Picture
from objectscan.mesh.strips import EXTRA_SRGB, MISSING_SRGB, contact_sheet, difference_picture, view_strip


def picture(colour: float, columns: slice, size: int = 40) -> Picture:
    coverage = np.zeros((size, size), np.float32)
    coverage[5:35, columns] = 1.0
    ramp = np.linspace(0.0, 0.2, size, dtype=np.float32)[None, :, None]
    return Picture(np.full((size, size, 3), colour, np.float32) + ramp, coverage)


def test_missing_and_extra_parts_have_their_own_colours() -> None:
    shown = difference_picture(picture(0.4, slice(5, 25)), picture(0.4, slice(15, 35)))
    assert tuple(shown[20, 8]) == MISSING_SRGB and tuple(shown[20, 30]) == EXTRA_SRGB
    assert shown[20, 20].min() > 230
    assert shown[0, 0].min() == shown[-1, -1].min() > 230


def test_a_larger_difference_is_darker() -> None:
    photo = picture(0.5, slice(5, 35))
    colour = photo.colour_srgb.copy()
    colour[10:14, 10:14] += 0.1
    colour[20:24, 20:24] += 0.3
    shown = difference_picture(photo, Picture(colour, photo.coverage)).sum(-1, dtype=int)
    assert shown[30, 30] > shown[12, 12] > shown[22, 22]


def test_a_strip_is_cropped_to_the_object_and_holds_three_panels() -> None:
    photo = picture(0.5, slice(18, 22), size=80)
    strip = view_strip(photo, photo, edge_px=60)
    assert strip.shape == (60, 3 * 60 + 2 * 8, 3)
    assert strip[:, :60].std() > 10
    empty = Picture(photo.colour_srgb, np.zeros_like(photo.coverage))
    assert view_strip(empty, empty, edge_px=30).shape == (30, 106, 3)


def test_the_sheet_shows_every_strip_under_its_caption() -> None:
    strips = [np.full((20, 100, 3), shade, np.uint8) for shade in (10, 90, 170)]
    sheet = contact_sheet(strips, ["one", "two", "a name far too long for its strip.jpg, 0.99"], columns=2)
    for shade in (10, 90, 170):
        assert (sheet == shade).all(-1).sum() >= 20 * 100
    assert sheet.shape == (2 * (20 + 30 + 18) + 18, 2 * (100 + 18) + 18, 3)
    captions = sheet[18:48, 18:118]
    assert captions.min() < 120
