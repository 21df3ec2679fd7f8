"""What the quick view graph says of a set, with the photos concerned and the advice in words.

Only what measured sets never show when they are good refuses here; the rest warns, and the solver decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from objectscan.capture.checks import thresholds as limit
from objectscan.capture.checks.view_graph import quick_graph
from objectscan.capture.photoset import PhotoSet
from objectscan.capture.solve.evidence import PairMatches
from objectscan.capture.solve.graph import (
    groups_of,
    planar_share,
    rotation_share,
    second_best,
    static_share,
)
from objectscan.errors import PhotosUnusable
from objectscan.types import Finding, ProgressFn, ignore_progress

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Overlaps:
    """How the photos of a set hang together, before their cameras are known."""

    groups: tuple[tuple[str, ...], ...]
    """Photos that quick matches connect, largest group first; single photos too."""
    second_best: dict[str, int]
    """By photo the number of quick matches with its second-best partner."""
    static_share: float
    """Of the matches of strong pairs, those that did not move between the photos."""
    turned_share: float
    """Of the matches of strong pairs, those that a mere turn of the camera explains."""
    planar_share: float
    """Of the strong pairs, those that a homography explains."""
    findings: tuple[Finding, ...]

    @property
    def refusal(self) -> Finding | None:
        """The reason for refusing the set, if it is."""
        return next((finding for finding in self.findings if finding.severity == "error"), None)


def judge_overlaps(photos: PhotoSet, report: ProgressFn = ignore_progress) -> Overlaps:
    """Match small copies of the photos and tell what does not hang together. About 0.15 s a photo and core.

    Args:
        photos: At least one.
        report: Receives progress of the stage `overlaps`; may raise `Cancelled`.

    Returns:
        Measures of the graph and findings; one of severity `error` means that the set is refused.

    Raises:
        UnreadableImage: A normalised picture is gone.
    """
    graph = quick_graph(photos, report)
    groups = tuple(groups_of(graph, limit.LINK_MATCHES))
    links = second_best(graph)
    measured = static_share(graph), _turned_share(photos, graph), planar_share(graph)
    findings = (*_without_depth(*measured), *_separate(groups), *_weak(groups[0], links))
    return Overlaps(groups, links, *measured, findings)


def require_overlaps(overlaps: Overlaps) -> None:
    """Go on only with photos that may hang together.

    Raises:
        PhotosUnusable: `details["reason"]` is the code of the finding that refuses the set.
    """
    finding = overlaps.refusal
    if finding is None:
        return
    sentence, _, advice = finding.message.partition(". ")
    details = {"reason": finding.code, "photos": list(finding.photos)}
    raise PhotosUnusable(sentence + ".", hint=advice, details=details)


def _turned_share(photos: PhotoSet, graph: PairMatches) -> float:
    factors = {photo.name: limit.GRAPH_EDGE_PX / max(photo.size) for photo in photos.photos}
    focals = {
        photo.name: None if photo.focal_prior_px is None else photo.focal_prior_px * factors[photo.name]
        for photo in photos.photos
    }
    sizes = {
        photo.name: (round(photo.size[0] * factors[photo.name]), round(photo.size[1] * factors[photo.name]))
        for photo in photos.photos
    }
    return rotation_share(graph, focals, sizes)


def _without_depth(static: float, turned: float, planar: float) -> tuple[Finding, ...]:
    """At most one: photos that repeat are also explained by a turn, and those by a homography."""
    if static >= limit.STATIC_SHARE:
        words = (
            "Most of what neighbouring photos share stands still in them: a turntable before a still "
            "background, or nearly the same photo again. Walk around the object, or use a plain background."
        )
        return (Finding("still_background", "warning", words),)
    if turned >= limit.TURNED_SHARE and planar >= limit.PLANAR_SHARE:
        words = (
            "The camera only turned on the spot: neighbouring photos differ by a turn, so there is no depth "
            "in them. Walk around the object, one photo every 10 to 15 degrees."
        )
        return (Finding("no_parallax", "error", words),)
    if planar >= limit.PLANAR_SHARE:
        words = (
            "All that neighbouring photos share seems to lie in one plane: a picture, a wall or a bare "
            "table. An object is needed that stands out from it and has texture of its own."
        )
        return (Finding("flat_scene", "warning", words),)
    return ()


def _separate(groups: tuple[tuple[str, ...], ...]) -> tuple[Finding, ...]:
    count = sum(map(len, groups))
    large = [group for group in groups if len(group) >= max(limit.SCENE_PHOTOS, limit.SCENE_SHARE * count)]
    found = []
    if len(large) > 1:
        parts = "; ".join(f"{len(group)} photos ({_listed(group)})" for group in large)
        words = (
            f"The photos seem to fall into groups that share nothing: {parts}. Give the photos of one object "
            "alone, or add photos that lead from one group to the other."
        )
        others = tuple(name for group in large[1:] for name in group)
        found.append(Finding("multiple_scenes", "warning", words, others))
    loose = tuple(name for group in groups if group not in large for name in group)
    if loose:
        words = (
            f"{_listed(loose)}: nothing in common with the other photos was found. "
            "Leave out what shows something else, or add photos between it and the others."
        )
        found.append(Finding("unconnected_photo", "warning", words, loose))
    return tuple(found)


def _weak(connected: tuple[str, ...], links: dict[str, int]) -> tuple[Finding, ...]:
    weak = tuple(name for name in connected if links[name] < limit.LINK_MATCHES)
    if not weak or len(connected) < limit.SCENE_PHOTOS:
        return ()
    words = (
        f"{_listed(weak)}: tied to one other photo only. "
        "Take more photos near there, one every 10 to 15 degrees."
    )
    return (Finding("weak_overlap", "warning", words, weak),)


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
