"""One way of looking at the photos (plain or affine features), from features to a judged model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from objectscan.capture.solve import thresholds as limit
from objectscan.capture.solve.agreement import Agreement, compare
from objectscan.capture.solve.evidence import PairMatches, SparseModel
from objectscan.capture.solve.gate import GRADES, Asked, Verdict, judge
from objectscan.capture.solve.graph import static_share
from objectscan.capture.solve.pictures import write_masks
from objectscan.capture.solve.reasons import only_turned
from objectscan.capture.solve.second_start import other_first_pairs
from objectscan.capture.solve.stages import (
    SolveJob,
    Span,
    adjust_without,
    find_features,
    find_matches,
    find_models,
    for_turntable,
    verify_again,
)

_STARTS_TRIED = 3
"""First pairs that are tried for a second solution; one that COLMAP refuses costs a second."""
_MOST_MISFITS = 0.3
"""Share of photos that may be taken out of a model; with more the model itself is wrong."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was found, and its verdict."""

    job: SolveJob
    matches: PairMatches
    models: tuple[SparseModel, ...]
    """Largest first; the first one is judged, photos that contradicted it taken out."""
    verdict: Verdict | None
    """None without a model."""

    @property
    def rank(self) -> tuple[float, ...]:
        """Better attempts rank higher: grade, then photos, then consistency."""
        if self.verdict is None:
            return (-1.0,)
        measures = self.verdict.measures
        grade = GRADES.index(self.verdict.grade)
        return float(grade), measures["photos_registered"], measures["pair_consistency"]


def asked_of(job: SolveJob) -> Asked:
    """All photos and their focal lengths from EXIF, in pixels of the pictures."""
    focals = {picture.photo.name: picture.focal_prior_px for picture in job.pictures}
    return Asked(tuple(focals), focals, job.is_turntable)


def run_attempt(
    job: SolveJob, span: Span, *, is_affine: bool, masks: Mapping[str, Path] | None = None
) -> Attempt:
    """Features, matches, models, verdict; over to the turntable's way if most matches stand still.

    Args:
        job: What is shared by all attempts.
        span: Part of the progress.
        is_affine: Whether to find affine-shaped features on several scales (DSP-SIFT): slower, but they bear
            larger steps between photos.
        masks: By photo name; used for a turntable only.
    """
    folder = job.folder / ("affine" if is_affine else "plain")
    parts = _parts(span)
    find_features(job, folder, parts[0], is_affine=is_affine)
    matches = find_matches(job, folder, parts[1])
    if not job.is_turntable and static_share(matches) >= limit.STATIC_SHARE:
        job, matches = _as_turntable(job, folder, parts[1], is_affine=is_affine, masks=masks)
    # A turn on the spot is not even mapped: what comes of it looks right (see `only_turned`).
    models = () if only_turned(job, matches) else find_models(job, folder, parts[2])
    if not models:
        return Attempt(job, matches, (), None)
    asked = asked_of(job)
    verdict = judge(matches, models[0], asked)
    if 0 < len(verdict.misfits) <= _MOST_MISFITS * len(models[0].photos):
        adjusted = adjust_without(job, folder, parts[3], models[0], verdict.misfits)
        models = (adjusted, *models[1:])
    second = _second_start(job, folder, matches, models[0], parts[4])
    return Attempt(job, matches, models, judge(matches, models[0], asked, second=second))


def _parts(span: Span) -> list[Span]:
    """Features, matches, models, adjustment, second start: measured shares for 30 photos."""
    ends = (0.0, 0.15, 0.72, 0.85, 0.87, 1.0)
    width = span.end - span.begin
    return [
        Span(span.begin + width * begin, span.begin + width * end) for begin, end in itertools.pairwise(ends)
    ]


def _as_turntable(
    job: SolveJob, folder: Path, span: Span, *, is_affine: bool, masks: Mapping[str, Path] | None
) -> tuple[SolveJob, PairMatches]:
    """Matches of the object alone: by masks if there are some, else by leaving out what stands still."""
    job = for_turntable(job, has_masks=bool(masks))
    if not masks:
        return job, verify_again(job, folder, span)
    write_masks(job.pictures, masks, job.folder / "masks")
    middle = (span.begin + span.end) / 2
    find_features(job, folder, Span(span.begin, middle), is_affine=is_affine)
    return job, find_matches(job, folder, Span(middle, span.end))


def _second_start(
    job: SolveJob, folder: Path, matches: PairMatches, model: SparseModel, span: Span
) -> Agreement | None:
    """How far a solution from another first pair agrees; None if there is no such pair that starts one."""
    pairs = other_first_pairs(matches, model, _STARTS_TRIED)
    for number, pair in enumerate(pairs):
        models = find_models(job, folder, span, out=f"second_{number}", first_pair=pair)
        if models:
            return compare(model, models[0])
    return None
