"""Two solutions are compared up to shift, turn and scale, whatever a few cameras do."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from evidence_samples import COUNT, NAMES, matches_of, model_of, scene_points, true_cameras

from objectscan.capture.solve.agreement import compare, robust_similarity
from objectscan.capture.solve.evidence import SparseModel
from objectscan.capture.solve.second_start import other_first_pairs

TURN = cv2.Rodrigues(np.array([0.4, -0.7, 1.1]))[0]
SHIFT = np.array([3.0, -5.0, 2.0])


def elsewhere(cameras: np.ndarray, scale: float = 2.5) -> np.ndarray:
    moved = cameras.copy()
    moved[:, :3, :3] = TURN @ cameras[:, :3, :3]
    moved[:, :3, 3] = scale * cameras[:, :3, 3] @ TURN.T + SHIFT
    return moved


@pytest.fixture
def model() -> SparseModel:
    return model_of(true_cameras(), scene_points(np.random.default_rng(0)))


def test_a_moved_turned_scaled_copy_agrees(model: SparseModel):
    other = model_of(elsewhere(true_cameras()), model.points)
    agreement = compare(model, other)
    assert (agreement.share, agreement.disagreeing) == (1.0, ())
    assert agreement.median < 1e-9


def test_the_transform_is_found_with_a_quarter_of_wrong_points():
    rng = np.random.default_rng(1)
    source = rng.normal(size=(20, 3))
    target = 2.5 * source @ TURN.T + SHIFT
    target[:5] += rng.normal(0, 3, (5, 3))
    found = robust_similarity(source, target)
    assert found.scale == pytest.approx(2.5)
    np.testing.assert_allclose(found.rotation, TURN, atol=1e-9)


def test_a_mirror_image_does_not_agree(model: SparseModel):
    cameras = true_cameras()
    # Heights alone would be a turn of the ring: it needs cameras at several heights to have a hand.
    cameras[:, 2, 3] += np.linspace(0, 1.0, COUNT)
    mirrored = cameras.copy()
    mirrored[:, 0, 3] *= -1
    agreement = compare(model_of(cameras, model.points), model_of(mirrored, model.points))
    assert agreement.share < 0.5


def test_disagreeing_photos_are_named(model: SparseModel):
    cameras = elsewhere(true_cameras())
    cameras[3, :3, 3] += 2.0
    cameras[7, :3, :3] = cameras[7, :3, :3] @ cv2.Rodrigues(np.array([0, 0.2, 0]))[0]
    agreement = compare(model, model_of(cameras, model.points))
    assert agreement.disagreeing == (NAMES[3], NAMES[7])
    assert agreement.share == pytest.approx(1 - 2 / COUNT)


def test_solutions_with_fewer_than_three_common_photos_do_not_agree(model: SparseModel):
    other = replace(model, photos=tuple(f"other_{name}" for name in model.photos))
    assert compare(model, other).share == 0.0


def test_a_second_start_avoids_the_strongest_pair(model: SparseModel):
    matches = matches_of(true_cameras(), model.points, np.random.default_rng(0))
    pairs = other_first_pairs(matches, model, 3)
    used = [name for pair in pairs for name in pair]
    assert len(pairs) == 3
    assert len(set(used)) == 6
    strongest = matches.pairs[matches.counts.argmax()]
    assert not {NAMES[photo] for photo in strongest} & set(used)
