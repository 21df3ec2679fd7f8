"""A mesh as a signed field on a grid: where pass 1 begins if a surface stands already."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numba import njit

from objectscan.engines.nvdiffrec.hull import HullField
from objectscan.mesh.holes import close_holes
from objectscan.mesh.topology import weld_by_position
from objectscan.types import Mesh

_BORDER_CELLS = 3
_FAR_CELLS = 4.0
"""Distances are cut off here, as those of the hull are."""
_NEAR_CELLS = 2
"""Around each triangle exact distances reach this far."""
_OFF_THE_LATTICE = (3.1e-4, 1.7e-4)
"""Columns of the grid are looked along a little beside their points: vertices on round numbers hit none."""


def mesh_field(mesh: Mesh, box: Float[np.ndarray, "2 3"], spacing: float) -> HullField:
    """Distance to the mesh, negative inside, on a grid over `box` with three cells around it, cut off at 4
    cells.

    Holes are closed first. A point is inside if the mesh winds around it along at least two of the three
    axes, so that a crack or a flap turns no row inside out. Cost: 0.3 s for 100^3 points and 20,000 faces.

    Args:
        mesh: World frame, faces counter-clockwise from outside.
        box: Lower and upper corner, world units.
        spacing: Grid cell, world units.
    """
    closed, _ = close_holes(weld_by_position(mesh))
    origin = np.asarray(box[0], float) - _BORDER_CELLS * spacing
    shape = tuple(int(n) for n in np.ceil((box[1] - box[0]) / spacing) + 1 + 2 * _BORDER_CELLS)
    corners = ((closed.vertices.astype(np.float64) - origin) / spacing)[closed.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    corners = corners[np.linalg.norm(across, axis=1) > 1e-9]
    votes = np.zeros(shape, np.int8)
    for axis in range(3):
        order = [(axis + 1) % 3, (axis + 2) % 3, axis]
        crossings = np.zeros([shape[k] for k in order], np.int32)
        _count_crossings(np.ascontiguousarray(corners[..., order]), crossings, *_OFF_THE_LATTICE)
        winding = np.cumsum(crossings, axis=2) != 0
        votes += np.moveaxis(winding, (0, 1, 2), order).astype(np.int8)
    squared = np.full(shape, np.float32(_FAR_CELLS**2))
    _measure(corners, squared)
    distance = np.sqrt(squared) * np.float32(spacing)
    values = np.where(votes >= 2, -distance, distance).astype(np.float32)
    for axis in range(3):
        for end in (0, -1):
            edge = np.moveaxis(values, axis, 0)[end]
            np.maximum(edge, 0.5 * spacing, out=edge)
    return HullField(values, origin, float(spacing))


@njit(cache=True, nogil=True)
def _count_crossings(corners, crossings, beside_u, beside_v):
    """Add +1 or -1 at the first point behind each triangle that a row (u, v) along the last axis crosses."""
    nu, nv, nw = crossings.shape
    for t in range(corners.shape[0]):
        a, b, c = corners[t, 0], corners[t, 1], corners[t, 2]
        twice = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if twice == 0.0:
            continue
        first_u = max(int(np.ceil(min(a[0], min(b[0], c[0])) - beside_u)), 0)
        last_u = min(int(np.floor(max(a[0], max(b[0], c[0])) - beside_u)), nu - 1)
        first_v = max(int(np.ceil(min(a[1], min(b[1], c[1])) - beside_v)), 0)
        last_v = min(int(np.floor(max(a[1], max(b[1], c[1])) - beside_v)), nv - 1)
        for i in range(first_u, last_u + 1):
            u = i + beside_u
            for j in range(first_v, last_v + 1):
                v = j + beside_v
                wa = ((b[0] - u) * (c[1] - v) - (b[1] - v) * (c[0] - u)) / twice
                wb = ((c[0] - u) * (a[1] - v) - (c[1] - v) * (a[0] - u)) / twice
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                behind = int(np.ceil(wa * a[2] + wb * b[2] + wc * c[2]))
                if behind < nw:
                    crossings[i, j, max(behind, 0)] += 1 if twice > 0 else -1


@njit(cache=True, nogil=True)
def _measure(corners, squared):
    """Lower each point's squared distance, in cells, to that of every triangle within two cells."""
    nx, ny, nz = squared.shape
    reach = _NEAR_CELLS
    for t in range(corners.shape[0]):
        a, b, c = corners[t, 0], corners[t, 1], corners[t, 2]
        low = np.floor(np.minimum(a, np.minimum(b, c))).astype(np.int64) - reach
        high = np.ceil(np.maximum(a, np.maximum(b, c))).astype(np.int64) + reach
        for x in range(max(low[0], 0), min(high[0] + 1, nx)):
            for y in range(max(low[1], 0), min(high[1] + 1, ny)):
                for z in range(max(low[2], 0), min(high[2] + 1, nz)):
                    found = _squared_distance(np.array([x, y, z], np.float64), a, b, c)
                    if found < squared[x, y, z]:
                        squared[x, y, z] = found


@njit(cache=True, nogil=True)
def _squared_distance(p, a, b, c):
    """From a point to a triangle (Ericson 2005, Real-Time Collision Detection, 5.1.5)."""
    ab, ac, ap = b - a, c - a, p - a
    d1, d2 = np.dot(ab, ap), np.dot(ac, ap)
    if d1 <= 0.0 and d2 <= 0.0:
        return np.dot(ap, ap)
    bp = p - b
    d3, d4 = np.dot(ab, bp), np.dot(ac, bp)
    if d3 >= 0.0 and d4 <= d3:
        return np.dot(bp, bp)
    cp = p - c
    d5, d6 = np.dot(ab, cp), np.dot(ac, cp)
    if d6 >= 0.0 and d5 <= d6:
        return np.dot(cp, cp)
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        nearest = ap - ab * (d1 / (d1 - d3))
        return np.dot(nearest, nearest)
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        nearest = ap - ac * (d2 / (d2 - d6))
        return np.dot(nearest, nearest)
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        nearest = bp - (c - b) * ((d4 - d3) / ((d4 - d3) + (d5 - d6)))
        return np.dot(nearest, nearest)
    total = va + vb + vc
    nearest = ap - ab * (vb / total) - ac * (vc / total)
    return np.dot(nearest, nearest)
