"""What a mesh is made of: welded vertices, components, borders; repairs that move no vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Float32, Int32, Int64
from scipy.sparse.csgraph import connected_components as _graph_components

from objectscan.types import Mesh

_FLOATER_AREA_SHARE = 0.01
"""A loose piece below this share of the largest piece's area is dropped (docs/verdict.md)."""

_SAME_ANGLE_RAD = 1e-5
"""Faces around an edge closer than this lie back to back."""


@dataclass(frozen=True, slots=True)
class TopologyFacts:
    """Counts over a mesh welded by position."""

    vertices: int
    faces: int
    components: int
    largest_component_share: float
    """Of the area."""
    boundary_edges: int
    boundary_loops: int
    non_manifold_edges: int
    non_manifold_vertices: int
    is_watertight: bool
    is_winding_consistent: bool
    genus: int | None
    """Of the whole surface if it is watertight and one piece, else None."""
    area: float
    volume: float
    """Signed: negative if inside out."""


def weld_by_position(mesh: Mesh) -> Mesh:
    """Merge vertices at exactly the same position; drop faces that become degenerate and unused vertices."""
    if not len(mesh.vertices):
        return mesh
    positions, number_of = distinct_positions(mesh.vertices)
    faces = number_of[mesh.faces].reshape(-1, 3)
    degenerate = (faces == np.roll(faces, -1, axis=1)).any(axis=1)
    return compact(Mesh(positions, faces[~degenerate].astype(np.int32)))


def distinct_positions(
    vertices: Float32[np.ndarray, "V 3"],
) -> tuple[Float32[np.ndarray, "W 3"], Int64[np.ndarray, " V"]]:
    """(each position once, sorted by x, y, z; the number of each vertex's position)."""
    order = np.lexsort(vertices.T[::-1])
    ordered = vertices[order] + np.float32(0.0)  # -0 becomes 0
    is_new = np.ones(len(order), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    number_of = np.zeros(len(order), np.int64)
    number_of[order] = np.cumsum(is_new) - 1
    return ordered[is_new], number_of


def compact(mesh: Mesh) -> Mesh:
    """The same mesh without unused vertices, order kept."""
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces] = True
    number_of = np.cumsum(used) - 1
    return Mesh(mesh.vertices[used], number_of[mesh.faces].reshape(-1, 3).astype(np.int32))


def connected_components(mesh: Mesh) -> Int32[np.ndarray, " F"]:
    """The component of each face; faces belong together if they share a vertex index."""
    count = len(mesh.vertices)
    first, second = mesh.faces[:, [0, 1]].ravel(), mesh.faces[:, [1, 2]].ravel()
    graph = scipy.sparse.coo_matrix((np.ones(len(first), bool), (first, second)), (count, count))
    labels = _graph_components(graph, directed=False)[1][mesh.faces[:, 0]] if len(mesh.faces) else np.zeros(0)
    return np.unique(labels, return_inverse=True)[1].astype(np.int32)


def face_areas(mesh: Mesh) -> Float[np.ndarray, " F"]:
    """Area of each face."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces].astype(np.float64), 1, 0)
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)


def unit_face_normals(mesh: Mesh) -> Float[np.ndarray, "F 3"]:
    """Outward normal of each face; zero for a face without area."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces].astype(np.float64), 1, 0)
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)


def drop_floaters(mesh: Mesh, *, smallest_share: float = _FLOATER_AREA_SHARE) -> Mesh:
    """Drop components whose area is below `smallest_share` of the largest's, and closed ones inside out.

    An inside-out component is a cavity inside the solid: no photo sees it. Weld first: components are
    joined by shared vertex indices.
    """
    if not len(mesh.faces):
        return mesh
    labels, areas = connected_components(mesh), face_areas(mesh)
    area = np.bincount(labels, areas)
    volume = np.bincount(labels, _signed_volumes(mesh))
    edges, edge_of = edge_table(mesh.faces)
    is_open_edge = np.bincount(edge_of, minlength=len(edges)) == 1
    is_open = np.bincount(labels, is_open_edge[edge_of].reshape(-1, 3).any(axis=1)) > 0
    is_cavity = (volume < 0) & ~is_open & (np.arange(len(area)) != area.argmax())
    keep = (area >= smallest_share * area.max()) & ~is_cavity
    return compact(Mesh(mesh.vertices, mesh.faces[keep[labels]]))


def edge_table(faces: Int32[np.ndarray, "F 3"]) -> tuple[Int64[np.ndarray, "E 2"], Int64[np.ndarray, " 3*F"]]:
    """(undirected edges with their vertices in order; the edge of each half edge).

    Half edge 3 f + k runs from corner k of face f to corner k + 1.
    """
    half = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2).astype(np.int64)
    # One integer a pair: sorting rows instead takes ten times as long.
    base = int(faces.max(initial=0)) + 1
    keys, edge_of = np.unique(half.min(axis=1) * base + half.max(axis=1), return_inverse=True)
    return np.stack([keys // base, keys % base], axis=1), edge_of


def topology_facts(mesh: Mesh) -> TopologyFacts:
    """Facts of a mesh that is welded by position (`weld_by_position`)."""
    edges, edge_of = edge_table(mesh.faces)
    uses = np.bincount(edge_of, minlength=len(edges))
    half = np.stack([mesh.faces, np.roll(mesh.faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    forward = np.bincount(edge_of, half[:, 0] < half[:, 1], minlength=len(edges))
    boundary = edges[uses == 1]
    areas = face_areas(mesh)
    labels = connected_components(mesh)
    components = int(labels.max()) + 1 if len(labels) else 0
    by_component = np.bincount(labels, areas) if components else np.zeros(1)
    watertight = bool(len(edges)) and bool((uses == 2).all())
    euler = len(np.unique(mesh.faces)) - len(edges) + len(mesh.faces)
    return TopologyFacts(
        vertices=len(mesh.vertices),
        faces=len(mesh.faces),
        components=components,
        largest_component_share=float(by_component.max() / max(by_component.sum(), 1e-30)),
        boundary_edges=len(boundary),
        boundary_loops=_loops(boundary),
        non_manifold_edges=int((uses > 2).sum()),
        non_manifold_vertices=int(non_manifold_vertices(mesh).sum()),
        is_watertight=watertight,
        is_winding_consistent=bool((forward[uses == 2] == 1).all()),
        genus=(2 - euler) // 2 if watertight and components == 1 else None,
        area=float(areas.sum()),
        volume=float(_signed_volumes(mesh).sum()),
    )


def non_manifold_vertices(mesh: Mesh) -> Bool[np.ndarray, " V"]:
    """Vertices whose faces fall into more than one fan."""
    pairs = np.unique(np.stack([mesh.faces.reshape(-1), corner_fans(mesh)], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=len(mesh.vertices)) > 1


def drop_double_faces(mesh: Mesh) -> Mesh:
    """Of faces on the same three vertices keep one, or none if as many look one way as the other.

    Two faces back to back enclose nothing: edge collapses leave such folds, and they make four-fold edges.
    """
    if not len(mesh.faces):
        return mesh
    lowest_first = np.take_along_axis(
        mesh.faces, (mesh.faces.argmin(axis=1)[:, None] + np.arange(3)) % 3, axis=1
    )
    side = np.where(lowest_first[:, 1] < lowest_first[:, 2], 1, -1)
    _, group = np.unique(np.sort(mesh.faces, axis=1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    winner = np.sign(np.bincount(group, side))[group]
    candidates = np.flatnonzero(side == winner)
    keep = candidates[np.unique(group[candidates], return_index=True)[1]]
    return compact(Mesh(mesh.vertices, mesh.faces[np.sort(keep)]))


def split_non_manifold(mesh: Mesh) -> Mesh:
    """Give each fan of faces around a vertex its own vertex; solids that touch in an edge come apart.

    Afterwards no edge has more than two faces and no vertex joins separate fans; faces and positions stay, so
    welding by position would undo it. A closed surface stays closed: at a crowded edge, faces are paired so
    that each pair has solid between it. Faces without a partner (fins) get an open border.
    """
    if not len(mesh.faces):
        return mesh
    roots = corner_fans(mesh)
    keys, corner = np.unique(roots, return_inverse=True)
    return Mesh(mesh.vertices[mesh.faces.reshape(-1)[keys]], corner.reshape(-1, 3).astype(np.int32))


def corner_fans(mesh: Mesh, *, largest_bend_rad: float = np.inf) -> Int64[np.ndarray, " 3*F"]:
    """For each face corner (3 f + k) the lowest corner of its fan of faces, joined across paired half edges.

    Args:
        mesh: Welded by position.
        largest_bend_rad: Faces whose normals differ by more are not joined.
    """
    flat = mesh.faces.reshape(-1)
    one, two = paired_half_edges(mesh)
    if largest_bend_rad < np.pi:
        normals = unit_face_normals(mesh)
        cosine = np.einsum("ec,ec->e", normals[one // 3], normals[two // 3])
        flat_enough = cosine >= np.cos(largest_bend_rad)
        one, two = one[flat_enough], two[flat_enough]

    def after(half: np.ndarray) -> np.ndarray:
        return half - half % 3 + (half + 1) % 3

    # Half edge h starts at corner h and ends at corner after(h); match ends of the pair by vertex.
    same = flat[one] == flat[two]
    first = np.concatenate([one, after(one)])
    second = np.concatenate([np.where(same, two, after(two)), np.where(same, after(two), two)])
    graph = scipy.sparse.coo_matrix((np.ones(len(first), bool), (first, second)), (len(flat), len(flat)))
    labels = _graph_components(graph, directed=False)[1]
    lowest = np.full(labels.max(initial=-1) + 1, len(flat))
    np.minimum.at(lowest, labels, np.arange(len(flat)))
    return lowest[labels]


def paired_half_edges(mesh: Mesh) -> tuple[Int64[np.ndarray, " P"], Int64[np.ndarray, " P"]]:
    """Half edges that belong together: both of a two-faced edge, wedges of solid at a crowded one."""
    _, edge_of = edge_table(mesh.faces)
    order = np.argsort(edge_of, kind="stable")
    uses = np.bincount(edge_of)
    starts = np.concatenate([[0], np.cumsum(uses)[:-1]])
    plain = starts[uses == 2]
    crowded = [
        pair
        for edge in np.flatnonzero(uses > 2)
        for pair in _wedges(mesh, order[starts[edge] :][: uses[edge]])
    ]
    extra = np.array(crowded, np.int64).reshape(-1, 2)
    return np.concatenate([order[plain], extra[:, 0]]), np.concatenate([order[plain + 1], extra[:, 1]])


def _wedges(mesh: Mesh, half_edges: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of half edges of one edge whose faces have solid between them, in turning around the edge."""
    face, corner = half_edges // 3, half_edges % 3
    start, end, apex = (mesh.faces[face, (corner + k) % 3] for k in range(3))
    low, high = min(start[0], end[0]), max(start[0], end[0])
    axis = (mesh.vertices[high] - mesh.vertices[low]).astype(np.float64)
    axis /= max(np.linalg.norm(axis), 1e-30)
    spokes = mesh.vertices[apex].astype(np.float64) - mesh.vertices[low]
    spokes -= np.outer(spokes @ axis, axis)
    across = np.cross(axis, spokes[0])
    angle = np.arctan2(spokes @ across, spokes @ spokes[0])
    step = np.rint(angle / _SAME_ANGLE_RAD).astype(np.int64) % round(2 * np.pi / _SAME_ANGLE_RAD)
    # A face whose half edge runs along `axis` has its normal towards growing angles, so its solid at smaller
    # ones. Of two faces back to back it comes first: there one solid ends and the next begins.
    is_forward = start == low
    turn = np.lexsort([~is_forward, step])
    ordered = is_forward[turn]
    following = np.roll(turn, -1)
    if (ordered != np.roll(ordered, -1)).all():
        pairs = np.stack([turn, following], axis=1)[~ordered]
    else:
        pairs = _flattest_pairs(angle, is_forward)
    return [(int(half_edges[i]), int(half_edges[j])) for i, j in pairs]


def _flattest_pairs(angle: np.ndarray, is_forward: np.ndarray) -> np.ndarray:
    """Where solids can't be told (a fin on a surface): opposite faces, the pair nearest to a plane first."""
    backward, forward = np.flatnonzero(~is_forward), np.flatnonzero(is_forward)
    bend = np.abs(np.abs(angle[backward][:, None] - angle[forward][None]) - np.pi)
    pairs = []
    for _ in range(min(bend.shape)):
        i, j = np.unravel_index(bend.argmin(), bend.shape)
        pairs.append((backward[i], forward[j]))
        bend[i], bend[:, j] = np.inf, np.inf
    return np.array(pairs, np.int64).reshape(-1, 2)


def _loops(boundary: np.ndarray) -> int:
    if not len(boundary):
        return 0
    names, flat = np.unique(boundary, return_inverse=True)
    pairs = flat.reshape(-1, 2)
    graph = scipy.sparse.coo_matrix((np.ones(len(pairs), bool), tuple(pairs.T)), (len(names), len(names)))
    return int(_graph_components(graph, directed=False)[0])


def _signed_volumes(mesh: Mesh) -> np.ndarray:
    """Volume of the tetrahedron of each face with the mean vertex."""
    centre = mesh.vertices.mean(axis=0, dtype=np.float64) if len(mesh.vertices) else np.zeros(3)
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces].astype(np.float64) - centre, 1, 0)
    return np.einsum("fc,fc->f", a, np.cross(b, c)) / 6.0
