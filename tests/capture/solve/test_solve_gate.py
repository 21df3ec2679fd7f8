"""The gate passes right cameras and names what is wrong with wrong ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evidence_samples import (
    COUNT,
    FOCAL,
    NAMES,
    SIZE,
    asked_for,
    matches_of,
    model_of,
    scene_points,
    true_cameras,
    with_camera,
)

from objectscan.capture.samples.photographs import look_at
from objectscan.capture.solve.agreement import Agreement
from objectscan.capture.solve.consistency import rays
from objectscan.capture.solve.evidence import PairMatches, SparseModel
from objectscan.capture.solve.gate import Asked, Verdict, judge

Evidence = tuple[PairMatches, SparseModel]


@pytest.fixture
def right() -> Evidence:
    rng = np.random.default_rng(0)
    points, cameras = scene_points(rng), true_cameras()
    return matches_of(cameras, points, rng), model_of(cameras, points)


def codes(verdict: Verdict) -> set[str]:
    return {finding.code for finding in verdict.findings}


def test_right_cameras_are_good(right: Evidence):
    verdict = judge(*right, asked_for(right[1]))
    assert (verdict.grade, verdict.findings, verdict.misfits) == ("good", (), ())
    assert verdict.measures["pair_consistency"] > 0.99
    assert verdict.measures["in_front"] > 0.99
    assert verdict.measures["focal_over_prior"] == pytest.approx(1.0)


def test_lens_distortion_is_taken_out_before_matches_are_judged():
    rng = np.random.default_rng(0)
    points, cameras = scene_points(rng), true_cameras()
    bent = model_of(cameras, points, k1=-0.4)
    wide = np.array([[40.0, 30.0], [400, 300], [790, 590]])
    flat = rays(wide, bent.lenses[0])
    back = flat * (1 - 0.4 * (flat**2).sum(1, keepdims=True)) * FOCAL + np.array(SIZE) / 2
    np.testing.assert_allclose(back, wide, atol=0.01)
    matches = matches_of(cameras, points, rng, k1=-0.4)
    assert judge(matches, bent, asked_for(bent)).measures["pair_consistency"] > 0.99


def test_one_displaced_camera_is_named(right: Evidence):
    matches, model = right
    wrong = with_camera(model, 5, look_at((-2.0, 1.0, 0.6)))
    verdict = judge(matches, wrong, asked_for(model))
    assert verdict.misfits == (NAMES[5],)
    assert verdict.grade != "good"
    assert "camera_contradicted" in codes(verdict)


def test_cameras_folded_onto_half_the_ring_are_refused(right: Evidence):
    matches, model = right
    folded = model
    for photo in range(COUNT // 2, COUNT):
        folded = with_camera(folded, photo, np.linalg.inv(_full(model, photo - COUNT // 2)))
    verdict = judge(matches, folded, asked_for(model))
    assert verdict.grade == "bad"
    assert "inconsistent_geometry" in codes(verdict)


def _full(model: SparseModel, photo: int) -> np.ndarray:
    return np.vstack([model.camera_from_world[photo], (0, 0, 0, 1)])


def test_a_mirrored_world_is_refused_though_its_epipolar_geometry_fits(right: Evidence):
    matches, model = right
    turned = model.camera_from_world.copy()
    turned[:, :, 3] *= -1  # the same essential matrices up to sign, all points behind the cameras
    verdict = judge(matches, replace(model, camera_from_world=turned), asked_for(model))
    assert verdict.measures["pair_consistency"] > 0.99
    assert verdict.grade == "bad"
    assert verdict.measures["in_front"] < 0.1


def test_too_few_photos_in_one_model_are_refused_and_named(right: Evidence):
    matches, model = right
    points = scene_points(np.random.default_rng(0))
    small = model_of(true_cameras()[:8], points)
    verdict = judge(matches, small, asked_for(model))
    assert verdict.grade == "bad"
    finding = next(finding for finding in verdict.findings if finding.code == "registration_failed")
    assert finding.photos == NAMES[8:]


def test_a_photo_that_was_left_out_is_a_warning_with_its_name(right: Evidence):
    matches, model = right
    most = model_of(true_cameras()[: COUNT - 1], model.points)
    verdict = judge(matches, most, asked_for(model))
    assert verdict.grade == "good"
    assert [(f.code, f.photos) for f in verdict.findings] == [("unregistered_images", NAMES[-1:])]


def test_points_in_one_plane_are_no_object():
    rng = np.random.default_rng(0)
    points, cameras = scene_points(rng) * (1, 1, 0), true_cameras()
    model = model_of(cameras, points)
    verdict = judge(matches_of(cameras, points, rng), model, asked_for(model))
    assert (verdict.grade, codes(verdict)) == ("bad", {"degenerate_geometry"})


def test_cameras_in_one_place_have_no_parallax():
    rng = np.random.default_rng(0)
    points = scene_points(rng)
    cameras = np.array([look_at((2.0 + 0.002 * number, 0, 1.0)) for number in range(COUNT)])
    model = model_of(cameras, points)
    verdict = judge(matches_of(cameras, points, rng), model, asked_for(model))
    assert verdict.grade == "bad"
    assert "no_parallax" in codes(verdict)


def test_another_answer_from_another_start_is_refused(right: Evidence):
    second = Agreement(0.4, 0.3, NAMES[:9])
    verdict = judge(*right, asked_for(right[1]), second=second)
    assert verdict.grade == "bad"
    assert verdict.findings[0].photos == NAMES[:9]
    assert judge(*right, asked_for(right[1]), second=Agreement(1.0, 0.001, ())).grade == "good"


def test_a_focal_length_far_from_what_the_camera_wrote_is_doubtful(right: Evidence):
    matches, model = right
    prior = model.lenses[0, 0] * 0.7
    verdict = judge(matches, model, asked_for(model, prior))
    assert (verdict.grade, codes(verdict)) == ("doubtful", {"focal_unlikely"})
    assert judge(matches, model, asked_for(model, None)).grade == "good"


def test_strong_distortion_is_doubtful_unless_the_object_turned(right: Evidence):
    matches, model = right
    k1 = -0.6
    rng = np.random.default_rng(0)
    matches = matches_of(true_cameras(), model.points, rng, k1=k1)
    bent = model_of(true_cameras(), model.points, k1=k1)
    assert "distortion_unlikely" in codes(judge(matches, bent, asked_for(bent)))
    turned = Asked(bent.photos, asked_for(bent).focals_px, is_turntable=True)
    assert "distortion_unlikely" not in codes(judge(matches, bent, turned))


def test_photos_that_rest_on_few_points_are_named():
    rng = np.random.default_rng(0)
    points, cameras = scene_points(rng, 40), true_cameras()
    model = model_of(cameras, points)
    verdict = judge(matches_of(cameras, points, rng), model, asked_for(model))
    assert verdict.grade == "doubtful"
    assert "few_points" in codes(verdict)
