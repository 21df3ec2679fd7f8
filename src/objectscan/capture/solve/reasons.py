"""Why photos can't be solved: one reason that is true, with the photos concerned and what to do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from objectscan.capture.solve import thresholds as limit
from objectscan.capture.solve.evidence import PairMatches, SparseModel
from objectscan.capture.solve.gate import Verdict, listed
from objectscan.capture.solve.graph import (
    groups_of,
    planar_share,
    rotation_share,
    second_best,
    static_share,
)
from objectscan.capture.solve.stages import SolveJob
from objectscan.types import Finding


def set_findings(job: SolveJob, models: Sequence[SparseModel]) -> tuple[Finding, ...]:
    """What to say about the set whatever the grade: a turntable, several scenes, further models."""
    found = []
    if job.is_turntable:
        words = (
            "The object was turned in front of a still camera, so only the object itself tells where the "
            "camera stood."
        )
        found.append(Finding("turntable", "info", words))
    if models:
        for model in models[1:]:
            names = tuple(name for name in model.photos if name not in set(models[0].photos))
            if names:
                words = f"{listed(names)} fit together, but not with the other photos; they are left out."
                found.append(Finding("separate_group", "warning", words, names))
    return tuple(found)


def refusal(
    job: SolveJob, matches: PairMatches, models: Sequence[SparseModel], verdict: Verdict | None
) -> Finding:
    """The reason for refusing a set that has no model, or a bad one. Its code is the reason."""
    found = (
        _without_features(matches)
        or _without_parallax(job, matches)
        or _several_scenes(matches)
        or _flat(matches)
    )
    if found is None and verdict is not None:
        found = next((finding for finding in verdict.findings if finding.severity == "error"), None)
    return found or _not_registered(matches, models)


def _without_features(matches: PairMatches) -> Finding | None:
    median = float(np.median(matches.features))
    if median >= limit.FEW_FEATURES:
        return None
    words = (
        f"The photos show almost nothing that can be recognised ({median:.0f} points in the median photo). "
        "Use more light, focus on the object and put something printed, such as a newspaper, under it."
    )
    weak = np.flatnonzero(matches.features < limit.FEW_FEATURES).tolist()
    return Finding("insufficient_features", "error", words, tuple(matches.photos[photo] for photo in weak))


def _without_parallax(job: SolveJob, matches: PairMatches) -> Finding | None:
    if static_share(matches) >= limit.STATIC_SHARE or job.is_turntable:
        words = (
            "Nothing but the background is the same in neighbouring photos, or the photos repeat. Walk "
            "around the object; or, if it was on a turntable, use steps of at most 10 degrees and a plain "
            "background."
        )
        return Finding("no_parallax", "error", words)
    if not only_turned(job, matches):
        return None
    words = (
        "The camera only turned on the spot: neighbouring photos differ by a turn, so there is no depth in "
        "them. Walk around the object, one photo every 10 to 15 degrees."
    )
    return Finding("no_parallax", "error", words)


def only_turned(job: SolveJob, matches: PairMatches) -> bool:
    """Whether turns of the camera on one spot explain the photos.

    Such photos have a wrong answer that fits to 0.24 px: an orbit around the middle of the room with a longer
    lens and a distortion of 0.28. So nothing that a model says of itself may overrule this.
    """
    focals = {picture.photo.name: picture.focal_prior_px for picture in job.pictures}
    sizes = {picture.photo.name: picture.size for picture in job.pictures}
    return rotation_share(matches, focals, sizes) >= limit.TURNED_SHARE


def _several_scenes(matches: PairMatches) -> Finding | None:
    groups = groups_of(matches, limit.LINK_MATCHES)
    least = max(3.0, limit.SCENE_SHARE * len(matches.photos))
    large = [group for group in groups if len(group) >= least]
    if len(large) < 2:
        return None
    parts = "; ".join(f"{len(group)} photos ({listed(group, 4)})" for group in large)
    words = (
        f"The photos fall into groups that share nothing: {parts}. Give the photos of one object alone, or "
        "add photos that lead from one group to the other."
    )
    return Finding("multiple_scenes", "error", words, tuple(name for group in large[1:] for name in group))


def _flat(matches: PairMatches) -> Finding | None:
    if planar_share(matches) < limit.PLANAR_SHARE:
        return None
    words = (
        "All that the photos have in common lies in one plane: a picture, a wall or a bare table. An object "
        "is needed that stands out from it and has texture of its own."
    )
    return Finding("degenerate_geometry", "error", words)


def _not_registered(matches: PairMatches, models: Sequence[SparseModel]) -> Finding:
    placed = set(models[0].photos) if models else set()
    links = second_best(matches)
    missing = tuple(name for name in matches.photos if name not in placed)
    loose = [name for name in missing if links[name] < limit.LINK_MATCHES]
    words = (
        f"Only {len(placed)} of {len(matches.photos)} photos fit together. Too little in common with two "
        f"others: {listed(loose or missing)}. Take them again with more overlap, one photo every 10 to 15 "
        "degrees, all around."
    )
    return Finding("registration_failed", "error", words, missing)
