"""Quick features of a photo at a small size, and how two photos match by them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int64

from objectscan.capture.checks import thresholds
from objectscan.capture.checks.quality import small_gray
from objectscan.capture.photoset import PlainPhoto


@dataclass(frozen=True, slots=True)
class PhotoFeatures:
    """SIFT (Lowe 2004) at `thresholds.MATCH_EDGE_PX`, the strongest `thresholds.MATCH_FEATURES`."""

    name: str
    size: tuple[int, int]
    """(width, height) of a picture of the same shape with a longer side of `thresholds.GRAPH_EDGE_PX`."""
    places_px: Float32[np.ndarray, "K 2"]
    """(column, row) in pixels of `size`."""
    descriptors: Float32[np.ndarray, "K 128"]
    """Square roots of the descriptors, of length 1 (Arandjelovic and Zisserman 2012)."""


def quick_features(photo: PlainPhoto) -> PhotoFeatures:
    """Features of one photo; about 50 ms.

    Raises:
        UnreadableImage: The normalised picture is gone.
    """
    gray = small_gray(photo)
    scale = min(1.0, thresholds.MATCH_EDGE_PX / max(gray.shape))
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    sift = cv2.SIFT.create(nfeatures=thresholds.MATCH_FEATURES)
    found, descriptors = sift.detectAndCompute(small, None)
    factor = thresholds.GRAPH_EDGE_PX / max(small.shape)
    size = round(small.shape[1] * factor), round(small.shape[0] * factor)
    if descriptors is None:
        return PhotoFeatures(photo.name, size, np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
    places = np.array([point.pt for point in found], np.float32) * np.float32(factor)
    return PhotoFeatures(photo.name, size, places, descriptors.astype(np.float32))


def matches_between(one: PhotoFeatures, other: PhotoFeatures) -> Int64[np.ndarray, "M 2"]:
    """Pairs of feature numbers that are each other's nearest, clearly nearer than the second nearest."""
    if min(len(one.descriptors), len(other.descriptors)) < 2:
        return np.zeros((0, 2), np.int64)
    likeness = one.descriptors @ other.descriptors.T
    rows = np.arange(len(likeness))
    nearest = likeness.argmax(1)
    best = likeness[rows, nearest].copy()
    mutual = likeness.argmax(0)[nearest] == rows
    likeness[rows, nearest] = -1.0
    # Descriptors have length 1: the squared distance is 2 - 2 x likeness.
    is_clear = 1.0 - best < thresholds.MATCH_RATIO**2 * (1.0 - likeness.max(1))
    kept = np.flatnonzero(mutual & is_clear)
    return np.stack([kept, nearest[kept]], axis=1).astype(np.int64)
