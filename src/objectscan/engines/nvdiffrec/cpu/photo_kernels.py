"""Numba kernels of the difference between a picture and its photo."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath=True)
def photo_loss(rendered, target, weights, strides, sums, slopes):
    """Adds to the sums of colour, outline and contrast of one view; slopes gets the weighted gradient.

    rendered and slopes [H, W, 4], target [H, W, 5]; weights [3] with all divisors in them.
    """
    height, width = rendered.shape[:2]
    errors, inside = np.zeros((height, width, 3), slopes.dtype), np.zeros((height, width), slopes.dtype)
    for y in range(height):
        for x in range(width):
            known = target[y, x, 4]
            inside[y, x] = known * target[y, x, 3]
            for c in range(3):
                error = rendered[y, x, c] - target[y, x, c]
                errors[y, x, c] = error
                sums[0] += known * abs(error)
                slopes[y, x, c] += weights[0] * known * np.sign(error)
            error = (rendered[y, x, 3] - target[y, x, 3]) * known
            root = np.sqrt(error * error + np.float32(1e-4))
            sums[1] += root - np.float32(1e-2)
            slopes[y, x, 3] += weights[1] * known * error / root
    if weights[2] != 0:
        _contrast(errors, inside, weights[2], strides, sums, slopes)


@njit(cache=True, nogil=True, fastmath=True)
def _contrast(errors, inside, weight, strides, sums, slopes):
    """The part of pairs of pixels: each with those to its right and below."""
    height, width = inside.shape
    for y in range(height):
        for x in range(width):
            own = inside[y, x]
            if own == 0:
                continue
            for stride in strides:
                for v, u in ((y, x + stride), (y + stride, x)):
                    if v >= height or u >= width:
                        continue
                    pair = own * inside[v, u]
                    for c in range(3):
                        difference = errors[y, x, c] - errors[v, u, c]
                        slope = pair * np.sign(difference)
                        sums[2] += slope * difference
                        slopes[y, x, c] += weight * slope
                        slopes[v, u, c] -= weight * slope
