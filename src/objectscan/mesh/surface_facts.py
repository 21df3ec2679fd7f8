"""What the surface itself says about a result: holes, loose pieces and guesses that no photo shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import ConvexHull, QhullError

from objectscan.mesh.topology import (
    TopologyFacts,
    connected_components,
    face_areas,
    topology_facts,
    weld_by_position,
)
from objectscan.types import Mesh, Reconstruction


@dataclass(frozen=True, slots=True)
class SurfaceFacts:
    """Of the welded surface. Shares are of its area."""

    loose_pieces: int
    """Components besides the largest."""
    loose_area: float
    hole_diameters: tuple[float, ...]
    """World units, one for each boundary loop."""
    open_area: float
    """Area that would close the holes, as a share of the closed surface."""
    invented_area: float
    """Share of the area that closes holes which no photo shows."""
    non_manifold_edges: int
    """Edges of more than two faces."""
    longest_side: float
    """Of the bounding box, world units."""
    topology: Mapping[str, float]
    """Further facts by name, reported and never deciding."""


def surface_facts(reconstruction: Reconstruction) -> SurfaceFacts:
    """Measure the surface of a result, welded by position so that texture seams don't count as holes."""
    mesh = weld_by_position(reconstruction.mesh)
    topology = topology_facts(mesh)
    area = face_areas(mesh)
    component = connected_components(mesh)
    by_component = np.bincount(component, weights=area)
    loops = boundary_loops(mesh.faces)
    closing = sum(_fan_area(mesh.vertices[loop]) for loop in loops)
    own_area = face_areas(reconstruction.mesh)
    invented = float(own_area[reconstruction.invented_faces].sum() / own_area.sum())
    return SurfaceFacts(
        loose_pieces=len(by_component) - 1,
        loose_area=float((by_component.sum() - by_component.max()) / area.sum()),
        hole_diameters=tuple(_diameter(mesh.vertices[loop]) for loop in loops),
        open_area=float(closing / (area.sum() + closing)),
        invented_area=invented,
        non_manifold_edges=topology.non_manifold_edges,
        longest_side=float(np.ptp(mesh.vertices, axis=0).max()),
        topology=_named(topology) | _shape_facts(mesh),
    )


def boundary_loops(faces: Int[np.ndarray, "F 3"]) -> list[Int[np.ndarray, " L"]]:
    """Closed chains of edges that only one face has, as vertex indices in face order.

    Where several loops touch in a vertex they are walked in one of the possible ways.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, inverse, counts = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    following: dict[int, list[int]] = {}
    for start, end in edges[counts[inverse.ravel()] == 1].tolist():
        following.setdefault(start, []).append(end)
    loops = []
    while following:
        start = vertex = next(iter(following))
        loop = []
        while vertex in following:
            loop.append(vertex)
            ends = following[vertex]
            vertex = ends.pop()
            if not ends:
                del following[loop[-1]]
            if vertex == start:
                break
        loops.append(np.array(loop))
    return loops


def _fan_area(points: Float[np.ndarray, "L 3"]) -> float:
    """Area of the triangles from the loop's centre to its edges."""
    spokes = points - points.mean(0)
    return float(0.5 * np.linalg.norm(np.cross(spokes, np.roll(spokes, -1, axis=0)), axis=1).sum())


def _diameter(points: Float[np.ndarray, "L 3"]) -> float:
    """Twice the largest distance from the loop's centre."""
    return float(2.0 * np.linalg.norm(points - points.mean(0), axis=1).max())


def _named(facts: TopologyFacts) -> dict[str, float]:
    """The numbers of `TopologyFacts` by name; what does not apply (genus of an open surface) is left out."""
    return {name: value for name, value in dataclasses.asdict(facts).items() if value is not None}


def _shape_facts(mesh: Mesh) -> dict[str, float]:
    """Shape numbers that change neither with rotation nor with scale."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    longest = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2).max(1)
    area = face_areas(mesh)
    # Longest edge over the height on it: 1.15 for an equilateral triangle.
    aspect_p99 = float(np.percentile(longest**2 / np.maximum(2.0 * area, 1e-30), 99))
    try:
        hull = ConvexHull(mesh.vertices.astype(np.float64))
    except QhullError:  # a flat surface has no hull
        return {"aspect_p99": aspect_p99}
    volume = np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6.0
    return {
        "aspect_p99": aspect_p99,
        "area_per_hull_area": float(area.sum() / hull.area),
        "volume_per_hull_volume": float(volume / hull.volume),
    }
