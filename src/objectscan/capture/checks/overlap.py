"""What the view graph of quick matches says about a set: parts that share nothing, weak ties, no parallax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from objectscan.capture.checks import thresholds as limit
from objectscan.capture.photoset import PlainPhoto
from objectscan.capture.solve.evidence import PairMatches
from objectscan.capture.solve.graph import groups_of, planar_share, rotation_share, second_best, static_share
from objectscan.types import Finding


def overlap_findings(photos: Sequence[PlainPhoto], matches: PairMatches) -> tuple[Finding, ...]:
    """Findings on how the photos hang together; the first is an error if solving would be in vain.

    Args:
        photos: At least one, in the order of `matches.photos`.
        matches: Of the photos, in pixels at `thresholds.EDGE_PX`.
    """
    if len(photos) < limit.FEWEST_FOR_GRAPH or static_share(matches) >= limit.STATIC_SHARE:
        return ()  # A turntable before a still background: the solver looks at the object alone.
    groups = groups_of(matches, limit.LINK_MATCHES)
    ties = second_best(matches)
    refused = _several_scenes(groups, ties, len(photos)) or _falls_apart(groups, len(photos))
    refused = refused or _only_turned(photos, matches)
    if refused is not None:
        return (refused,)
    return tuple(finding for finding in (_flat(matches), _weak(groups, ties)) if finding is not None)


def _several_scenes(groups: Sequence[tuple[str, ...]], ties: dict[str, int], count: int) -> Finding | None:
    least = max(3.0, limit.SCENE_SHARE * count)
    large = [group for group in groups if len(group) >= least]
    firm = [g for g in large if float(np.median([ties[name] for name in g])) >= limit.FIRM_TIES]
    if len(firm) < 2:
        return None
    parts = "; ".join(f"{len(group)} photos ({', '.join(group[:3])})" for group in firm)
    words = (
        f"The photos fall into groups that share nothing: {parts}. Give the photos of one object alone, or "
        "add photos that lead from one group to the other."
    )
    return Finding("multiple_scenes", "error", words, tuple(name for group in firm[1:] for name in group))


def _falls_apart(groups: Sequence[tuple[str, ...]], count: int) -> Finding | None:
    if len(groups[0]) >= 3 and len(groups[0]) > limit.CONNECTED_SHARE * count:
        return None
    missing = tuple(name for group in groups[1:] for name in group)
    words = (
        f"Only {len(groups[0])} of {count} photos visibly overlap. Take them again with more overlap, one "
        "photo every 10 to 15 degrees, all around."
    )
    return Finding("registration_failed", "error", words, missing)


def _only_turned(photos: Sequence[PlainPhoto], matches: PairMatches) -> Finding | None:
    scales = {photo.name: min(1.0, limit.EDGE_PX / max(photo.size)) for photo in photos}
    focals = {p.name: p.focal_prior_px and p.focal_prior_px * scales[p.name] for p in photos}
    sizes = {p.name: (round(p.size[0] * scales[p.name]), round(p.size[1] * scales[p.name])) for p in photos}
    if rotation_share(matches, focals, sizes) < limit.TURNED_SHARE:
        return None
    words = (
        "The camera only turned on the spot: neighbouring photos differ by a turn, so there is no depth in "
        "them. Walk around the object, one photo every 10 to 15 degrees."
    )
    return Finding("no_parallax", "error", words, matches.photos)


def _flat(matches: PairMatches) -> Finding | None:
    if planar_share(matches) < limit.PLANAR_SHARE:
        return None
    words = (
        "Nearly all that neighbouring photos have in common lies in one plane. If that is a picture or a "
        "bare table, there is no object to be found; if it is what the object stands on, go nearer."
    )
    return Finding("degenerate_geometry", "warning", words)


def _weak(groups: Sequence[tuple[str, ...]], ties: dict[str, int]) -> Finding | None:
    apart = {name for group in groups[1:] for name in group}
    weak = tuple(name for name in ties if name in apart or ties[name] < limit.LINK_MATCHES)
    if not weak:
        return None
    words = (
        f"{len(weak)} of {len(ties)} photos have little in common with two others: {', '.join(weak[:5])}. "
        "They may be left out; photos between them and their neighbours help."
    )
    return Finding("little_overlap", "warning", words, weak)
