"""What the engine asks of a backend, on the CPU. `nvdiffrec.cuda.operations` offers the same functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from objectscan.engines.cube_cases import EDGES
from objectscan.engines.nvdiffrec.cpu import (
    bending_kernels,
    field_kernels,
    photo_kernels,
    row_kernels,
    texture_kernels,
)
from objectscan.engines.nvdiffrec.cpu import isosurface_kernels as surface_kernels
from objectscan.engines.nvdiffrec.regularisers import LaplacianSmoother
from objectscan.render.devices import array_of
from objectscan.render.threads import run_jobs, split_range, thread_count

_EPSILON = 1e-12


def step_rows(rows: Any, rates: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None) -> None:
    """See `SparseRows.step`."""
    values, touched = rows.values.numpy(), rows.touched.numpy()
    moved = None if bounds is None else touched.astype(bool)
    first, second = (moment.numpy() for moment in rows.moments)
    row_kernels.step(  # type: ignore[call-arg]
        values, rows.gradient.numpy(), touched, first, second, rows.counts.numpy(), rates, *rows.betas,
        _EPSILON,
    )  # fmt: skip
    if bounds is not None:
        values[moved] = np.clip(values[moved], *bounds)


def scatter_rows(rows: Any, index: Tensor, upstream: Tensor) -> None:
    """Add each row of `upstream` to the gradient of the row that `index` names."""
    row_kernels.scatter_add(index.numpy(), array_of(upstream), rows.gradient.numpy(), rows.touched.numpy())


def read_field(rows: Any, layout: Any, points: Tensor) -> Tensor:
    """Raw channels [P, 6] of a texture field at points in [0, 1]^3."""
    places, table = points.numpy(), rows.values.numpy()
    values = np.zeros((len(places), table.shape[1]), np.float32)
    levels = layout.starts, layout.cells, layout.hashed
    run_jobs(
        lambda a, b: field_kernels.lookup(places, table, *levels, a, b, values), split_range(len(places))
    )
    return torch.from_numpy(values)


def read_field_backward(rows: Any, layout: Any, points: Tensor, upstream: Tensor) -> Tensor:
    """Adds to the gradient of the rows; returns that of the points."""
    places, gradient, count = points.numpy(), upstream.numpy(), len(layout.cells)
    parts = min(thread_count(), count)
    levels = [(count * k // parts, count * (k + 1) // parts) for k in range(parts)]
    points_grad = np.zeros((parts, *places.shape), np.float32)
    run_jobs(
        lambda part: field_kernels.lookup_backward(
            places, rows.values.numpy(), layout.starts, layout.cells, layout.hashed, levels[part], gradient,
            rows.gradient.numpy(), rows.touched.numpy(), points_grad[part],
        ),
        [(part,) for part in range(parts)],
    )  # fmt: skip
    return torch.from_numpy(points_grad.sum(axis=0))


def read_atlas(rows: Any, size_px: int, uv: Tensor) -> Tensor:
    """Bilinear texels [P, C] of a square atlas."""
    texels, coordinates = rows.values.numpy(), uv.numpy()
    values = np.zeros((len(coordinates), texels.shape[1]), np.float32)
    run_jobs(
        lambda a, b: texture_kernels.lookup(texels, size_px, coordinates, a, b, values),
        split_range(len(coordinates)),
    )
    return torch.from_numpy(values)


def read_atlas_backward(rows: Any, size_px: int, uv: Tensor, upstream: Tensor) -> None:
    """Adds to the gradient of the rows."""
    texture_kernels.lookup_backward(
        rows.values.numpy(), size_px, uv.numpy(), upstream.numpy(), rows.gradient.numpy(),
        rows.touched.numpy(),
    )  # fmt: skip


def extract_topology(field: Tensor, tables: Any, around: np.ndarray) -> tuple[Tensor, ...] | None:
    """The fields of `flexicubes.Topology`, in its order; None without a sign change."""
    values = field.numpy()
    cases = surface_kernels.cube_states(values, tables.ambiguous_face)
    # Cases 1 to 254; 0 wraps to 255.
    active = np.flatnonzero(cases.ravel() - np.uint8(1) < 254)
    if not len(active):
        return None
    first_vertex = np.zeros(cases.shape, np.int32)
    start, cube, edge, first, second = surface_kernels.dual_vertices(
        cases, active, tables.groups, tables.group_of_edge, EDGES, first_vertex
    )
    quad = np.zeros((len(edge), 4), np.int32)
    count = surface_kernels.quads(values, cases, active, tables.group_of_edge, first_vertex, around, quad)
    points = surface_kernels.compact(first, second, np.zeros(values.size, np.int32))
    found = (points, active, start, cube, edge, first, second, quad[:count])
    return tuple(torch.from_numpy(array) for array in found)


def place(points: Tensor, field: Tensor, weights: Tensor, topology: Any) -> Tensor:
    """Dual vertices [D, 3]."""
    arrays = [array_of(tensor) for tensor in (points, field, weights)]
    vertices = np.zeros((len(topology.cube), 3), arrays[0].dtype)
    surface_kernels.place(*arrays, EDGES, *_crossings(topology), vertices)  # type: ignore[call-arg]
    return torch.from_numpy(vertices)


def place_backward(
    points: Tensor, field: Tensor, weights: Tensor, topology: Any, vertices: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of points, field and weights."""
    arrays = [array_of(tensor) for tensor in (points, field, weights)]
    gradients = [np.zeros_like(array) for array in arrays]
    surface_kernels.place_backward(  # type: ignore[call-arg]
        *arrays, EDGES, *_crossings(topology), vertices.numpy(), array_of(upstream), *gradients
    )
    first, second, third = map(torch.from_numpy, gradients)
    return first, second, third


def _crossings(topology: Any) -> list[np.ndarray]:
    parts = (topology.start, topology.cube, topology.edge, topology.first, topology.second)
    return [tensor.numpy() for tensor in parts]


def deviation(
    points: Tensor, field: Tensor, vertices: Tensor, topology: Any
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """L_dev, and its gradients by points, field and vertices."""
    arrays = [array_of(tensor) for tensor in (points, field, vertices)]
    gradients = [np.zeros_like(array) for array in arrays]
    ends = (topology.start.numpy(), topology.first.numpy(), topology.second.numpy())
    value = surface_kernels.deviation(arrays[0], arrays[1], *ends, arrays[2], *gradients)
    first, second, third = map(torch.from_numpy, gradients)
    return points.new_tensor(value), (first, second, third)


def triangulate(quads: Tensor, vertices: Tensor) -> Tensor:
    """Two triangles a quad [2Q, 3], split along the shorter diagonal."""
    faces = np.zeros((2 * len(quads), 3), np.int32)
    surface_kernels.triangulate(quads.numpy(), array_of(vertices), faces)
    return torch.from_numpy(faces)


def of_views(values: Tensor, hits: Any) -> Tensor:
    """Values of each view [B, C] at its covered pixels [P, C]; differentiable."""
    return values[hits.views()]


def bending(vertices: Tensor, faces: Tensor, adjacency: Tensor, crease: float) -> tuple[Tensor, Any]:
    """See `regularisers.normal_consistency`; and what `bending_backward` needs."""
    corners, triangles = array_of(vertices), faces.numpy()
    normals = np.zeros(triangles.shape, np.float64)
    lengths = np.zeros(len(triangles), np.float64)
    bending_kernels.unit_normals(corners, triangles, normals, lengths)
    slopes = np.zeros_like(normals)
    total, edges = bending_kernels.consistency(adjacency.numpy(), normals, crease, slopes)
    saved = corners, triangles, normals, lengths, slopes / max(edges, 1)
    return vertices.new_tensor(total / max(edges, 1)), saved


def bending_backward(saved: Any, upstream: Tensor) -> Tensor:
    """The gradient by the vertices."""
    vertices, faces, normals, lengths, slopes = saved
    gradient = np.zeros_like(vertices)
    bending_kernels.unit_normals_backward(
        vertices, faces, normals, lengths, slopes * float(upstream), gradient
    )
    return torch.from_numpy(gradient)


def photo_loss(
    rendered: Tensor, target: Tensor, weights: tuple[float, float, float], strides_px: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """The three parts of `photo_loss`, and the gradient of their weighted sum by `rendered`."""
    ours, photos, strides = array_of(rendered), array_of(target), np.array(strides_px)
    slopes, sums = np.zeros_like(ours), np.zeros((len(ours), 3))
    area = max(float((target[..., 3] * target[..., 4]).sum()), 1.0)
    shares = 1.0 / (area * np.array([3.0, 1.0, 3.0 * len(strides)]))
    factors = (shares * weights).astype(ours.dtype)
    run_jobs(
        lambda view: photo_kernels.photo_loss(
            ours[view], photos[view], factors, strides, sums[view], slopes[view]
        ),
        [(view,) for view in range(len(ours))],
    )
    parts = torch.from_numpy((shares * sums.sum(axis=0)).astype(ours.dtype))
    return parts, torch.from_numpy(slopes)


class VertexSteps:
    """Adam with one second moment for all, between two smoothings; see `VertexDescent`."""

    def __init__(self, faces: np.ndarray, vertex_count: int, smoothness: float, device: torch.device):
        """Start without momentum. `device` is the CPU."""
        self._smoother = LaplacianSmoother(faces, vertex_count, smoothness)
        self._first = np.zeros((vertex_count, 3))
        self._second = 0.0
        self._count = 0

    def move(self, gradient: Tensor, betas: tuple[float, float]) -> Tensor:
        """The step for this gradient [V, 3], of size about 1 where it is largest."""
        smooth = self._smoother.apply(gradient.double().numpy())
        self._count += 1
        self._first = betas[0] * self._first + (1 - betas[0]) * smooth
        # One second moment for all (the paper's AdamUniform): a moment a coordinate would undo the smoothing.
        largest = float(np.quantile(np.abs(smooth), 0.999))
        self._second = betas[1] * self._second + (1 - betas[1]) * largest**2
        mean = self._first / (1 - betas[0] ** self._count)
        scale = np.sqrt(self._second / (1 - betas[1] ** self._count)) + 1e-30
        return torch.from_numpy(self._smoother.apply(mean / scale))
