"""How a surface bends from face to face: noise, spikes, folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int64
from scipy.sparse.csgraph import connected_components as _graph_components

from objectscan.mesh.topology import paired_half_edges, unit_face_normals
from objectscan.types import Mesh

_BENT_RAD = np.deg2rad(15.0)
"""A bend that counts as one; scans at 3,000 faces have 8 degrees on average."""
_ROUGH_RAD = np.deg2rad(45.0)
_SPIKE_HEIGHT = 3.0
"""Of a vertex over its neighbours, per radius of their ring. The tip of a usual cone has up to 2."""
_STRETCHED = 6.0
"""Longest edge of a face per median edge of the mesh."""
_FOLDED_RAD = np.deg2rad(90.0)
_FOLDED_SHARE = 0.25
_FEWEST_BAND_FACES = 8


@dataclass(frozen=True, slots=True)
class Bends:
    """The E edges between two faces."""

    vertices: Int64[np.ndarray, "E 2"]
    faces: Int64[np.ndarray, "E 2"]
    angle_rad: Float[np.ndarray, " E"]
    """Between the faces' normals, in [0, pi]."""
    is_convex: Bool[np.ndarray, " E"]
    """The surface bends away from its outside; False also for flat."""
    length: Float[np.ndarray, " E"]


def bends(mesh: Mesh) -> Bends:
    """Measure each edge of a manifold, consistently wound mesh."""
    one, two = paired_half_edges(mesh)
    flat = mesh.faces.reshape(-1)
    ends = np.stack([flat[one], flat[one - one % 3 + (one + 1) % 3]], axis=1).astype(np.int64)
    across = mesh.vertices[flat[two - two % 3 + (two + 2) % 3]].astype(np.float64)
    start, end = (mesh.vertices[ends[:, k]].astype(np.float64) for k in range(2))
    normals = unit_face_normals(mesh)
    cosine = np.einsum("ec,ec->e", normals[one // 3], normals[two // 3])
    return Bends(
        ends,
        np.stack([one // 3, two // 3], axis=1),
        np.arccos(np.clip(cosine, -1.0, 1.0)),
        np.einsum("ec,ec->e", across - start, normals[one // 3]) < 0,
        np.linalg.norm(end - start, axis=1),
    )


def rough_vertices(mesh: Mesh) -> Bool[np.ndarray, " V"]:
    """Vertices around which the surface bends by 45 degrees and more both outward and inward.

    A smooth surface bends one way or, in a saddle, a little both ways; noise and steps bend strongly both
    ways.
    """
    edges = bends(mesh)
    angle = np.where(edges.angle_rad > _BENT_RAD, edges.angle_rad, 0.0)
    sums = [
        np.bincount(edges.vertices.reshape(-1), np.repeat(angle * sense, 2), minlength=len(mesh.vertices))
        for sense in (edges.is_convex, ~edges.is_convex)
    ]
    return np.asarray(np.minimum(*sums) > _ROUGH_RAD)


def spike_vertices(mesh: Mesh) -> Bool[np.ndarray, " V"]:
    """Vertices that stand out of the ring of their neighbours by more than three times its radius."""
    edges = bends(mesh)
    count = len(mesh.vertices)
    positions = mesh.vertices.astype(np.float64)
    first, second = edges.vertices.T
    graph = scipy.sparse.coo_matrix((np.ones(len(first)), (first, second)), (count, count)).tocsr()
    graph = graph + graph.T
    neighbours = np.asarray(graph.sum(axis=1)).reshape(-1)
    safe = np.maximum(neighbours, 1.0)
    centre = graph @ positions / safe[:, None]
    spread = graph @ (positions**2).sum(axis=1) / safe - (centre**2).sum(axis=1)
    height = np.linalg.norm(positions - centre, axis=1)
    is_tip = height > _SPIKE_HEIGHT * np.sqrt(np.maximum(spread, 0.0))
    # At a border the neighbours are on one side and the ring says nothing.
    around = np.bincount(mesh.faces.reshape(-1), minlength=count)
    return np.asarray(is_tip & (neighbours == around) & (neighbours > 2))


def folded_bands(mesh: Mesh) -> int:
    """Bands of stretched faces along whose borders the surface turns back, once outward and once inward.

    So a part looks that was pushed through the body: three layers over each other, joined by a torn band.
    """
    edges = bends(mesh)
    if not len(edges.length):
        return 0
    longest = np.zeros(len(mesh.faces))
    np.maximum.at(longest, edges.faces, edges.length[:, None])
    is_band = longest > _STRETCHED * np.median(edges.length)
    inside = is_band[edges.faces].all(axis=1)
    shape = (len(mesh.faces), len(mesh.faces))
    graph = scipy.sparse.coo_matrix((np.ones(inside.sum(), bool), tuple(edges.faces[inside].T)), shape)
    count, band = _graph_components(graph, directed=False)
    is_rim = is_band[edges.faces[:, 0]] != is_band[edges.faces[:, 1]]
    side = np.where(is_band[edges.faces[:, 0]], edges.faces[:, 0], edges.faces[:, 1])[is_rim]
    length, turns_back = edges.length[is_rim], edges.angle_rad[is_rim] > _FOLDED_RAD
    is_convex = edges.is_convex[is_rim]
    rim = np.bincount(band[side], length, minlength=count)
    shares = [
        np.bincount(band[side], length * (turns_back & way), minlength=count) / np.maximum(rim, 1e-30)
        for way in (is_convex, ~is_convex)
    ]
    size = np.bincount(band, is_band, minlength=count)
    return int(((np.minimum(*shares) > _FOLDED_SHARE) & (size >= _FEWEST_BAND_FACES)).sum())
