"""Whether a mask can be trusted: by itself, by the sparse points, by the hull of all others."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from objectscan.capture.segment.boxes import INSIDE, touched_sides
from objectscan.capture.segment.projection import PhotoCamera

_LEAST_SHARE = 0.0005
_MOST_SHARE = 0.98
_POINTS_INSIDE = 0.6
"""Least share of the object points' projections on the mask."""
_LEAST_AGREEMENT = 0.7
"""Least IoU of a mask with the silhouette of the hull, which itself is fat by about 5 points."""
_NEAR_POINT_PX = 3

Mask = UInt8[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True)
class Trust:
    """How far one mask is believed."""

    confidence: float
    """In [0, 1]: the smaller of how decided the network was and how well the hull agrees."""
    problem: str | None
    """Why the mask can't be used, in words that follow the photo's name; None if it can."""


def trust(
    mask: Mask,
    *,
    certainty: float,
    points_inside: float | None = None,
    agreement: float | None = None,
) -> Trust:
    """Judge one mask.

    Args:
        mask: At the photo's size.
        certainty: From `certainty_of`.
        points_inside: From `share_of_points`; None without points.
        agreement: IoU with the hull's silhouette; None without a hull.
    """
    confidence = min(certainty, 1.0 if agreement is None else agreement)
    problem = _problem(mask)
    if problem is None and points_inside is not None and points_inside < _POINTS_INSIDE:
        problem = f"has a mask that holds only {100 * points_inside:.0f} % of the object's 3D points"
    if problem is None and agreement is not None and agreement < _LEAST_AGREEMENT:
        problem = f"has a mask that agrees only {100 * agreement:.0f} % with those of the other photos"
    return Trust(0.0 if problem else round(confidence, 3), problem)


def certainty_of(mask: Mask) -> float:
    """How decided a soft mask is: 1 if all values are 0 or 255, 0 if all are in the middle or it is empty."""
    share = mask.astype(np.float32) / 255
    total = float(share.sum())
    return 0.0 if total == 0 else max(0.0, 1 - 2 * float(np.minimum(share, 1 - share).sum()) / total)


def share_of_points(mask: Mask, points: Float[np.ndarray, "P 3"], camera: PhotoCamera) -> float | None:
    """Share of the points in sight whose pixel lies on the mask or within 3 pixels of it; None if none is."""
    pixels, _ = camera.project(points)
    pixels = pixels[np.isfinite(pixels).all(axis=1)]
    columns, rows = np.floor(pixels).astype(int).T
    height, width = mask.shape
    shown = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    if not shown.any():
        return None
    side = 2 * _NEAR_POINT_PX + 1
    wide = cv2.dilate(mask, np.ones((side, side), np.uint8))
    return float((wide[rows[shown], columns[shown]] >= INSIDE).mean())


def overlap(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks' object pixels; 1 if both are empty."""
    a, b = first >= INSIDE, second >= INSIDE
    union = int((a | b).sum())
    return 1.0 if union == 0 else float((a & b).sum()) / union


def _problem(mask: Mask) -> str | None:
    """What is wrong with a mask whatever the other photos show."""
    share = float((mask >= INSIDE).mean())
    if share < _LEAST_SHARE:
        return "shows no object that stands out from its background (the mask is empty)"
    if share > _MOST_SHARE:
        return "shows no background (the mask is full)"
    touched = touched_sides(mask)
    if len(touched) >= 3:
        return f"has a mask that runs out of the photo on {len(touched)} sides"
    return None
