from __future__ import annotations

import math

import pytest

from objectscan.errors import ReconstructionError
from objectscan.mesh.verdict import PROFILE, judge, row_score

BEST = {rule.name: rule.best for rule in PROFILE.rules}
BY_NAME = {rule.name: rule for rule in PROFILE.rules}


def test_perfect_numbers_are_high_with_full_score() -> None:
    verdict = judge(BEST)
    assert verdict.grade == "high" and verdict.score == 100.0 and verdict.profile == "2026-11"


@pytest.mark.parametrize("rule", PROFILE.rules, ids=lambda rule: rule.name)
def test_each_row_alone_decides_at_its_thresholds(rule) -> None:
    step = 1e-6 if rule.best > rule.worst else -1e-6
    assert judge(BEST | {rule.name: rule.high}).grade == "high"
    below_high = judge(BEST | {rule.name: rule.high - step})
    assert below_high.grade == "medium" and below_high.deciding == (rule.name,)
    assert rule.label in below_high.reason
    assert judge(BEST | {rule.name: rule.medium}).grade == "medium"
    assert judge(BEST | {rule.name: rule.medium - step}).grade == rule.floor


@pytest.mark.parametrize("rule", PROFILE.rules, ids=lambda rule: rule.name)
def test_points_never_rise_as_a_row_gets_worse(rule) -> None:
    values = [rule.best + (rule.worst - rule.best) * k / 200 for k in range(-20, 221)]
    points = [row_score(rule, value) for value in values]
    assert points == sorted(points, reverse=True) and points[0] == 100.0 and points[-1] == 0.0
    assert row_score(rule, rule.high) == pytest.approx(80.0)
    assert row_score(rule, rule.medium) == pytest.approx(50.0)


def test_topology_caps_at_medium_and_never_lower() -> None:
    for name in ("loose_pieces", "loose_area", "open_area", "invented_area"):
        assert judge(BEST | {name: BY_NAME[name].worst}).grade == "medium"


def test_the_minimum_decides_and_names_all_its_rows_worst_first() -> None:
    verdict = judge(BEST | {"psnr_db": 26.0, "ssim": 0.5, "gmsd": 0.12})
    assert verdict.grade == "low" and verdict.deciding == ("ssim", "gmsd")
    assert verdict.reason.startswith("local structure (SSIM) 0.5 (below 0.75); edge deviation")


def test_training_views_cap_at_medium_and_say_so() -> None:
    verdict = judge(BEST, evidence_source="training-views")
    assert verdict.grade == "medium" and verdict.deciding == ("evidence_source",)
    assert judge(BEST | {"ssim": 0.1}, evidence_source="training-views").grade == "low"


def test_a_view_that_shows_something_else_is_a_failure() -> None:
    verdict = judge(BEST | {"iou_worst": 0.49})
    assert verdict.grade == "failed" and "0.49" in verdict.reason
    assert judge(BEST | {"iou_worst": 0.5}).grade == "low"


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_missing_or_non_finite_number_is_refused_by_name(bad) -> None:
    with pytest.raises(ReconstructionError, match="gmsd"):
        judge(BEST | {"gmsd": bad})


def test_score_is_the_harmonic_mean_so_one_bad_row_shows() -> None:
    one_bad = judge(BEST | {"ssim": 0.75}).score
    count = len(PROFILE.rules)
    assert one_bad == pytest.approx(count / ((count - 1) / 100 + 1 / 50), abs=0.06)
    assert judge(BEST | {"ssim": 0.4}).score < one_bad


def test_the_table_is_the_documented_one() -> None:
    documented = {
        "iou_mean": (0.98, 0.95),
        "iou_worst": (0.96, 0.90),
        "contour_per_mille": (6, 20),
        "psnr_db": (27, 23),
        "ssim": (0.88, 0.75),
        "gmsd": (0.065, 0.11),
        "sharpness": (0.60, 0.35),
        "views_registered": (0.9, 0.6),
        "seen_twice": (0.9, 0.7),
    }
    assert {name: (BY_NAME[name].high, BY_NAME[name].medium) for name in documented} == documented
