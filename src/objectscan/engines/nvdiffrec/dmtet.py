"""Marching tetrahedra (the published engine's DMTet, Shen et al. 2021) on the same grid: an option, not the default.

Each cube is cut into six tetrahedra around its main diagonal (Kuhn), so neighbours agree without a table of faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64
from numba import njit
from torch import Tensor

from objectscan.engines.nvdiffrec.isosurface_kernels import compact
from objectscan.errors import EmptyForeground

_PATHS = np.array([(0, 1, 3, 7), (0, 1, 5, 7), (0, 2, 3, 7), (0, 2, 6, 7), (0, 4, 5, 7), (0, 4, 6, 7)], np.int64)
"""Corners of the six tetrahedra, from corner 0 to corner 7 along three edges."""
_IS_ODD = np.array([0, 1, 1, 0, 0, 1], np.int64)
"""Whether a path's tetrahedron is mirrored."""


@dataclass(frozen=True, slots=True)
class TetTopology:
    """Surface of a field: one vertex a crossed edge."""

    points: Int64[np.ndarray, "U"]
    """Flat indices of the grid points that end a crossed edge."""
    first: Int32[np.ndarray, "V"]
    second: Int32[np.ndarray, "V"]
    """Ends of each vertex' edge, as positions in `points`."""
    faces: Int32[np.ndarray, "F 3"]


def extract_topology(field: Float32[np.ndarray, "X Y Z"]) -> TetTopology:
    """Find the surface of a field that is negative inside and positive on its border; closed, outward faces.

    Raises:
        EmptyForeground: No sign change.
    """
    edges, faces = _march(np.ascontiguousarray(field), _PATHS, _IS_ODD)
    if not len(faces):
        raise EmptyForeground("The surface has vanished: no grid edge changes sign.", hint="Check masks and cameras.")
    first, second = edges[:, 0].copy(), edges[:, 1].copy()
    points = compact(first, second, np.full(field.size, -1, np.int32))
    return TetTopology(points, first, second, faces)


def place_vertices(
    points: Float[Tensor, "U 3"], field: Float[Tensor, " U"], topology: TetTopology
) -> Float[Tensor, "V 3"]:
    """Linear crossings (p_a s_b - p_b s_a) / (s_b - s_a); differentiable in both."""
    first, second = torch.from_numpy(topology.first).long(), torch.from_numpy(topology.second).long()
    share = field[second] / (field[second] - field[first])
    return points[first] * share[:, None] + points[second] * (1.0 - share[:, None])


@njit(cache=True, nogil=True)
def _march(field, paths, is_odd):
    nx, ny, nz = field.shape
    offset = np.zeros(8, np.int64)
    for corner in range(8):
        offset[corner] = ((corner & 1) * ny + (corner >> 1 & 1)) * nz + (corner >> 2)
    values = field.ravel()
    # An edge is its lower grid point and which of the seven directions it takes.
    number_of = np.full(values.shape[0] * 8, -1, np.int32)
    edges, faces = np.zeros((1 << 12, 2), np.int32), np.zeros((1 << 13, 3), np.int32)
    edge_count, face_count = 0, 0
    order, corner_of = np.zeros(4, np.int64), np.zeros(4, np.int64)
    vertex = np.zeros(4, np.int32)
    for x in range(nx - 1):
        for y in range(ny - 1):
            for z in range(nz - 1):
                base = (x * ny + y) * nz + z
                inside = 0
                for corner in range(8):
                    inside += values[base + offset[corner]] < 0
                if inside == 0 or inside == 8:
                    continue
                if face_count + 12 > faces.shape[0]:
                    faces = np.concatenate((faces, np.zeros_like(faces)))
                if edge_count + 19 > edges.shape[0]:
                    edges = np.concatenate((edges, np.zeros_like(edges)))
                for path in range(6):
                    inner, outer = 0, 3
                    for k in range(4):
                        corner_of[k] = paths[path, k]
                        if values[base + offset[corner_of[k]]] < 0:
                            order[inner] = k
                            inner += 1
                    if inner == 0 or inner == 4:
                        continue
                    outer = inner
                    for k in range(4):
                        if values[base + offset[corner_of[k]]] >= 0:
                            order[outer] = k
                            outer += 1
                    swaps = is_odd[path]
                    for i in range(4):
                        for j in range(i + 1, 4):
                            swaps += order[i] > order[j]
                    count = 4 if inner == 2 else 3
                    for k in range(count):
                        # Crossed edges in order around the cut.
                        if inner == 1:
                            p, q = order[0], order[1 + k]
                        elif inner == 3:
                            p, q = order[k], order[3]
                        else:
                            p, q = order[k >> 1], order[2 + ((k + 1) >> 1 & 1)]
                        low, high = min(corner_of[p], corner_of[q]), max(corner_of[p], corner_of[q])
                        key = (base + offset[low]) * 8 + (high - low)
                        if number_of[key] < 0:
                            number_of[key] = edge_count
                            edges[edge_count, 0] = base + offset[low]
                            edges[edge_count, 1] = base + offset[high]
                            edge_count += 1
                        vertex[k] = number_of[key]
                    for k in range(count - 2):
                        faces[face_count, 0] = vertex[0]
                        faces[face_count, 1] = vertex[k + 2] if swaps & 1 else vertex[k + 1]
                        faces[face_count, 2] = vertex[k + 1] if swaps & 1 else vertex[k + 2]
                        face_count += 1
    return edges[:edge_count].copy(), faces[:face_count].copy()
