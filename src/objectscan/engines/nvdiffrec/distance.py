"""Signed distance grids: made true again around their zero set, and moved between resolutions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from numba import njit
from scipy.ndimage import map_coordinates


def redistance(field: Float32[np.ndarray, "X Y Z"], spacing: float) -> Float32[np.ndarray, "X Y Z"]:
    """The same surface as a distance: |gradient| near 1, so that a step of an optimiser moves it by its own
    size.

    Values next to the surface keep the ratio that places it (first-order accurate crossings); the others come
    from fast sweeping (Zhao 2005, eq. 2.4). In: any field, negative inside, world units. Cost: 25 ns a grid
    point.
    """
    # A border counts as outside: a closed surface is promised to the extraction.
    distance = np.full(field.shape, np.float32(1e9))
    _near_surface(field, np.float32(spacing), distance)
    fixed = distance < 1e8
    if not fixed.any():
        return field.copy()
    _sweep(distance, fixed, np.float32(spacing))
    return np.where(field < 0, -distance, distance).astype(np.float32)


def resample(
    field: Float32[np.ndarray, "X Y Z"],
    origin: Float32[np.ndarray, " 3"],
    spacing: float,
    target_shape: tuple[int, int, int],
    target_origin: Float32[np.ndarray, " 3"],
    target_spacing: float,
) -> Float32[np.ndarray, "A B C"]:
    """Trilinear values of one grid at the points of another; beyond its border the nearest value."""
    axes = [
        (target_origin[k] + target_spacing * np.arange(target_shape[k]) - origin[k]) / spacing
        for k in range(3)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    return map_coordinates(field, points, order=1, mode="nearest", output=np.float32)


@njit(cache=True, nogil=True)
def _near_surface(field, spacing, distance):
    nx, ny, nz = field.shape
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                here = field[x, y, z]
                inverse_square = 0.0
                for axis in range(3):
                    nearest = 1e9
                    for side in (-1, 1):
                        i = x + (side if axis == 0 else 0)
                        j = y + (side if axis == 1 else 0)
                        k = z + (side if axis == 2 else 0)
                        if i < 0 or j < 0 or k < 0 or i >= nx or j >= ny or k >= nz:
                            continue
                        there = field[i, j, k]
                        if (here < 0) != (there < 0):
                            nearest = min(nearest, spacing * max(here / (here - there), 1e-4))
                    if nearest < 1e8:
                        inverse_square += 1.0 / (nearest * nearest)
                if inverse_square > 0:
                    # Distance to the plane through the crossings on the three axes.
                    distance[x, y, z] = 1.0 / np.sqrt(inverse_square)


@njit(cache=True, nogil=True)
def _sweep(distance, fixed, spacing):
    nx, ny, nz = distance.shape
    for order in range(8):
        for a in range(nx):
            x = a if order & 1 == 0 else nx - 1 - a
            for b in range(ny):
                y = b if order & 2 == 0 else ny - 1 - b
                for c in range(nz):
                    z = c if order & 4 == 0 else nz - 1 - c
                    if fixed[x, y, z]:
                        continue
                    u = min(distance[max(x - 1, 0), y, z], distance[min(x + 1, nx - 1), y, z])
                    v = min(distance[x, max(y - 1, 0), z], distance[x, min(y + 1, ny - 1), z])
                    w = min(distance[x, y, max(z - 1, 0)], distance[x, y, min(z + 1, nz - 1)])
                    distance[x, y, z] = min(distance[x, y, z], _solve(u, v, w, spacing))


@njit(cache=True, nogil=True, inline="always")
def _solve(u, v, w, spacing):
    low, high = min(u, min(v, w)), max(u, max(v, w))
    middle = max(min(u, v), min(max(u, v), w))
    value = low + spacing
    if value > middle:
        value = 0.5 * (low + middle + np.sqrt(max(2 * spacing * spacing - (low - middle) ** 2, 0.0)))
        if value > high:
            total = low + middle + high
            squares = low * low + middle * middle + high * high
            value = (total + np.sqrt(max(total * total - 3 * (squares - spacing * spacing), 0.0))) / 3
    return value
