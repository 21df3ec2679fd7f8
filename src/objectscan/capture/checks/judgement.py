"""Judges photos before time is spent on them: what can't work is refused with the reason and the advice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np

from objectscan.capture.checks import thresholds as limit
from objectscan.capture.checks.overlap import overlap_findings
from objectscan.capture.checks.quality import PhotoFacts, photo_facts
from objectscan.capture.checks.quick_matches import quick_matches
from objectscan.capture.ingest import in_threads
from objectscan.capture.photoset import PhotoSet
from objectscan.errors import PhotosUnusable
from objectscan.types import Finding, Progress, ProgressFn, ignore_progress

STAGE = "judge"
Reason = Literal[
    "blurry_images",
    "bad_exposure",
    "insufficient_features",
    "multiple_scenes",
    "registration_failed",
    "no_parallax",
]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the photos are worth, before their cameras are known."""

    photos: tuple[PhotoFacts, ...]
    findings: tuple[Finding, ...]
    reason: Reason | None = None
    """Why the set is refused; None if it may go on."""


@dataclass(frozen=True, slots=True)
class _Rule:
    reason: Reason
    fails: Callable[[PhotoFacts], bool]
    words: str
    advice: str


_RULES = (
    _Rule(
        "bad_exposure",
        lambda photo: photo.dark_share > limit.DARK_SHARE or photo.bright_share > limit.BRIGHT_SHARE,
        "almost black or almost white",
        "Photograph in even light with automatic exposure.",
    ),
    _Rule(
        "blurry_images",
        lambda photo: photo.sharpness < limit.BLURRED_SHARPNESS,
        "out of focus",
        "Tap on the object to focus, keep the distance, hold still.",
    ),
    _Rule(
        "insufficient_features",
        lambda photo: photo.keypoints < limit.FEWEST_KEYPOINTS,
        "without any detail to recognise",
        "Put the object on something with print or texture, such as a newspaper.",
    ),
)


def judge_photos(photos: PhotoSet, report: ProgressFn = ignore_progress) -> Judgement:
    """Measure each photo, compare it with the set, and see how the photos overlap.

    About 50 ms a photo and core, and 0.1 s a photo for the overlaps of thirty.

    Args:
        photos: At least one.
        report: Receives progress of the stage `judge`; may raise `Cancelled`.

    Returns:
        Facts, findings that name photos, and a reason if half of the photos or more can't be used, or if they
        can't be fitted together.

    Raises:
        UnreadableImage: A normalised picture is gone.
    """
    measured = in_threads(
        photo_facts, photos.photos, lambda share: report(Progress(STAGE, 0.5 * share, "judging photos"))
    )
    facts = tuple(one for one, _ in measured)
    findings: list[Finding] = []
    for rule in _RULES:
        names = tuple(photo.name for photo in facts if rule.fails(photo))
        if not names:
            continue
        is_refused = len(names) >= limit.REFUSED_SHARE * len(facts)
        words = f"{len(names)} of {len(facts)} photos are {rule.words}, such as {names[0]}. {rule.advice}"
        findings.append(Finding(rule.reason, "error" if is_refused else "warning", words, names))
        if is_refused:
            return Judgement(facts, tuple(findings), rule.reason)
    report(Progress(STAGE, 0.5, "comparing photos"))
    matches = quick_matches([photo.name for photo in facts], [features for _, features in measured])
    overlap = overlap_findings(photos.photos, matches)
    report(Progress(STAGE, 1.0))
    judgement = Judgement(facts, (*findings, *_compared(facts), *overlap))
    refused = next((finding for finding in overlap if finding.severity == "error"), None)
    if refused is None:
        return judgement
    if refused.code == "registration_failed" and is_shaken(judgement):
        return _as_shaken(judgement)
    return replace(judgement, reason=_reason_of(refused))


def require_usable(judgement: Judgement) -> None:
    """Go on only with photos that may work.

    Raises:
        PhotosUnusable: `judgement.reason` says why not; the message counts the photos and says what to do.
    """
    if judgement.reason is None:
        return
    finding = next(finding for finding in judgement.findings if finding.severity == "error")
    sentence, _, advice = finding.message.partition(". ")
    details = {"reason": judgement.reason, "photos": list(finding.photos)}
    raise PhotosUnusable(sentence + ".", hint=advice, details=details)


def is_shaken(judgement: Judgement) -> bool:
    """Whether a set without answer is probably blurred by motion: contrast, but hardly a corner."""
    contrast = float(np.median([photo.contrast for photo in judgement.photos]))
    keypoints = float(np.median([photo.keypoints for photo in judgement.photos]))
    return contrast >= limit.SHAKEN_CONTRAST and keypoints < limit.SHAKEN_KEYPOINTS


def _reason_of(finding: Finding) -> Reason:
    return cast(Reason, finding.code)


def _as_shaken(judgement: Judgement) -> Judgement:
    """The reason why shaken photos don't overlap."""
    names = tuple(photo.name for photo in judgement.photos)
    words = (
        "The photos look shaken, and so they don't fit together. Hold the camera still, or use more light or "
        "a shorter exposure."
    )
    kept = tuple(finding for finding in judgement.findings if finding.severity != "error")
    found = (*kept, Finding("blurry_images", "error", words, names))
    return Judgement(judgement.photos, found, "blurry_images")


def _compared(facts: Sequence[PhotoFacts]) -> tuple[Finding, ...]:
    """What only shows beside the other photos."""
    found = []
    usual = float(np.median([photo.sharpness for photo in facts]))
    soft = tuple(p.name for p in facts if p.sharpness < limit.BLURRED_BESIDE_THE_SET * usual)
    if soft:
        words = f"{', '.join(soft[:5])}: less sharp than the others. Take them again, or leave them out."
        found.append(Finding("blurry_images", "warning", words, soft))
    light = np.array([photo.median_linear for photo in facts])
    if light.min() > 0 and light.max() / light.min() > limit.EXPOSURE_RATIO:
        extremes = facts[int(light.argmin())].name, facts[int(light.argmax())].name
        words = (
            f"The brightest photo has {light.max() / light.min():.1f} times the light of the darkest. "
            "Lock the exposure, and keep to one light."
        )
        found.append(Finding("exposure_varies", "warning", words, extremes))
    return tuple(found)
