"""FlexiCubes (Shen et al. 2023): dual marching cubes whose vertices are placed by learnt weights.

Differences from the publication: only active cubes are stored and touched, and quads are split along the
shorter diagonal instead of by a learnt weight with a centre vertex, which halves the triangles to rasterise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64
from torch import Tensor

from objectscan.engines.cube_cases import EDGES, cube_cases
from objectscan.engines.nvdiffrec import isosurface_kernels as kernels
from objectscan.errors import EmptyForeground
from objectscan.render.devices import array_of

WEIGHTS = 20
"""Weights a cube: alpha of 8 corners, beta of 12 edges; all 1 gives plain dual marching cubes."""
# Steps back along (x, y, z) and local edge of the four cubes around a grid edge of each axis.
_AROUND = np.array(
    [
        [(0, 0, 0, 0), (0, 1, 0, 4), (0, 1, 1, 6), (0, 0, 1, 2)],
        [(0, 0, 0, 8), (0, 0, 1, 11), (1, 0, 1, 10), (1, 0, 0, 9)],
        [(0, 0, 0, 3), (1, 0, 0, 1), (1, 1, 0, 5), (0, 1, 0, 7)],
    ],
    np.int64,
)


@dataclass(frozen=True, slots=True)
class Topology:
    """Which grid points, cubes, vertices and faces a field's surface has. D dual vertices, E crossings."""

    points: Int64[np.ndarray, " U"]
    """Flat indices of the grid points that end a crossed edge."""
    cubes: Int64[np.ndarray, " A"]
    """Flat indices of the active cubes."""
    start: Int32[np.ndarray, " D+1"]
    """The crossings of vertex d are start[d] to start[d + 1]."""
    cube: Int32[np.ndarray, " D"]
    """Each vertex' cube, as a position in `cubes`."""
    edge: Int32[np.ndarray, " E"]
    """Local edge of each crossing in its cube, see `cube_cases.EDGES`."""
    first: Int32[np.ndarray, " E"]
    second: Int32[np.ndarray, " E"]
    """Ends of each crossing, as positions in `points`."""
    quads: Int32[np.ndarray, "Q 4"]


def extract_topology(field: Float32[np.ndarray, "X Y Z"]) -> Topology:
    """Find the surface of a field that is negative inside; closed if its border is positive.

    Cost: 2 ns a grid point and 0.1 us a vertex.

    Raises:
        EmptyForeground: No sign change.
    """
    tables = cube_cases()
    cases = kernels.cube_states(field, tables.ambiguous_face)
    # Cases 1 to 254; 0 wraps to 255.
    active = np.flatnonzero(cases.ravel() - np.uint8(1) < 254)
    if not len(active):
        raise EmptyForeground(
            "The surface has vanished: no grid edge changes sign.", hint="Check masks and cameras."
        )
    first_vertex = np.zeros(cases.shape, np.int32)
    start, cube, edge, first, second = kernels.dual_vertices(
        cases, active, tables.groups, tables.group_of_edge, EDGES, first_vertex
    )
    quad = np.zeros((len(edge), 4), np.int32)
    count = kernels.quads(field, cases, active, tables.group_of_edge, first_vertex, _AROUND, quad)
    points = kernels.compact(first, second, np.zeros(field.size, np.int32))
    return Topology(points, active, start, cube, edge, first, second, quad[:count])


def place_vertices(
    points: Float[Tensor, "U 3"],
    field: Float[Tensor, " U"],
    weights: Float[Tensor, "A 20"] | None,
    topology: Topology,
) -> Float[Tensor, "D 3"]:
    """Vertex positions; differentiable in all three.

    Args:
        points: Positions of `topology.points`.
        field: Their values, negative inside.
        weights: Positive weights of `topology.cubes`; None means all 1.
        topology: From `extract_topology` of the same field.
    """
    if weights is None:
        weights = points.new_ones((len(topology.cubes), WEIGHTS))
    result: Tensor = _Place.apply(points, field, weights, topology)
    return result


def triangles(topology: Topology, vertices: Float[Tensor, "D 3"]) -> Int32[Tensor, "F 3"]:
    """Two triangles a quad, counter-clockwise seen from outside."""
    faces = np.zeros((2 * len(topology.quads), 3), np.int32)
    kernels.triangulate(topology.quads, array_of(vertices), faces)
    return torch.from_numpy(faces)


def deviation(
    points: Float[Tensor, "U 3"],
    field: Float[Tensor, " U"],
    vertices: Float[Tensor, "D 3"],
    topology: Topology,
) -> Float[Tensor, ""]:
    """L_dev: how unevenly far vertices are from the crossings around them, world units; differentiable.

    A vertex is a mean: without this term the field may ripple at grid frequency while the vertices stay.
    """
    result: Tensor = _Deviation.apply(points, field, vertices, topology)
    return result


class _Deviation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, field: Tensor, vertices: Tensor, topology: Topology) -> Tensor:
        arrays = [array_of(tensor) for tensor in (points, field, vertices)]
        gradients = [np.zeros_like(array) for array in arrays]
        value = kernels.deviation(
            arrays[0], arrays[1], topology.start, topology.first, topology.second, arrays[2], *gradients
        )
        ctx.gradients = gradients
        return points.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        return (*(upstream * torch.from_numpy(gradient) for gradient in ctx.gradients), None)


class _Place(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, field: Tensor, weights: Tensor, topology: Topology) -> Tensor:
        t = topology
        inputs = (
            array_of(points), array_of(field), array_of(weights), EDGES, t.start, t.cube, t.edge, t.first,
            t.second,
        )  # fmt: skip
        vertices = np.zeros((len(t.cube), 3), inputs[0].dtype)
        kernels.place(*inputs, vertices)
        ctx.inputs, ctx.vertices = inputs, vertices
        return torch.from_numpy(vertices.copy())

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        gradients = [np.zeros_like(array) for array in ctx.inputs[:3]]
        kernels.place_backward(*ctx.inputs, ctx.vertices, array_of(upstream), *gradients)  # type: ignore[call-arg]
        return (*(torch.from_numpy(gradient) for gradient in gradients), None)
