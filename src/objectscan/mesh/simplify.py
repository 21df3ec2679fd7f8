"""Fewer faces, same shape; a closed manifold stays one."""

from __future__ import annotations

import fast_simplification
import manifold3d
import numpy as np

from objectscan.mesh.topology import drop_double_faces, split_non_manifold, topology_facts, weld_by_position
from objectscan.types import Mesh

_ATTEMPTS = ((1.0, 7.0), (0.98, 7.0), (1.0, 5.0), (0.95, 6.0))
"""(share of the budget, aggressiveness): a slightly different run rarely folds the same edge again."""
_COUNT_TOLERANCE = 1.1
"""fast-simplification has stopped far above its target without a word: 97,830 faces for 10,000 asked."""
_LARGEST_ERROR = 0.02
"""manifold3d may move the surface by this share of the diagonal at most."""


def simplify(mesh: Mesh, face_budget: int) -> Mesh:
    """Quadric edge collapse to about `face_budget` faces (Garland and Heckbert 1997, by fast-simplification).

    The collapse can fold edges onto each other. Folds that enclose nothing are removed; if edges of more
    than two faces, pinched vertices or new borders remain, other settings are tried, then manifold3d, which
    can't fold but errs twice as much, and at last the crowded edges are split. A mesh within its budget
    comes back as it is. The result may stay above the budget where no method gets there. 100,000 faces to
    10,000 take 0.4 s.

    Args:
        mesh: Welded by position.
        face_budget: Wanted number of faces, at least 4.
    """
    if face_budget < 4:
        raise ValueError(f"face_budget is {face_budget}; a closed surface needs at least 4 faces.")
    if len(mesh.faces) <= face_budget:
        return mesh
    before = _faults(mesh)
    best: Mesh | None = None
    for share, aggressiveness in _ATTEMPTS:
        candidate = _collapsed(mesh, int(share * face_budget), aggressiveness)
        if not len(candidate.faces) or len(candidate.faces) > _COUNT_TOLERANCE * face_budget:
            continue
        faults = _faults(candidate)
        if all(now <= then for now, then in zip(faults, before, strict=True)):
            return candidate
        if best is None or faults < _faults(best):
            best = candidate
    closed = _simplify_closed(mesh, face_budget)
    if closed is not None:
        return closed
    return mesh if best is None else split_non_manifold(best)


def _faults(mesh: Mesh) -> tuple[int, int, int]:
    """(crowded edges, pinched vertices, border edges)."""
    facts = topology_facts(mesh)
    return facts.non_manifold_edges, facts.non_manifold_vertices, facts.boundary_edges


def _collapsed(mesh: Mesh, face_budget: int, aggressiveness: float) -> Mesh:
    vertices, faces = fast_simplification.simplify(
        np.ascontiguousarray(mesh.vertices, np.float32),
        np.ascontiguousarray(mesh.faces, np.int32),
        target_count=max(face_budget, 4),
        agg=aggressiveness,
    )
    return drop_double_faces(weld_by_position(Mesh(vertices.astype(np.float32), faces.astype(np.int32))))


def _simplify_closed(mesh: Mesh, face_budget: int) -> Mesh | None:
    """By manifold3d: tolerance bisected until the count fits. None if the mesh is not a closed manifold."""
    vertices = np.ascontiguousarray(mesh.vertices, np.float32)
    solid = manifold3d.Manifold(manifold3d.Mesh(vertices, np.ascontiguousarray(mesh.faces, np.uint32)))
    if solid.status() != manifold3d.Error.NoError or solid.is_empty():
        return None
    low, high = 0.0, _LARGEST_ERROR * float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    best = None
    for _ in range(8):
        middle = 0.5 * (low + high)
        smaller = solid.simplify(middle)
        if smaller.num_tri() > face_budget:
            low = middle
        else:
            high, best = middle, smaller
    if best is None or best.is_empty():
        return None
    raw = best.to_mesh()
    positions = np.asarray(raw.vert_properties[:, :3], np.float32)
    return weld_by_position(Mesh(positions, np.asarray(raw.tri_verts).astype(np.int32)))
