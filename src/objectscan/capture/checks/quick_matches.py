"""Which photos show the same things: matches of small pictures, in seconds and without cameras.

The same kind of evidence as the solver's (`solve.evidence.PairMatches`), from a twentieth of the work: 800
SIFT keypoints of each photo at 512 pixels, mutual nearest neighbours, one fundamental matrix a pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from objectscan.capture.checks import thresholds as limit
from objectscan.capture.ingest import in_threads
from objectscan.capture.solve.evidence import PairMatches

_PLANAR, _GENERAL = 4, 3
"""COLMAP's numbers: a homography explains a pair, or it needs more."""
_RATIO = 0.8
_BEST_KEYPOINTS = 200
"""Of each photo, by which it is decided what pairs are worth a closer look."""
_PARTNERS = 8
_NEIGHBOURS = 2
"""Photos before and after that are always compared: names or times mostly order them."""
_RANSAC_PX = 2.0
_TRIALS = 500


@dataclass(frozen=True, slots=True)
class QuickFeatures:
    """Keypoints of one photo, strongest first."""

    places_px: Float32[np.ndarray, "K 2"]
    """(column, row) in the picture with a longer side of `thresholds.EDGE_PX`."""
    descriptors: Float32[np.ndarray, "K 128"]
    """Unit length (RootSIFT, Arandjelovic and Zisserman 2012)."""


def quick_features(gray: Float32[np.ndarray, "H W"]) -> QuickFeatures:
    """SIFT keypoints (at most `KEYPOINTS`) of a picture reduced to `KEYPOINT_EDGE_PX`."""
    scale = min(1.0, limit.KEYPOINT_EDGE_PX / max(gray.shape))
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    points, descriptors = cv2.SIFT.create(nfeatures=limit.KEYPOINTS).detectAndCompute(small, None)
    if descriptors is None:
        return QuickFeatures(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    order = np.argsort([-point.response for point in points], kind="stable")[: limit.KEYPOINTS]
    places = np.array([points[k].pt for k in order], np.float32) / np.float32(scale)
    chosen = descriptors[order]
    roots = np.sqrt(chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1e-6))
    return QuickFeatures(places, roots.astype(np.float32))


def quick_matches(names: Sequence[str], features: Sequence[QuickFeatures]) -> PairMatches:
    """Verified matches of the pairs that may show the same: neighbours, and the most alike.

    Args:
        names: Of the photos, in the order in which they were probably taken.
        features: Of the photos.
    """
    pairs = _promising(features)
    found = in_threads(
        lambda pair: _verified(features[pair[0]], features[pair[1]]), pairs, lambda share: None
    )
    kept = [(pair, match) for pair, match in zip(pairs, found, strict=True) if match is not None]
    counts = [len(match[0]) for _, match in kept]
    return PairMatches(
        tuple(names),
        np.array([len(one.places_px) for one in features], np.int32),
        np.array([pair for pair, _ in kept], np.int32).reshape(-1, 2),
        np.array([match[2] for _, match in kept], np.int32),
        np.cumsum([0, *counts]).astype(np.int64),
        np.concatenate([np.zeros((0, 2), np.float32), *[match[0] for _, match in kept]]),
        np.concatenate([np.zeros((0, 2), np.float32), *[match[1] for _, match in kept]]),
    )


def _promising(features: Sequence[QuickFeatures]) -> list[tuple[int, int]]:
    """Pairs of neighbours, and of each photo with those that share most of its strongest keypoints."""
    count = len(features)
    alike = np.zeros((count, count), np.int32)
    pairs = list(itertools.combinations(range(count), 2))

    def shared(pair: tuple[int, int]) -> int:
        first, second = (features[k].descriptors[:_BEST_KEYPOINTS] for k in pair)
        return len(_mutual(first, second)[0])

    for (one, other), number in zip(pairs, in_threads(shared, pairs, lambda share: None), strict=True):
        alike[one, other] = alike[other, one] = number
    chosen = {(one, other) for one, other in pairs if other - one <= _NEIGHBOURS}
    for photo in range(count):
        best = np.argsort(-alike[photo], kind="stable")[:_PARTNERS]
        chosen |= {(min(photo, int(k)), max(photo, int(k))) for k in best if alike[photo, k] > 0}
    return sorted(chosen)


def _mutual(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of mutual nearest neighbours that pass Lowe's ratio test."""
    if len(first) < 2 or len(second) < 2:
        return np.zeros(0, int), np.zeros(0, int)
    cosines = first @ second.T
    best = cosines.argmax(axis=1)
    rows = np.arange(len(first))
    mutual = cosines.argmax(axis=0)[best] == rows
    nearest = cosines[rows, best]
    cosines[rows, best] = -1.0
    runner_up = cosines.max(axis=1)
    # Unit vectors: squared distance is 2 - 2 cosine.
    distinct = (1.0 - nearest) < _RATIO**2 * (1.0 - runner_up)
    kept = mutual & distinct
    return rows[kept], best[kept]


def _verified(first: QuickFeatures, second: QuickFeatures) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Matched places that fit one fundamental matrix, and the pair's kind; None for too few."""
    one, other = _mutual(first.descriptors, second.descriptors)
    if len(one) < limit.LINK_MATCHES:
        return None
    places = first.places_px[one], second.places_px[other]
    try:
        _, inside = cv2.findFundamentalMat(*places, cv2.USAC_FAST, _RANSAC_PX, 0.999, _TRIALS)
    except cv2.error:  # OpenCV 5.0 asserts that a model was found
        return None
    if inside is None or inside.sum() < limit.LINK_MATCHES:
        return None
    kept = inside.ravel().astype(bool)
    first_px, second_px = places[0][kept], places[1][kept]
    return first_px, second_px, _PLANAR if _is_planar(first_px, second_px) else _GENERAL


def _is_planar(first_px: np.ndarray, second_px: np.ndarray) -> bool:
    """Whether one homography explains nearly all matches of a pair."""
    try:
        _, flat = cv2.findHomography(first_px, second_px, cv2.RANSAC, 2 * _RANSAC_PX)
    except cv2.error:
        return False
    return flat is not None and bool(flat.mean() >= limit.PLANAR_MATCHES)
