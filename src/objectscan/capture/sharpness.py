"""How sharp the object is in a photo."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from objectscan.types import View

_EDGE_PX = 800


def sharpness_of(view: View) -> float:
    """How much of the strongest gradients a Gaussian of 1.5 px removes, at 800 px: 0 blurred, 0.8 very sharp.

    Only inside the object if there is a mask: the outline of a cut-out is always sharp.
    """
    height, width = view.image_srgb.shape[:2]
    factor = min(1.0, _EDGE_PX / max(width, height))
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    grey = cv2.resize(cv2.cvtColor(view.image_srgb, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    inside = np.ones(grey.shape, bool)
    if view.mask is not None:
        solid = (cv2.resize(view.mask, size, interpolation=cv2.INTER_AREA) >= 250).astype(np.uint8)
        inside = cv2.erode(solid, np.ones((9, 9), np.uint8)) > 0
    before = _gradient(grey.astype(np.float32))
    after = _gradient(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5))
    if inside.sum() < 100:
        return 0.0
    strong = inside & (before >= np.quantile(before[inside], 0.95))
    return float(1 - after[strong].sum() / max(float(before[strong].sum()), 1e-6))


def _gradient(grey: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
