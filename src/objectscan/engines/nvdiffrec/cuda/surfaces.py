"""Surfaces of signed fields on the GPU: count, scan, emit. One wait, for the numbers of all parts."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from objectscan.engines.cube_cases import EDGES, cube_cases
from objectscan.engines.nvdiffrec.cuda.rows import PACKAGE
from objectscan.render.cuda.launch import blocks, launcher_on, plain

_KERNELS = f"{PACKAGE}/isosurface"
_THREADS = 128


@lru_cache(maxsize=8)
def _tables(device: torch.device, around: bytes) -> Tensor:
    """`struct Tables` on the GPU."""
    cases = cube_cases()
    parts = (cases.groups, cases.group_of_edge, cases.ambiguous_face, EDGES, np.frombuffer(around, np.int64))
    return torch.from_numpy(np.concatenate([part.ravel().astype(np.int32) for part in parts])).to(device)


def extract_topology(field: Tensor, tables: Any, around: np.ndarray) -> tuple[Tensor, ...] | None:
    """The fields of `flexicubes.Topology`, in its order; None without a sign change."""
    gpu, device, count = launcher_on(field.device), field.device, field.numel()
    shape, cases_of = struct.pack("3i", *field.shape), _tables(device, around.tobytes())
    raw, cases = torch.empty((2, count), dtype=torch.uint8, device=device)
    counts = torch.empty(5 * count, dtype=torch.int32, device=device)
    grid = blocks(count, _THREADS)
    gpu.launch(_KERNELS, "find_cases", grid, _THREADS, field, raw, shape, count)
    gpu.launch(
        _KERNELS, "count_parts", grid, _THREADS, field, raw, cases_of, cases, counts, shape, count
    )  # fmt: skip
    sums = torch.cumsum(counts, 0, dtype=torch.int32)
    totals = np.diff(sums.view(5, count)[:, -1].cpu().numpy(), prepend=0)
    cubes, vertices, crossings, quads, points = map(int, totals)
    if not cubes:
        return None

    def room(*size: int, dtype: torch.dtype = torch.int32) -> Tensor:
        return torch.empty(size, dtype=dtype, device=device)

    found = (
        room(points, dtype=torch.int64), room(cubes, dtype=torch.int64), room(vertices + 1), room(vertices),
        room(crossings), room(crossings), room(crossings), room(quads, 4),
    )  # fmt: skip
    surface = struct.pack("8Q", *(tensor.data_ptr() for tensor in found))
    gpu.launch(_KERNELS, "emit_parts", grid, _THREADS, field, cases, cases_of, sums, surface, shape, count)
    return found


def _crossings(topology: Any) -> bytes:
    """Bytes of `struct Crossings`."""
    parts = (topology.start, topology.cube, topology.edge, topology.first, topology.second)
    return struct.pack("5Q", *(tensor.data_ptr() for tensor in parts))


@lru_cache(maxsize=8)
def _edge_tables(device: torch.device) -> Tensor:
    """`struct Tables` without the cubes around edges: what the placing of vertices reads."""
    return _tables(device, bytes(8 * 48))


def place(points: Tensor, field: Tensor, weights: Tensor, topology: Any) -> Tensor:
    """Dual vertices [D, 3]."""
    count = len(topology.cube)
    vertices = torch.empty((count, 3), device=points.device)
    launcher_on(points.device).launch(
        _KERNELS, "place_vertices", blocks(count, _THREADS), _THREADS, plain(points), plain(field),
        plain(weights), _crossings(topology), _edge_tables(points.device), vertices, count,
    )  # fmt: skip
    return vertices


def place_backward(
    points: Tensor, field: Tensor, weights: Tensor, topology: Any, vertices: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of points, field and weights."""
    inputs = [plain(tensor) for tensor in (points, field, weights)]
    first, second, third = (torch.zeros_like(tensor) for tensor in inputs)
    count = len(topology.cube)
    launcher_on(points.device).launch(
        _KERNELS, "place_vertices_backward", blocks(count, _THREADS), _THREADS, *inputs, _crossings(topology),
        _edge_tables(points.device), vertices, plain(upstream), first, second, third, count,
    )  # fmt: skip
    return first, second, third


def deviation(
    points: Tensor, field: Tensor, vertices: Tensor, topology: Any
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """L_dev, and its gradients by points, field and vertices."""
    places, values, corners = (plain(tensor) for tensor in (points, field, vertices))
    first, second, third = (torch.zeros_like(tensor) for tensor in (places, values, corners))
    loss, count = torch.zeros((), device=points.device), len(corners)
    launcher_on(points.device).launch(
        _KERNELS, "deviate", blocks(count, _THREADS), _THREADS, places, values, _crossings(topology), corners,
        first, second, third, loss, count,
    )  # fmt: skip
    return loss, (first, second, third)


def triangulate(quads: Tensor, vertices: Tensor) -> Tensor:
    """Two triangles a quad [2Q, 3], split along the shorter diagonal."""
    faces = torch.empty((2 * len(quads), 3), dtype=torch.int32, device=quads.device)
    launcher_on(quads.device).launch(
        _KERNELS, "triangulate", blocks(len(quads), _THREADS), _THREADS, quads, plain(vertices), faces,
        len(quads),
    )  # fmt: skip
    return faces
