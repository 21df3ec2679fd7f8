"""Priors on surfaces: differentiable numbers, and the smoothing that preconditions vertex steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from numba import njit
from torch import Tensor

from objectscan.render.devices import array_of


def sign_change(edge_values: Float[Tensor, "E 2"]) -> Float[Tensor, ""]:
    """How far the field is from having one sign on both ends of its crossed edges (nvdiffrec, its sdf
    regulariser).

    Mean over edges of the cross-entropy of each end's sign against the other's; fewer crossings, no floaters.
    0 for no edges.
    """
    if len(edge_values) == 0:
        return edge_values.new_zeros(())
    first, second = edge_values.unbind(dim=1)
    towards = F.binary_cross_entropy_with_logits(first, (second > 0).to(first.dtype))
    return towards + F.binary_cross_entropy_with_logits(second, (first > 0).to(first.dtype))


def saturated(value: Float[Tensor, ...], scale: float) -> Float[Tensor, ...]:
    """`value` (not negative) while it is small, towards `scale` when it is large (Geman and McClure 1985)."""
    return value * scale / (value + scale)


def normal_consistency(
    vertices: Float[Tensor, "V 3"],
    faces: Int32[Tensor, "F 3"],
    adjacency: Int32[Tensor, "F 3"],
    *,
    crease: float = np.inf,
) -> Float[Tensor, ""]:
    """Mean over inner edges of 1 - cos of the angle between their faces' normals; 0 for no edges.

    Differentiable. With a `crease` each edge's term is `saturated` at it: flat parts are flattened as before,
    and sharp edges stay sharp.
    """
    result: Tensor = _NormalConsistency.apply(vertices, faces, adjacency, crease)
    return result


class LaplacianSmoother:
    """Applies (I + smoothness * L)^-1 with L the uniform graph Laplacian (Nicolet et al. 2021, eq. 9)."""

    def __init__(self, faces: Int32[np.ndarray, "F 3"], vertex_count: int, smoothness: float):
        """Factorise once: 0.1 s for 10,000 vertices."""
        system = (
            scipy.sparse.identity(vertex_count) + smoothness * _graph_laplacian(faces, vertex_count)
        ).tocsc()
        # Symmetric positive definite: no pivoting, an ordering for A^T + A; half the fill of the default.
        self._factors = scipy.sparse.linalg.splu(
            system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )

    def apply(self, values: Float[np.ndarray, "V C"]) -> Float[np.ndarray, "V C"]:
        """Smoothed values (float64)."""
        smoothed: np.ndarray = self._factors.solve(np.ascontiguousarray(values, np.float64))
        return smoothed


def _graph_laplacian(faces: np.ndarray, vertex_count: int) -> scipy.sparse.csr_matrix:
    """Valence minus adjacency, each edge once whatever the number of its faces."""
    first = faces[:, [0, 1, 2, 1, 2, 0]].ravel()
    second = faces[:, [1, 2, 0, 0, 1, 2]].ravel()
    shape = (vertex_count, vertex_count)
    adjacency = scipy.sparse.coo_matrix((np.ones(len(first)), (first, second)), shape).tocsr()
    adjacency.data[:] = 1.0
    return scipy.sparse.diags(np.asarray(adjacency.sum(axis=1)).ravel()) - adjacency


class _NormalConsistency(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vertices: Tensor, faces: Tensor, adjacency: Tensor, crease: float) -> Tensor:
        inputs = array_of(vertices), faces.numpy(), adjacency.numpy()
        normals = np.zeros(inputs[1].shape, np.float64)
        lengths = np.zeros(len(inputs[1]), np.float64)
        _unit_normals(inputs[0], inputs[1], normals, lengths)
        slopes = np.zeros_like(normals)
        total, edges = _consistency(inputs[2], normals, crease, slopes)
        ctx.saved = (*inputs[:2], normals, lengths, slopes / max(edges, 1))
        return vertices.new_tensor(total / max(edges, 1))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        vertices, faces, normals, lengths, slopes = ctx.saved
        gradient = np.zeros_like(vertices)
        _unit_normals_backward(vertices, faces, normals, lengths, slopes * float(upstream), gradient)
        return torch.from_numpy(gradient), None, None, None


@njit(cache=True, nogil=True)
def _unit_normals(vertices, faces, normals, lengths):
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
def _consistency(adjacency, normals, crease, slopes):
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
def _unit_normals_backward(vertices, faces, normals, lengths, upstream, gradient):
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
