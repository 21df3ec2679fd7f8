from __future__ import annotations

import numpy as np
from scenes import iou

from objectscan.capture.segment.boxes import Box
from objectscan.capture.segment.refine import edges_followed, tidied
from objectscan.capture.segment.trust import certainty_of, overlap, trust


def square(edge_px: int = 60) -> np.ndarray:
    mask = np.zeros((120, 120), np.uint8)
    mask[30 : 30 + edge_px, 30 : 30 + edge_px] = 255
    return mask


def test_a_shifted_edge_moves_onto_the_edge_of_the_picture():
    truth = square()
    picture = np.where(truth[..., None] > 0, np.uint8([200, 60, 40]), np.uint8([60, 90, 120]))
    shifted = np.roll(truth, 2, axis=1)
    moved = edges_followed(shifted, picture, Box(10, 10, 110, 110), 4)
    assert iou(moved, truth) > iou(shifted, truth) + 0.02


def test_on_a_picture_without_edges_the_mask_stays_where_it_was():
    flat = np.full((120, 120, 3), 90, np.uint8)
    moved = edges_followed(square(), flat, Box(10, 10, 110, 110), 3)
    assert iou(moved, square()) > 0.99


def test_only_the_inside_of_the_box_changes():
    mask = square()
    mask[0, 0] = 77
    picture = np.random.default_rng(0).integers(0, 255, (120, 120, 3), np.uint8)
    assert edges_followed(mask, picture, Box(20, 20, 100, 100), 3)[0, 0] == 77


def test_specks_and_pinholes_go_and_real_openings_and_pieces_stay():
    mask = square(80)
    mask[5:8, 5:8] = 255  # a speck
    mask[50:52, 50:52] = 0  # a pinhole
    mask[70:90, 70:90] = 0  # an opening
    mask[40:80, 114:120] = 255  # a second piece
    clean = tidied(mask)
    assert not clean[:20, :20].any()
    assert (clean[50:52, 50:52] == 255).all()
    assert not clean[70:90, 70:90].any()
    assert (clean[40:80, 114:120] == 255).all()


def test_a_gap_at_the_photos_edge_is_no_pinhole():
    mask = square(90)
    mask[60, 119] = 0
    assert tidied(mask)[60, 119] == 0


def test_an_empty_mask_stays_empty():
    assert not tidied(np.zeros((20, 20), np.uint8)).any()


def test_certainty_falls_with_the_share_of_doubtful_pixels():
    sure, doubtful = square(), (square() * 0.6).astype(np.uint8)
    assert certainty_of(sure) == 1.0
    assert 0.3 < certainty_of(doubtful) < 0.4
    assert certainty_of(np.zeros((9, 9), np.uint8)) == 0.0


def test_each_reason_not_to_trust_a_mask_is_told():
    full, empty = np.full((50, 50), 255, np.uint8), np.zeros((50, 50), np.uint8)
    band = empty.copy()
    band[:, 5:] = 255
    assert "full" in trust(full, certainty=1.0).problem
    assert "empty" in trust(empty, certainty=1.0).problem
    assert "3 sides" in trust(band, certainty=1.0).problem
    assert "40 % of the object's 3D points" in trust(square(), certainty=1.0, points_inside=0.4).problem
    assert "agrees only 30 %" in trust(square(), certainty=1.0, agreement=0.3).problem
    good = trust(square(), certainty=0.9, points_inside=0.95, agreement=0.8)
    assert good.problem is None and good.confidence == 0.8


def test_overlap_is_intersection_over_union():
    assert overlap(square(), square()) == 1.0
    assert overlap(square(), np.roll(square(), 30, axis=0)) == 1 / 3
    assert overlap(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)) == 1.0
