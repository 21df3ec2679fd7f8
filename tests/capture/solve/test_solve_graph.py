"""What matches tell without cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evidence_samples import FOCAL, NAMES, SIZE, matches_of, scene_points, true_cameras

from objectscan.capture.samples.photographs import look_at
from objectscan.capture.solve.evidence import PairMatches
from objectscan.capture.solve.graph import (
    groups_of,
    planar_share,
    rotation_share,
    second_best,
    static_share,
    strongest_pairs,
)

SIZES = dict.fromkeys(NAMES, SIZE)


@pytest.fixture
def matches() -> PairMatches:
    rng = np.random.default_rng(0)
    return matches_of(true_cameras(), scene_points(rng), rng)


def turned_on_the_spot() -> PairMatches:
    rng = np.random.default_rng(0)
    eye = np.array([2.0, 0, 1.0])
    angles = np.radians(np.linspace(150, 210, 8))
    cameras = np.array([look_at(eye, np.add(eye, (np.cos(a), np.sin(a), -0.4))) for a in angles])
    return matches_of(cameras, scene_points(rng) + rng.normal(0, 0.3, (1500, 3)), rng)


def test_a_camera_that_only_turned_is_told_from_one_that_walked(matches: PairMatches):
    known = dict.fromkeys(NAMES, FOCAL)
    assert rotation_share(turned_on_the_spot(), known, SIZES) > 0.97
    assert rotation_share(matches, known, SIZES) < 0.6


def test_a_turn_is_seen_without_a_known_focal_length(matches: PairMatches):
    unknown = dict.fromkeys(NAMES, None)
    assert rotation_share(turned_on_the_spot(), unknown, SIZES) > 0.9
    assert rotation_share(matches, unknown, SIZES) < 0.6


def test_matches_that_stay_in_place_are_counted(matches: PairMatches):
    assert static_share(matches) < 0.05
    still = replace(matches, second=matches.first + np.float32(0.5))
    assert static_share(still) == 1.0


def test_planar_pairs_are_counted(matches: PairMatches):
    assert planar_share(matches) == 0.0
    kinds = np.full(len(matches.kinds), 6, np.int32)
    assert planar_share(replace(matches, kinds=kinds)) == 1.0


def test_groups_that_share_nothing_are_found(matches: PairMatches):
    assert groups_of(matches, 30) == [NAMES]
    low = matches.pairs < 8
    kept = np.flatnonzero(low.all(1) | ~low.any(1))
    rows = [np.arange(matches.starts[pair], matches.starts[pair + 1]) for pair in kept]
    apart = replace(
        matches,
        pairs=matches.pairs[kept],
        kinds=matches.kinds[kept],
        starts=np.r_[0, np.cumsum([len(row) for row in rows])],
        first=matches.first[np.concatenate(rows)],
        second=matches.second[np.concatenate(rows)],
    )
    assert groups_of(apart, 30) == [NAMES[:8], NAMES[8:]]


def test_each_photo_has_its_strongest_pairs_among_the_strongest(matches: PairMatches):
    chosen = matches.pairs[strongest_pairs(matches)]
    assert set(chosen.ravel().tolist()) == set(range(len(NAMES)))
    assert len(chosen) < len(matches.pairs)


def test_the_second_best_partner_counts(matches: PairMatches):
    counts = second_best(matches)
    own = sorted(matches.counts[(matches.pairs == 0).any(1)].tolist())
    assert counts[NAMES[0]] == own[-2]
