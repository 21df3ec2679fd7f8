"""The child process of `mesh.uv`: `python -m objectscan.mesh.uv_worker REQUEST.npz ANSWER.npz`."""

from __future__ import annotations

import sys

import numpy as np
import xatlas

from objectscan.mesh.uv import spatial_blocks
from objectscan.types import Mesh, UvMap

_PADDING_PX = 5
"""The atlas comes out up to a fifth larger than asked for; scaled to the square, 4 to 5 px are left."""


def unwrap_with_xatlas(mesh: Mesh, texture_size_px: int) -> UvMap:
    """Charts of all spatial blocks packed into one square atlas."""
    atlas = xatlas.Atlas()
    blocks = spatial_blocks(mesh)
    for block in blocks:
        used, local = np.unique(mesh.faces[block], return_inverse=True)
        atlas.add_mesh(mesh.vertices[used].astype(np.float32), local.reshape(-1, 3).astype(np.uint32))
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    packing.resolution, packing.padding, packing.bilinear = texture_size_px, _PADDING_PX, True
    charts.max_cost = 8.0  # 25 % fewer charts than the default at the same time
    atlas.generate(chart_options=charts, pack_options=packing)

    faces = np.zeros((len(mesh.faces), 3), np.int32)
    parts, first = [], 0
    # xatlas divides by width and height separately: undo, so that texels are square.
    scale = np.array([atlas.width, atlas.height], np.float32) / max(atlas.width, atlas.height)
    for number, block in enumerate(blocks):
        _, local_faces, coordinates = atlas[number]
        faces[block] = local_faces.astype(np.int32) + first
        parts.append(coordinates.astype(np.float32) * scale)
        first += len(coordinates)
    return UvMap(np.clip(np.concatenate(parts), 0.0, 1.0), faces)


def main(request_path: str, answer_path: str) -> None:
    """Read the request, unwrap, write the answer."""
    with np.load(request_path) as request:
        mesh = Mesh(request["vertices"], request["faces"])
        layout = unwrap_with_xatlas(mesh, int(request["size_px"]))
    np.savez(answer_path, coordinates=layout.coordinates, faces=layout.faces)


if __name__ == "__main__":
    main(*sys.argv[1:3])
