"""What the photos of a capture support, told before any time is spent on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from objectscan.capture.holdout import FEWEST_TO_SPLIT, azimuths_rad, directions_to_cameras
from objectscan.capture.sharpness import sharpness_of
from objectscan.types import Capture, Finding

_WIDE_GAP_DEG = 60.0
_BLURRED = 0.12
"""Share of the strongest gradients that a slight blur removes; below this a photo was blurred already."""
_BLURRED_TO_MEDIAN = 0.6


@dataclass(frozen=True, slots=True)
class CaptureSummary:
    """Facts about a capture. Angles in degrees, as people read them."""

    views: int
    masked_views: int
    smallest_size: tuple[int, int]
    """(width, height) in pixels of the view with the fewest."""
    largest_size: tuple[int, int]
    largest_gap_deg: float
    """Largest angle between neighbouring photos around the object; 360 for a single one."""
    gap_between: tuple[str, str] | None
    """The photos on either side of that gap."""
    elevation_range_deg: tuple[float, float]
    """Lowest and highest camera above the object's horizon."""
    neighbour_angle_deg: float
    """Median angle between a photo and the nearest other one, seen from the object."""
    object_edge_px: float | None
    """Median longer side of the object in the photos; None without masks."""
    touching_border: tuple[str, ...]
    sharpness: tuple[float, ...]
    """One value per view: see `sharpness_of`."""
    blurred: tuple[str, ...]
    verdict_cap: Literal["high", "medium", "low"]
    """The best verdict that a model of this capture can get."""
    verdict_reason: str
    findings: tuple[Finding, ...]
    """The capture's findings and those made here."""


def inspect_capture(capture: Capture) -> CaptureSummary:
    """Measure what a capture supports. Costs about 20 ms per photo; needs no masks."""
    gap_deg, gap_between = _largest_gap(capture)
    elevations = np.degrees(np.arcsin(np.clip(directions_to_cameras(capture)[:, 1], -1, 1)))
    sharpness = tuple(sharpness_of(view) for view in capture.views)
    blurred = _blurred(capture, sharpness)
    sizes = sorted((view.camera.size for view in capture.views), key=lambda size: size[0] * size[1])
    cap, reason = _verdict_cap(capture, gap_deg)
    touching = [
        photo
        for finding in capture.findings
        if finding.code == "mask_touches_border"
        for photo in finding.photos
    ]
    names = {view.name for view in capture.views}
    return CaptureSummary(
        views=len(capture.views),
        masked_views=sum(view.mask is not None for view in capture.views),
        smallest_size=sizes[0],
        largest_size=sizes[-1],
        largest_gap_deg=gap_deg,
        gap_between=gap_between,
        elevation_range_deg=(float(elevations.min()), float(elevations.max())),
        neighbour_angle_deg=_neighbour_angle_deg(capture),
        object_edge_px=_object_edge_px(capture),
        touching_border=tuple(photo for photo in touching if photo in names),
        sharpness=sharpness,
        blurred=blurred,
        verdict_cap=cap,
        verdict_reason=reason,
        findings=(*capture.findings, *_findings(capture, gap_deg, gap_between, blurred)),
    )


def _largest_gap(capture: Capture) -> tuple[float, tuple[str, str] | None]:
    angles = azimuths_rad(capture)
    if len(angles) < 2:
        return 360.0, None
    order = np.argsort(angles)
    steps = np.diff(angles[order], append=angles[order[0]] + 2 * np.pi)
    widest = int(steps.argmax())
    first, second = order[widest], order[(widest + 1) % len(order)]
    return float(np.degrees(steps[widest])), (capture.views[first].name, capture.views[second].name)


def _neighbour_angle_deg(capture: Capture) -> float:
    directions = directions_to_cameras(capture)
    if len(directions) < 2:
        return 0.0
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -1)
    return float(np.median(np.degrees(np.arccos(np.clip(cosines.max(axis=1), -1, 1)))))


def _object_edge_px(capture: Capture) -> float | None:
    edges = []
    for view in capture.views:
        if view.mask is not None and (view.mask >= 128).any():
            rows, columns = (
                np.flatnonzero((view.mask >= 128).any(1)),
                np.flatnonzero((view.mask >= 128).any(0)),
            )
            edges.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    return float(np.median(edges)) if edges else None


def _blurred(capture: Capture, sharpness: tuple[float, ...]) -> tuple[str, ...]:
    limit = max(_BLURRED, _BLURRED_TO_MEDIAN * float(np.median(sharpness)))
    return tuple(view.name for view, value in zip(capture.views, sharpness, strict=True) if value < limit)


def _verdict_cap(capture: Capture, gap_deg: float) -> tuple[Literal["high", "medium", "low"], str]:
    if len(capture.views) < FEWEST_TO_SPLIT:
        words = f"{len(capture.views)} photos are too few to hold some back as evidence"
        return "medium", words
    if gap_deg > _WIDE_GAP_DEG:
        return "medium", f"no photo shows {gap_deg:.0f} degrees of the way around the object"
    return "high", "enough photos all around"


def _findings(
    capture: Capture, gap_deg: float, gap_between: tuple[str, str] | None, blurred: tuple[str, ...]
) -> tuple[Finding, ...]:
    found = []
    if len(capture.views) < FEWEST_TO_SPLIT:
        words = (
            f"Only {len(capture.views)} photos: expect gaps and guessed surface. 24 to 36 per turn are good."
        )
        found.append(Finding("few_views", "warning", words))
    if gap_deg > _WIDE_GAP_DEG and gap_between is not None:
        first, second = gap_between
        words = f"No photo for {gap_deg:.0f} degrees between {first} and {second}. Add some there."
        found.append(Finding("poor_coverage", "warning", words, gap_between))
    if blurred:
        words = f"{len(blurred)} photos look blurred ({', '.join(blurred[:5])}). Retake or drop them."
        found.append(Finding("blurry_images", "warning", words, blurred))
    return tuple(found)
