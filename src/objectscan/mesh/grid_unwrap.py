"""The layout that always works: every two faces share a square cell of a regular grid."""

from __future__ import annotations

import numpy as np

from objectscan.types import Mesh, UvMap

_GUTTER_PX = 1.5


def grid_unwrap(mesh: Mesh, texture_size_px: int) -> UvMap:
    """Two right triangles a cell, apart by a gutter; no overlap whatever the mesh, but a seam at every edge.

    Texels are stretched by the shape of each face, and beyond (size / 8)^2 * 2 faces the gutters leave no
    room.
    """
    count = len(mesh.faces)
    cells = max(1, int(np.ceil(np.sqrt(np.ceil(count / 2)))))
    cell = np.arange(count) // 2
    origin = np.stack([cell % cells, cell // cells], axis=1) / cells
    inset = min(_GUTTER_PX / texture_size_px, 0.15 / cells)
    reach = 1.0 / cells - 3.5 * inset
    lower = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]) * reach + inset
    upper = np.array([(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)]) * reach + 2.5 * inset
    is_upper = (np.arange(count) % 2 == 1)[:, None, None]
    corners = origin[:, None] + np.where(is_upper, upper, lower)
    return UvMap(
        corners.reshape(-1, 2).astype(np.float32), np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    )
