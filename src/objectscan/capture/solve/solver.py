"""Cameras from plain photos: look, match, place, judge, try again where it is worth it, and say why not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from objectscan.capture.photoset import PhotoSet, SolvedCameras
from objectscan.capture.solve import thresholds as limit
from objectscan.capture.solve.attempt import Attempt, run_attempt
from objectscan.capture.solve.groups import camera_groups
from objectscan.capture.solve.options import DEFAULT_SOLVE_LIMITS, SolveLimits
from objectscan.capture.solve.pictures import write_pictures
from objectscan.capture.solve.reasons import refusal
from objectscan.capture.solve.result import solved_from
from objectscan.capture.solve.stages import STAGE, SolveJob, Span
from objectscan.errors import CamerasNotFound, TooFewViews
from objectscan.types import Progress, ProgressFn, ignore_progress

_FIRST, _RETRY = Span(0.0, 0.7), Span(0.7, 1.0)
"""Of the progress. Without a retry the bar jumps: most sets need none."""


_HOPELESS = ("insufficient_features", "no_parallax", "degenerate_geometry", "multiple_scenes")


def solve_cameras(
    photos: PhotoSet,
    work: Path,
    *,
    masks: Mapping[str, Path] | None = None,
    seed: int = 0,
    limits: SolveLimits = DEFAULT_SOLVE_LIMITS,
    report: ProgressFn = ignore_progress,
) -> SolvedCameras:
    """Find where the photos were taken from, by structure from motion, and judge the answer.

    The same photos, seed and number of threads give the same cameras. Nothing outside `work` is written.

    Args:
        photos: At least 3.
        work: Folder for pictures, database and models; made if missing, its old contents of ours replaced.
        masks: White where the object is, by photo name. Used for features only if the object was turned in
            front of a still camera: else the surroundings tell more than the object.
        seed: Of every random choice.
        limits: On time, memory, threads and size.
        report: Receives progress of the stage `cameras`, at least twice a second. It may raise `Cancelled`;
            the solver is then dead within a second.

    Returns:
        Cameras in a gravity-up frame with the object at the origin, a grade, measures and findings. With
        grade `bad` the first finding of severity `error` says why; there may be no cameras at all.

    Raises:
        TooFewViews: Fewer than 3 photos.
        CamerasNotFound: The solver crashed or ran out of time.
        NotEnoughMemory: It hit its memory limit.
        MissingDependency: pycolmap is not installed.
        UnreadableImage: A file of the set is missing or broken.
    """
    if len(photos.photos) < limit.LEAST_REGISTERED:
        raise TooFewViews(
            f"{len(photos.photos)} photos can't be placed: at least {limit.LEAST_REGISTERED} are needed.",
            hint="Take 24 or more, all around the object.",
        )
    job = _new_job(photos, work, limits, seed, report)
    best = run_attempt(job, _FIRST, is_affine=False, masks=masks)
    if _is_worth_a_retry(best):
        other = run_attempt(best.job, _RETRY, is_affine=True)
        best = max(best, other, key=lambda attempt: attempt.rank)
    report(Progress(STAGE, 1.0, "cameras judged"))
    return solved_from(best)


def require_good_cameras(solved: SolvedCameras) -> None:
    """Go on only with cameras that can be trusted.

    Raises:
        CamerasNotFound: The grade is `bad`; `details` hold the reason, the photos concerned and the measures.
    """
    if solved.grade != "bad":
        return
    reason = next((finding for finding in solved.findings if finding.severity == "error"), None)
    if reason is None:
        raise ValueError("cameras of grade 'bad' need a finding of severity 'error'")
    sentence, _, advice = reason.message.partition(". ")
    details = {
        "reason": reason.code,
        "photos": list(reason.photos),
        "measures": dict(solved.measures),
    }
    raise CamerasNotFound(sentence.rstrip(".") + ".", hint=advice, details=details)


def _new_job(photos: PhotoSet, work: Path, limits: SolveLimits, seed: int, report: ProgressFn) -> SolveJob:
    work.mkdir(parents=True, exist_ok=True)
    folder = work.resolve()
    return SolveJob(
        folder,
        write_pictures(photos.photos, folder / "pictures", limits.max_edge_px),
        camera_groups(photos.photos),
        photos.is_ordered,
        limits,
        seed,
        time.monotonic() + limits.timeout_s,
        _rising(report),
    )


def _rising(report: ProgressFn) -> ProgressFn:
    """Progress that never falls: the mapper begins anew where a first pair leads nowhere."""
    highest = 0.0

    def rising(progress: Progress) -> None:
        nonlocal highest
        highest = max(highest, progress.fraction)
        report(replace(progress, fraction=highest))

    return rising


def _is_worth_a_retry(attempt: Attempt) -> bool:
    """Whether affine features may help: not if there is nothing to see or the camera only turned."""
    if attempt.verdict is not None and attempt.verdict.grade == "good":
        return len(attempt.models[0].photos) < limit.RETRY_REGISTERED_SHARE * len(attempt.matches.photos)
    reason = refusal(attempt.job, attempt.matches, attempt.models, attempt.verdict)
    return reason.code not in _HOPELESS
