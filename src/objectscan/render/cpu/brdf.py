"""The split sum's second factor: what GGX reflects of a uniform environment, as a table and its lookup."""

from __future__ import annotations

import numpy as np
from numba import njit

SMALLEST_COSINE = 1e-3
_HEIGHTS, _AZIMUTHS = 48, 24


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _integral(cosine, roughness):
    """(scale, bias): importance sampling of half vectors (Karis 2013), correlated Smith term (Heitz 2014).

    A grid of heights and azimuths, denser at both ends of the heights, where the integrand bends.
    """
    squared_alpha = max(roughness, 0.02) ** 4
    sine = np.sqrt(max(1.0 - cosine * cosine, 0.0))
    scale, bias = 0.0, 0.0
    for k in range(_HEIGHTS):
        t = (k + 0.5) / _HEIGHTS
        u, weight = t * t * (3.0 - 2.0 * t), 6.0 * t * (1.0 - t)
        nh = np.sqrt((1.0 - u) / (1.0 + (squared_alpha - 1.0) * u))
        across = np.sqrt(max(1.0 - nh * nh, 0.0)) * sine
        for m in range(_AZIMUTHS):
            vh = across * np.cos(np.pi * (m + 0.5) / _AZIMUTHS) + nh * cosine
            nl = 2.0 * vh * nh - cosine
            if nl <= 0.0 or vh <= 0.0:
                continue
            view = nl * np.sqrt(cosine * cosine * (1.0 - squared_alpha) + squared_alpha)
            light = cosine * np.sqrt(nl * nl * (1.0 - squared_alpha) + squared_alpha)
            visible = weight * 2.0 * nl * vh / (nh * (view + light))
            fresnel = (1.0 - vh) ** 5
            scale += visible * (1.0 - fresnel)
            bias += visible * fresnel
    return scale / (_HEIGHTS * _AZIMUTHS), bias / (_HEIGHTS * _AZIMUTHS)


@njit(cache=True, nogil=True, error_model="numpy")
def integrate_table(cosines, roughnesses):
    """[cosine, roughness, 2]: (scale, bias) at n.v = i / (cosines - 1), roughness j / (roughnesses - 1)."""
    table = np.zeros((cosines, roughnesses, 2))
    for i in range(cosines):
        for j in range(roughnesses):
            cosine = max(i / (cosines - 1.0), SMALLEST_COSINE)
            table[i, j, 0], table[i, j, 1] = _integral(cosine, j / (roughnesses - 1.0))
    return table


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def look_up(table, cosine, roughness):
    """(scale, bias, their slopes along the cosine, their slopes along the roughness), bilinear.

    Both arguments must be in [0, 1].
    """
    rows, columns = table.shape[0] - 1, table.shape[1] - 1
    i, j = min(int(cosine * rows), rows - 1), min(int(roughness * columns), columns - 1)
    x, y = cosine * rows - i, roughness * columns - j
    a0, b0, c0, d0 = table[i, j, 0], table[i, j + 1, 0], table[i + 1, j, 0], table[i + 1, j + 1, 0]
    a1, b1, c1, d1 = table[i, j, 1], table[i, j + 1, 1], table[i + 1, j, 1], table[i + 1, j + 1, 1]
    return (
        (a0 * (1 - y) + b0 * y) * (1 - x) + (c0 * (1 - y) + d0 * y) * x,
        (a1 * (1 - y) + b1 * y) * (1 - x) + (c1 * (1 - y) + d1 * y) * x,
        ((c0 - a0) * (1 - y) + (d0 - b0) * y) * rows,
        ((c1 - a1) * (1 - y) + (d1 - b1) * y) * rows,
        ((b0 - a0) * (1 - x) + (d0 - c0) * x) * columns,
        ((b1 - a1) * (1 - x) + (d1 - c1) * x) * columns,
    )
