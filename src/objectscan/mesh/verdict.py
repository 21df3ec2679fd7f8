"""The verdict on a result: one versioned table of thresholds, and the minimum over its rows.

docs/verdict.md holds the measurements behind the thresholds. A threshold is never edited in place: a re-fit
gets a new profile name, so that old reports keep their meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from objectscan.errors import ReconstructionError

Grade = Literal["high", "medium", "low", "failed", "unjudged"]
"""`unjudged`: no photo can be compared with the result, so that nobody knows whether it is right."""
EvidenceSource = Literal["held-out", "training-views", "none"]

_RANK: Mapping[str, int] = {"failed": 0, "low": 1, "medium": 2, "high": 3}
FAILED_BELOW_IOU = 0.5
"""Worst mask IoU under which the result shows another object, or none."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table. `best > worst` means that more is better."""

    name: str
    label: str
    """Words for a person."""
    best: float
    """Worth 100 points."""
    high: float
    """Last value that is graded high; worth 80 points."""
    medium: float
    """Last value that is graded medium; worth 50 points."""
    worst: float
    """Worth 0 points."""
    floor: Grade = "low"
    """The lowest grade this row gives. Topology caps at medium: holes don't make a good surface bad."""
    percent: bool = False
    """Shown as a percentage."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of rules. All of them apply; the minimum decides."""

    name: str
    rules: tuple[Rule, ...]


PROFILE = Profile(
    "2026-11",
    (
        Rule("iou_mean", "outline overlap, mean", 1.0, 0.98, 0.95, 0.5),
        Rule("iou_worst", "outline overlap, worst view", 1.0, 0.96, 0.90, 0.5),
        Rule("contour_per_mille", "outline distance, per 1000 px of object", 0.0, 6.0, 20.0, 100.0),
        Rule("psnr_db", "colour error after exposure fit, dB", 40.0, 27.0, 23.0, 12.0),
        Rule("ssim", "local structure (SSIM)", 1.0, 0.88, 0.75, 0.3),
        Rule("gmsd", "edge deviation (GMSD)", 0.0, 0.065, 0.11, 0.25),
        Rule("sharpness", "fine detail relative to the photos", 1.0, 0.60, 0.35, 0.0),
        Rule("views_registered", "photos with a camera", 1.0, 0.90, 0.60, 0.0, percent=True),
        Rule("seen_twice", "surface in two or more photos", 1.0, 0.90, 0.70, 0.0, percent=True),
        # Calibration (docs/verdict.md): 20 floaters of 0.03 % each leave every pixel row high, and so do
        # 5 % of missing faces where no held-out view looks.
        Rule("loose_pieces", "loose pieces", 0.0, 3.0, 20.0, 100.0, floor="medium"),
        Rule("loose_area", "area of loose pieces", 0.0, 0.005, 0.05, 0.5, floor="medium", percent=True),
        Rule("open_area", "area of open holes", 0.0, 0.01, 0.10, 0.5, floor="medium", percent=True),
        Rule("invented_area", "surface closed by guess", 0.0, 0.10, 0.30, 0.8, floor="medium", percent=True),
    ),
)


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One rule applied."""

    name: str
    label: str
    value: float
    high: float
    medium: float
    grade: Grade
    score: float
    """0 to 100."""
    percent: bool
    """Whether value and thresholds are shares to be shown as percentages."""
    words: str
    """The value against the threshold it missed, or that it passed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The minimum over the rows, with what decided it."""

    profile: str
    grade: Grade
    score: float
    """0 to 100, harmonic mean over the rows. For sorting results of one grade, for nothing else."""
    deciding: tuple[str, ...]
    """Names of the rows at the verdict's grade, worst first; for `high` the single weakest row."""
    reason: str
    """One sentence for a person."""
    rows: tuple[VerdictRow, ...]


def judge(
    values: Mapping[str, float], *, evidence_source: EvidenceSource = "held-out", profile: Profile = PROFILE
) -> Verdict:
    """Grade the numbers of one result.

    Args:
        values: One finite number for each rule of the profile, by rule name.
        evidence_source: Whether the photos were kept from the optimiser. Training views cap the verdict at
            medium.
        profile: The thresholds.

    Raises:
        ReconstructionError: A number is missing or not finite; the message names it.
    """
    rows = tuple(_applied(rule, _checked(values, rule.name)) for rule in profile.rules)
    grade: Grade = min((row.grade for row in rows), key=lambda g: _RANK[g])
    weakest_first = sorted(rows, key=lambda row: row.score)
    deciding = tuple(row.name for row in weakest_first if row.grade == grade)
    reason = "; ".join(row.words for row in weakest_first if row.grade == grade)
    if grade == "high":
        deciding, reason = deciding[:1], f"every row is high; the weakest is {weakest_first[0].words}"
    if grade == "high" and evidence_source == "training-views":
        grade, deciding = "medium", ("evidence_source",)
        reason = "no photo was kept from the optimiser, so the numbers can't show how it does on new views"
    if values["iou_worst"] < FAILED_BELOW_IOU:
        grade, deciding = "failed", ("iou_worst",)
        overlap = f"{values['iou_worst']:.2f} (below {FAILED_BELOW_IOU:g})"
        reason = f"in one photo the outlines overlap by only {overlap}"
    return Verdict(profile.name, grade, _harmonic_mean(rows), deciding, reason, rows)


def unjudged(values: Mapping[str, float], *, reason: str, profile: Profile = PROFILE) -> Verdict:
    """The verdict on a result that no photo can be compared with: its surface's rows, and no grade.

    Args:
        values: Finite numbers by rule name; only rules that have one are applied.
        reason: Why there is no comparison, in words.
        profile: The thresholds.

    Raises:
        ReconstructionError: A number is not finite; the message names it.
    """
    rows = tuple(_applied(rule, _checked(values, rule.name)) for rule in profile.rules if rule.name in values)
    return Verdict(profile.name, "unjudged", _harmonic_mean(rows), ("evidence_source",), reason, rows)


def row_score(rule: Rule, value: float) -> float:
    """Points from 0 to 100, piecewise linear through the rule's four anchors."""
    anchors = np.array([rule.worst, rule.medium, rule.high, rule.best])
    points = np.array([0.0, 50.0, 80.0, 100.0])
    order = np.argsort(anchors)
    return float(np.interp(value, anchors[order], points[order]))


def _checked(values: Mapping[str, float], name: str) -> float:
    value = values.get(name)
    if value is None or not np.isfinite(value):
        raise ReconstructionError(f"The evidence has no usable value for '{name}': {value}.")
    return float(value)


def _applied(rule: Rule, value: float) -> VerdictRow:
    sign = 1.0 if rule.best > rule.worst else -1.0
    grade: Grade = rule.floor
    if sign * value >= sign * rule.medium:
        grade = "medium"
    if sign * value >= sign * rule.high:
        grade = "high"
    return VerdictRow(
        name=rule.name,
        label=rule.label,
        value=value,
        high=rule.high,
        medium=rule.medium,
        grade=grade,
        score=row_score(rule, value),
        percent=rule.percent,
        words=_words(rule, value, grade),
    )


def _words(rule: Rule, value: float, grade: Grade) -> str:
    more = rule.best > rule.worst
    threshold = rule.medium if grade == "low" else rule.high
    verb = ("at least" if more else "at most") if grade == "high" else ("below" if more else "above")
    shown = [f"{100 * number:.3g} %" if rule.percent else f"{number:.4g}" for number in (value, threshold)]
    return f"{rule.label} {shown[0]} ({verb} {shown[1]})"


def _harmonic_mean(rows: tuple[VerdictRow, ...]) -> float:
    points = np.maximum([row.score for row in rows], 1.0)  # one row at 0 would hide all others
    return round(float(len(points) / np.sum(1.0 / points)), 1)
