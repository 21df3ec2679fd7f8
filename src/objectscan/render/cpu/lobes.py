"""Sparse rows that average a cubemap under a lobe, and their product with colours.

A row holds few weights because it reads an image pyramid: texels near the axis of the lobe from a fine level,
the far and flat parts of the lobe from coarse ones (the idea of Barnes and Hut 1986, for light instead of
gravity).
"""

from __future__ import annotations

import numpy as np
from numba import njit

_SUBSAMPLES = 16
"""A base texel in which the lobe is not flat is integrated by this number of points squared."""
_NEGLIGIBLE = 0.03
"""A texel is left out if the lobe's integral over it is below this share of the allowed uncertainty."""


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _weight(cosine, squared_alpha):
    """Weight of light from l around n = v = r: (n.l) D(n.h), GGX (Karis 2013); n.l / pi for alpha 1."""
    if cosine <= 0.0:
        return 0.0
    divisor = 0.5 * (1.0 + cosine) * (squared_alpha - 1.0) + 1.0
    return cosine * squared_alpha / (np.pi * divisor * divisor)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _cosine_towards(face, u, v, nx, ny, nz):
    """Cosine between a unit direction and a point of an OpenGL cube face, and its squared distance."""
    if face == 0:
        dot = nx - v * ny - u * nz
    elif face == 1:
        dot = -nx - v * ny + u * nz
    elif face == 2:
        dot = u * nx + ny + v * nz
    elif face == 3:
        dot = u * nx - ny - v * nz
    elif face == 4:
        dot = u * nx - v * ny + nz
    else:
        dot = -u * nx - v * ny - nz
    square = 1.0 + u * u + v * v
    return dot / np.sqrt(square), square


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _texel_integral(face, u, v, half, nx, ny, nz, squared_alpha):
    """The lobe's integral over a texel with centre (u, v), by points."""
    total = 0.0
    for j in range(_SUBSAMPLES):
        for i in range(_SUBSAMPLES):
            x = u + half * ((2 * i + 1) / _SUBSAMPLES - 1.0)
            y = v + half * ((2 * j + 1) / _SUBSAMPLES - 1.0)
            cosine, square = _cosine_towards(face, x, y, nx, ny, nz)
            total += _weight(cosine, squared_alpha) / (square * np.sqrt(square))
    return total * (2.0 * half / _SUBSAMPLES) ** 2


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _corner_angle(x, y):
    return np.arctan2(x * y, np.sqrt(x * x + y * y + 1.0))


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _solid_angle(u, v, half):
    a, b, c, d = u - half, u + half, v - half, v + half
    return _corner_angle(b, d) - _corner_angle(a, d) - _corner_angle(b, c) + _corner_angle(a, c)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _visit(face, row, column, edge, finest, nx, ny, nz, squared_alpha, flat):
    """Weight of one pyramid texel, or -1 if the lobe varies too much over it: its children are better."""
    half = 1.0 / edge
    u, v = (2 * column + 1) * half - 1.0, (2 * row + 1) * half - 1.0
    cosine, square = _cosine_towards(face, u, v, nx, ny, nz)
    reach = np.sqrt(2.0) * half / np.sqrt(square)  # radians from the centre to a corner, at most
    angle = np.arccos(min(max(cosine, -1.0), 1.0))
    nearest = _weight(np.cos(max(angle - reach, 0.0)), squared_alpha)
    solid_angle = _solid_angle(u, v, half)
    if nearest * solid_angle <= flat * _NEGLIGIBLE:
        return 0.0
    farthest = _weight(np.cos(min(angle + reach, np.pi)), squared_alpha)
    if (nearest - farthest) * solid_angle < flat:
        return _weight(cosine, squared_alpha) * solid_angle
    if edge < finest:
        return -1.0
    return _texel_integral(face, u, v, half, nx, ny, nz, squared_alpha)


@njit(cache=True, nogil=True, error_model="numpy")
def lobe_rows(directions, squared_alpha, finest, coarsest, flat, first, last):
    """(weights a row, pyramid rows, weights) of the lobes around directions[first:last]; each row sums to 1.

    The pyramid stacks levels of edges finest, finest / 2 ... coarsest. A texel is used undivided when the
    lobe's integral over it is uncertain by less than `flat`.
    """
    counts = np.zeros(last - first, np.int64)
    indices, weights = np.zeros(1 << 16, np.int32), np.zeros(1 << 16, np.float32)
    used = 0
    todo = np.zeros(
        (6 * coarsest * coarsest + 64, 5), np.int64
    )  # face, row, column, edge, start of the level
    top = 0
    edge = finest
    while edge > coarsest:
        top += 6 * edge * edge
        edge //= 2
    for target in range(first, last):
        nx, ny, nz = directions[target, 0], directions[target, 1], directions[target, 2]
        waiting = 0
        for face in range(6):
            for row in range(coarsest):
                for column in range(coarsest):
                    todo[waiting] = face, row, column, coarsest, top
                    waiting += 1
        begin, total = used, 0.0
        while waiting > 0:
            waiting -= 1
            face, row, column, edge, start = todo[waiting]
            weight = _visit(face, row, column, edge, finest, nx, ny, nz, squared_alpha, flat)
            if weight < 0.0:
                below = start - 6 * (2 * edge) * (2 * edge)
                for child in range(4):
                    todo[waiting] = face, 2 * row + child // 2, 2 * column + child % 2, 2 * edge, below
                    waiting += 1
            elif weight > 0.0:
                if used == len(indices):
                    indices = np.concatenate((indices, np.zeros_like(indices)))
                    weights = np.concatenate((weights, np.zeros_like(weights)))
                indices[used] = start + (face * edge + row) * edge + column
                weights[used] = weight
                total += weight
                used += 1
        for k in range(begin, used):
            weights[k] /= total
        counts[target - first] = used - begin
    return counts, indices[:used], weights[:used]


@njit(cache=True, nogil=True, error_model="numpy")
def multiply(starts, indices, weights, colours, first, last, products):
    """products[r] = sum of weights[k] colours[indices[k]] over row r; rows [first, last), 3 channels."""
    for row in range(first, last):
        red = green = blue = colours.dtype.type(0.0)
        for k in range(starts[row], starts[row + 1]):
            weight, index = weights[k], indices[k]
            red += weight * colours[index, 0]
            green += weight * colours[index, 1]
            blue += weight * colours[index, 2]
        products[row, 0], products[row, 1], products[row, 2] = red, green, blue
