"""Marching tetrahedra (the published engine's DMTet, Shen et al. 2021) on the same grid: an option, not the
default.

Each cube is cut into six tetrahedra around its main diagonal (Kuhn), so neighbours agree without a table of
faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32, Int8, Int32, Int64
from numba import njit
from torch import Tensor

from objectscan.engines.nvdiffrec.cpu import isosurface_kernels as kernels
from objectscan.errors import EmptyForeground

_PATHS = np.array(
    [(0, 1, 3, 7), (0, 1, 5, 7), (0, 2, 3, 7), (0, 2, 6, 7), (0, 4, 5, 7), (0, 4, 6, 7)], np.int64
)
"""Corners of the six tetrahedra, from corner 0 to corner 7 along three edges."""
_IS_ODD = np.array([0, 1, 1, 0, 0, 1], np.int64)
"""Whether a path's tetrahedron is mirrored."""


@dataclass(frozen=True, slots=True)
class TetTopology:
    """Surface of a field: one vertex a crossed edge."""

    points: Int64[np.ndarray, " U"]
    """Flat indices of the grid points that end a crossed edge."""
    first: Int32[np.ndarray, " V"]
    second: Int32[np.ndarray, " V"]
    """Ends of each vertex' edge, as positions in `points`."""
    faces: Int32[np.ndarray, "F 3"]


def extract_topology(field: Float32[np.ndarray, "X Y Z"]) -> TetTopology:
    """Find the surface of a field that is negative inside and positive on its border; closed, outward faces.

    Raises:
        EmptyForeground: No sign change.
    """
    cases = kernels.cube_states(field, np.full(256, -1, np.int8))
    active = np.flatnonzero(cases.ravel() - np.uint8(1) < 254)
    if not len(active):
        raise EmptyForeground(
            "The surface has vanished: no grid edge changes sign.", hint="Check masks and cameras."
        )
    edges, faces = _march(cases, active, _PATHS, _rings())
    first, second = edges[:, 0].copy(), edges[:, 1].copy()
    points = kernels.compact(first, second, np.zeros(field.size, np.int32))
    return TetTopology(points, first, second, faces)


def place_vertices(
    points: Float[Tensor, "U 3"], field: Float[Tensor, " U"], topology: TetTopology
) -> Float[Tensor, "V 3"]:
    """Linear crossings (p_a s_b - p_b s_a) / (s_b - s_a); differentiable in both."""
    first, second = (
        torch.from_numpy(ends).long().to(points.device) for ends in (topology.first, topology.second)
    )
    share = field[second] / (field[second] - field[first])
    return points[first] * share[:, None] + points[second] * (1.0 - share[:, None])


@lru_cache(maxsize=1)
def _rings() -> Int8[np.ndarray, "6 16 4 2"]:
    """Crossed edges (lower, upper cube corner) of each tetrahedron and set of inside corners; then -1.

    In order around the cut, counter-clockwise seen from outside.
    """
    rings = np.full((6, 16, 4, 2), -1, np.int8)
    for path, corners in enumerate(_PATHS):
        for mask in range(1, 15):
            inner = [k for k in range(4) if mask >> k & 1]
            outer = [k for k in range(4) if not mask >> k & 1]
            ring = [(i, o) for i in inner for o in outer]
            if len(inner) == 2:
                ring[2], ring[3] = ring[3], ring[2]
            order = inner + outer
            swaps = sum(order[i] > order[j] for i in range(4) for j in range(i + 1, 4))
            if (swaps + _IS_ODD[path]) % 2:
                ring.reverse()
            rings[path, mask, : len(ring)] = [sorted((corners[i], corners[o])) for i, o in ring]
    return rings


@njit(cache=True, nogil=True)
def _march(cases, active, paths, rings):
    """Edges [V, 2] as flat grid points and faces [F, 3] of the cut through the active cubes."""
    _, cy, cz = cases.shape
    ny, nz = cy + 1, cz + 1
    flat_cases = cases.ravel()
    offset = np.zeros(8, np.int64)
    for corner in range(8):
        offset[corner] = ((corner & 1) * ny + (corner >> 1 & 1)) * nz + (corner >> 2)
    # An edge is its lower grid point and which of the seven directions it takes; 0 is not yet numbered.
    number_of = np.zeros((cases.shape[0] + 1) * ny * nz * 8, np.int32)
    edges = np.zeros((19 * active.shape[0], 2), np.int32)
    faces = np.zeros((12 * active.shape[0], 3), np.int32)
    edge_count, face_count = 0, 0
    vertex = np.zeros(4, np.int32)
    for index in active:
        base = (index // (cy * cz) * ny + index // cz % cy) * nz + index % cz
        for path in range(6):
            mask = 0
            for k in range(4):
                mask |= (flat_cases[index] >> paths[path, k] & 1) << k
            count = 0
            while count < 4 and rings[path, mask, count, 0] >= 0:
                low, high = rings[path, mask, count]
                key = (base + offset[low]) * 8 + (high - low)
                if number_of[key] == 0:
                    edges[edge_count, 0] = base + offset[low]
                    edges[edge_count, 1] = base + offset[high]
                    edge_count += 1
                    number_of[key] = edge_count
                vertex[count] = number_of[key] - 1
                count += 1
            for k in range(count - 2):
                faces[face_count, 0] = vertex[0]
                faces[face_count, 1] = vertex[k + 1]
                faces[face_count, 2] = vertex[k + 2]
                face_count += 1
    return edges[:edge_count].copy(), faces[:face_count].copy()
