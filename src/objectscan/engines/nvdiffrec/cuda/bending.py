"""The bend between neighbouring faces, on the GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from objectscan.engines.nvdiffrec.cuda.rows import PACKAGE
from objectscan.render.cuda.launch import blocks, indices, launcher_on, plain

_KERNELS = f"{PACKAGE}/bending"
_THREADS = 128


def bending(vertices: Tensor, faces: Tensor, adjacency: Tensor, crease: float) -> tuple[Tensor, Any]:
    """See `regularisers.normal_consistency`; and what `bending_backward` needs."""
    gpu, count, device = launcher_on(vertices.device), len(faces), vertices.device
    corners, triangles = plain(vertices), indices(faces)
    normals = torch.empty((count, 4), device=device)
    slopes, sums = torch.empty((count, 3), device=device), torch.zeros(2, device=device)
    grid = blocks(count, _THREADS)
    gpu.launch(_KERNELS, "unit_normals", grid, _THREADS, corners, triangles, normals, count)
    gpu.launch(
        _KERNELS, "sum_bends", grid, _THREADS, indices(adjacency), normals, slopes, sums, 1.0 / crease, count
    )
    share = 1.0 / sums[1].clamp_min(1.0)
    return sums[0] * share, (corners, triangles, normals, slopes, share)


def bending_backward(saved: Any, upstream: Tensor) -> Tensor:
    """The gradient by the vertices."""
    corners, triangles, normals, slopes, share = saved
    gradient = torch.zeros_like(corners)
    launcher_on(corners.device).launch(
        _KERNELS, "sum_bends_backward", blocks(len(triangles), _THREADS), _THREADS, corners, triangles,
        normals, slopes, upstream * share, gradient, len(triangles),
    )  # fmt: skip
    return gradient
