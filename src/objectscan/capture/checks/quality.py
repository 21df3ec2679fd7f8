"""What one photo is worth, in numbers that cost 30 ms: sharpness, exposure, contrast, detail."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from objectscan.capture.checks import thresholds
from objectscan.capture.checks.quick_matches import QuickFeatures, quick_features
from objectscan.capture.photoset import PlainPhoto
from objectscan.errors import UnreadableImage

_BLUR_PX = 1.5
_STRONGEST = 0.95

Gray = Float32[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """Measured on the photo with a longer side of `thresholds.EDGE_PX`."""

    name: str
    sharpness: float
    """1 - what is left of the strongest 5 % of gradients after a blur of 1.5 pixels: 0 blurred, 0.7 crisp."""
    dark_share: float
    """Of the pixels."""
    bright_share: float
    median_linear: float
    """Median luminance, linear, in [0, 1]."""
    contrast: float
    """Standard deviation of the 8-bit luma."""
    keypoints: int
    """SIFT keypoints (at most 800) at 512 pixels."""


def photo_facts(photo: PlainPhoto) -> tuple[PhotoFacts, QuickFeatures]:
    """Measure one photo, and find what it can be recognised by.

    Raises:
        UnreadableImage: The normalised picture is gone.
    """
    gray = _gray(photo)
    features = quick_features(gray)
    median = float(np.median(gray)) / 255.0
    facts = PhotoFacts(
        photo.name,
        sharpness(gray),
        float((gray < thresholds.DARK_VALUE).mean()),
        float((gray > thresholds.BRIGHT_VALUE).mean()),
        median / 12.92 if median <= 0.04045 else ((median + 0.055) / 1.055) ** 2.4,
        float(gray.std()),
        len(features.places_px),
    )
    return facts, features


def sharpness(gray: Gray) -> float:
    """Share of the strongest gradients that a small blur takes away (after Crete et al. 2007)."""
    before = _gradient(gray)
    strongest = before >= max(float(np.quantile(before, _STRONGEST)), 1e-6)
    after = _gradient(cv2.GaussianBlur(gray, (0, 0), _BLUR_PX))
    return float(1.0 - after[strongest].sum() / max(float(before[strongest].sum()), 1e-6))


def _gray(photo: PlainPhoto) -> Gray:
    # A quarter or half of a large JPEG is decoded for a quarter or half of the time.
    factor = max(photo.size) // thresholds.EDGE_PX
    flag = {0: cv2.IMREAD_GRAYSCALE, 1: cv2.IMREAD_GRAYSCALE, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}.get(
        factor, cv2.IMREAD_REDUCED_GRAYSCALE_2 if factor == 3 else cv2.IMREAD_REDUCED_GRAYSCALE_4
    )
    picture = cv2.imread(str(photo.path), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise UnreadableImage(f"The copy of {photo.name} can't be read.", hint="Run the command again.")
    scale = min(1.0, thresholds.EDGE_PX / max(picture.shape))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _gradient(gray: Gray) -> Gray:
    return np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
