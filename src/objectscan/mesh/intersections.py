"""Faces of a surface that pass through each other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numba import njit

from objectscan.types import Mesh

_CELLS_PER_FACE = 2.0


def intersecting_faces(mesh: Mesh) -> Bool[np.ndarray, " F"]:
    """Faces that an edge of another face crosses in its interior; neighbours that share a vertex don't count.

    Pairs are found in a uniform grid over the faces' boxes. Coplanar faces that overlap are not found: no
    edge crosses them. 100,000 faces take about half a second.

    Args:
        mesh: Welded by position, finite.
    """
    if len(mesh.faces) < 2:
        return np.zeros(len(mesh.faces), bool)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    lowest, reach = corners.min(axis=(0, 1)), np.ptp(corners, axis=(0, 1))
    # Cells about as large as a face; no more of them than fit into memory.
    largest = max(float(reach.max()), 1e-30)
    edge = max(float(np.ptp(corners, axis=1).max(axis=1).mean()) * _CELLS_PER_FACE, largest / 200.0)
    shape = np.maximum(np.ceil(reach / edge).astype(np.int64), 1)
    low = ((corners.min(axis=1) - lowest) / edge).astype(np.int64).clip(0, shape - 1)
    high = ((corners.max(axis=1) - lowest) / edge).astype(np.int64).clip(0, shape - 1)
    entries = int((high - low + 1).prod(axis=1).sum())
    return np.asarray(_cross(corners, mesh.faces, (low, high), (*map(int, shape), entries)))


@njit(cache=True, nogil=True)
def _cross(corners, faces, boxes, sizes):
    low, high = boxes
    columns, rows, layers, entries = sizes
    starts = np.zeros(columns * rows * layers + 1, np.int64)
    members = np.zeros(entries, np.int64)
    for turn in range(2):
        for face in range(len(faces)):
            for x in range(low[face, 0], high[face, 0] + 1):
                for y in range(low[face, 1], high[face, 1] + 1):
                    for z in range(low[face, 2], high[face, 2] + 1):
                        cell = (x * rows + y) * layers + z
                        if turn == 0:
                            starts[cell + 1] += 1
                        else:
                            members[starts[cell]] = face
                            starts[cell] += 1
        if turn == 0:
            starts = np.cumsum(starts)
    # After filling, starts[cell] is where the next cell begins.
    crossing = np.zeros(len(faces), np.bool_)
    first = 0
    for cell in range(columns * rows * layers):
        for i in range(first, starts[cell]):
            for j in range(i + 1, starts[cell]):
                one, two = members[i], members[j]
                if (crossing[one] and crossing[two]) or not _may_meet(corners, faces, one, two):
                    continue
                if _stabs(corners[one], corners[two]) or _stabs(corners[two], corners[one]):
                    crossing[one] = crossing[two] = True
        first = starts[cell]
    return crossing


@njit(cache=True, nogil=True)
def _may_meet(corners, faces, one, two):
    """The boxes overlap and no vertex is shared."""
    for axis in range(3):
        a, b = corners[one, :, axis], corners[two, :, axis]
        if max(a[0], a[1], a[2]) < min(b[0], b[1], b[2]) or max(b[0], b[1], b[2]) < min(a[0], a[1], a[2]):
            return False
    for i in range(3):
        for j in range(3):
            if faces[one, i] == faces[two, j]:
                return False
    return True


@njit(cache=True, nogil=True)
def _stabs(edges_of, through):
    """An edge of one triangle goes through the inside of the other (signs of five tetrahedra)."""
    a, b, c = through[0], through[1], through[2]
    for k in range(3):
        p, q = edges_of[k], edges_of[(k + 1) % 3]
        above, below = _volume(a, b, c, p), _volume(a, b, c, q)
        if above * below >= 0:
            continue
        one, two, three = _volume(p, q, a, b), _volume(p, q, b, c), _volume(p, q, c, a)
        if (one > 0 and two > 0 and three > 0) or (one < 0 and two < 0 and three < 0):
            return True
    return False


@njit(cache=True, nogil=True)
def _volume(a, b, c, d):
    """Six times the signed volume of a tetrahedron."""
    bx, by, bz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    cx, cy, cz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    dx, dy, dz = d[0] - a[0], d[1] - a[1], d[2] - a[2]
    return bx * (cy * dz - cz * dy) - by * (cx * dz - cz * dx) + bz * (cx * dy - cy * dx)
