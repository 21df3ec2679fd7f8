"""FlexiCubes (Shen et al. 2023): dual marching cubes whose vertices are placed by learnt weights.

Differences from the publication: only active cubes are stored and touched, and quads are split along the
shorter diagonal instead of by a learnt weight with a centre vertex, which halves the triangles to rasterise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64
from torch import Tensor

from objectscan.engines.cube_cases import cube_cases
from objectscan.engines.nvdiffrec.devices import backend_of
from objectscan.errors import EmptyForeground

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

    points: Int64[Tensor, " U"]
    """Flat indices of the grid points that end a crossed edge."""
    cubes: Int64[Tensor, " A"]
    """Flat indices of the active cubes."""
    start: Int32[Tensor, " D+1"]
    """The crossings of vertex d are start[d] to start[d + 1]."""
    cube: Int32[Tensor, " D"]
    """Each vertex' cube, as a position in `cubes`."""
    edge: Int32[Tensor, " E"]
    """Local edge of each crossing in its cube, see `cube_cases.EDGES`."""
    first: Int32[Tensor, " E"]
    second: Int32[Tensor, " E"]
    """Ends of each crossing, as positions in `points`."""
    quads: Int32[Tensor, "Q 4"]


def extract_topology(field: Float32[Tensor, "X Y Z"]) -> Topology:
    """Find the surface of a field that is negative inside; closed if its border is positive.

    Cost on a CPU: 2 ns a grid point and 0.1 us a vertex. On a GPU the numbers of cubes, crossings and points
    are waited for.

    Raises:
        EmptyForeground: No sign change.
    """
    found = backend_of(field).extract_topology(field, cube_cases(), _AROUND)
    if found is None:
        raise EmptyForeground(
            "The surface has vanished: no grid edge changes sign.", hint="Check masks and cameras."
        )
    return Topology(*found)


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
    faces: Tensor = backend_of(vertices).triangulate(topology.quads, vertices.detach())
    return faces


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
        value, ctx.gradients = backend_of(points).deviation(points, field, vertices, topology)
        return cast(Tensor, value)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        return (*(upstream * gradient for gradient in ctx.gradients), None)


class _Place(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, field: Tensor, weights: Tensor, topology: Topology) -> Tensor:
        vertices: Tensor = backend_of(points).place(points, field, weights, topology)
        ctx.topology, ctx.inputs = topology, (points, field, weights, vertices)
        return vertices.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        points, field, weights, vertices = ctx.inputs
        inputs = points, field, weights, ctx.topology, vertices, upstream
        return (*backend_of(points).place_backward(*inputs), None)
