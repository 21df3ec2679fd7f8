"""Numba kernels of the multi-resolution grid: trilinear lookup summed over levels, and its gradients."""

from __future__ import annotations

import numpy as np
from numba import njit

CHANNELS = 6
"""A constant, so that the loops over channels are unrolled: 1.7 times as fast as with the table's width."""
_ONE = np.float32(1.0)


@njit(cache=True, nogil=True, inline="always")
def _row(x, y, z, cells, rows, is_hashed):
    """Row of a grid corner within its level; large levels share rows by a spatial hash (Teschner et al.
    2003).
    """
    if is_hashed:
        mixed = np.uint32(x) ^ (np.uint32(y) * np.uint32(2654435761)) ^ (np.uint32(z) * np.uint32(805459861))
        return np.int64(mixed % np.uint32(rows))
    return (np.int64(x) * (cells + 1) + y) * (cells + 1) + z


@njit(cache=True, nogil=True, inline="always")
def _cell(coordinate, cells):
    scaled = coordinate * np.float32(cells)
    index = min(max(int(scaled), 0), cells - 1)
    return index, scaled - np.float32(index)


@njit(cache=True, nogil=True)
def lookup(points, table, starts, cells, hashed, first, last, values):
    """values[p] = sum over levels of the trilinear interpolation of the table at points[p] in [0, 1]^3."""
    for p in range(first, last):
        for c in range(CHANNELS):
            values[p, c] = 0.0
        for level in range(cells.shape[0]):
            n = cells[level]
            ix, fx = _cell(points[p, 0], n)
            iy, fy = _cell(points[p, 1], n)
            iz, fz = _cell(points[p, 2], n)
            rows = starts[level + 1] - starts[level]
            for corner in range(8):
                dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
                weight = (fx if dx else _ONE - fx) * (fy if dy else _ONE - fy) * (fz if dz else _ONE - fz)
                row = starts[level] + _row(ix + dx, iy + dy, iz + dz, n, rows, hashed[level])
                for c in range(CHANNELS):
                    values[p, c] += weight * table[row, c]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def lookup_backward(points, table, starts, cells, hashed, levels, upstream, table_grad, touched, points_grad):
    """Adjoint of `lookup` for levels[0] <= level < levels[1]: adds to table_grad, `touched` and points_grad.

    Threads share the work by levels: no two write the same row, and the sum has one order.
    """
    for p in range(points.shape[0]):
        total_x, total_y, total_z = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for level in range(levels[0], levels[1]):
            n = cells[level]
            ix, fx = _cell(points[p, 0], n)
            iy, fy = _cell(points[p, 1], n)
            iz, fz = _cell(points[p, 2], n)
            rows, slope = starts[level + 1] - starts[level], np.float32(n)
            for corner in range(8):
                dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
                wx, wy, wz = fx if dx else _ONE - fx, fy if dy else _ONE - fy, fz if dz else _ONE - fz
                row = starts[level] + _row(ix + dx, iy + dy, iz + dz, n, rows, hashed[level])
                weight, dot = wx * wy * wz, np.float32(0.0)
                for c in range(CHANNELS):
                    dot += upstream[p, c] * table[row, c]
                    table_grad[row, c] += weight * upstream[p, c]
                touched[row] = 1
                dot *= slope
                total_x += (dot if dx else -dot) * wy * wz
                total_y += (dot if dy else -dot) * wx * wz
                total_z += (dot if dz else -dot) * wx * wy
        points_grad[p, 0] += total_x
        points_grad[p, 1] += total_y
        points_grad[p, 2] += total_z
