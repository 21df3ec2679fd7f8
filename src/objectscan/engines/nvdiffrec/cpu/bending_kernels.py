"""Numba kernels of the bend between neighbouring faces, and its gradient."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def unit_normals(vertices, faces, normals, lengths):
    """Unit normal of each face and twice its area; zeros without area."""
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        lengths[t] = np.sqrt(nx * nx + ny * ny + nz * nz)
        if lengths[t] > 0:
            normals[t, 0], normals[t, 1], normals[t, 2] = nx / lengths[t], ny / lengths[t], nz / lengths[t]


@njit(cache=True, nogil=True)
def consistency(adjacency, normals, crease, slopes):
    """Sum of saturated 1 - cos over inner edges, and their number; slopes gets its gradient by normal."""
    total, edges = 0.0, 0
    for t in range(adjacency.shape[0]):
        for k in range(3):
            other = adjacency[t, k]
            if other <= t:
                continue
            edges += 1
            cosine = 0.0
            for c in range(3):
                cosine += normals[t, c] * normals[other, c]
            bend = max(1.0 - cosine, 0.0)
            share = 1.0 / (1.0 + bend / crease)
            for c in range(3):
                slopes[t, c] -= share * share * normals[other, c]
                slopes[other, c] -= share * share * normals[t, c]
            total += bend * share
    return total, edges


@njit(cache=True, nogil=True)
def unit_normals_backward(vertices, faces, normals, lengths, upstream, gradient):
    """Adjoint of `unit_normals`: adds to the gradient of the vertices."""
    for t in range(faces.shape[0]):
        if lengths[t] <= 0:
            continue
        along = (
            upstream[t, 0] * normals[t, 0] + upstream[t, 1] * normals[t, 1] + upstream[t, 2] * normals[t, 2]
        )
        gx = (upstream[t, 0] - along * normals[t, 0]) / lengths[t]
        gy = (upstream[t, 1] - along * normals[t, 1]) / lengths[t]
        gz = (upstream[t, 2] - along * normals[t, 2]) / lengths[t]
        for k in range(3):
            # n = (b - a) x (c - a): the gradient by corner k is (p - q) x g.
            p, q = faces[t, (k + 1) % 3], faces[t, (k + 2) % 3]
            ex = vertices[p, 0] - vertices[q, 0]
            ey = vertices[p, 1] - vertices[q, 1]
            ez = vertices[p, 2] - vertices[q, 2]
            gradient[faces[t, k], 0] += ey * gz - ez * gy
            gradient[faces[t, k], 1] += ez * gx - ex * gz
            gradient[faces[t, k], 2] += ex * gy - ey * gx
