"""A surface in the states that its tests need: welded, without doubles, split, without loose pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from objectscan.mesh.topology import (
    compact,
    connected_components,
    distinct_positions,
    drop_double_faces,
    edge_table,
    face_areas,
    split_non_manifold,
    weld_by_position,
)
from objectscan.types import Mesh

LOOSE_SHARE = 0.1
"""A piece below this share of the largest's area is loose."""


@dataclass(frozen=True, slots=True)
class Body:
    """The surface in the states that the tests need."""

    raw: Mesh
    welded: Mesh
    """By position, with degenerate faces gone."""
    single: Mesh
    """Without double faces."""
    body: Mesh
    """Split into manifold pieces, without fins."""
    fins: int
    """Pieces that stand on edges of the rest."""
    blocks: int
    """Closed pieces that touched the body, or each other, in edges."""


def prepare(mesh: Mesh) -> Body:
    """Take apart a finite mesh as stored in its file."""
    welded = weld_by_position(mesh)
    single = drop_double_faces(welded)
    pieces = split_non_manifold(single)
    whole, part = connected_components(single), connected_components(pieces)
    area = np.bincount(part, face_areas(pieces))
    edges, edge_of = edge_table(pieces.faces)
    is_border = (np.bincount(edge_of, minlength=len(edges)) == 1)[edge_of].reshape(-1, 3).any(axis=1)
    is_open = np.bincount(part, is_border) > 0
    # Pieces that splitting made, by the component they were in; the largest of each is the body.
    component_of = np.zeros(len(area), np.int64)
    component_of[part] = whole
    is_body = np.zeros(len(area), bool)
    by_size = np.lexsort([-area, component_of])
    is_body[by_size[np.unique(component_of[by_size], return_index=True)[1]]] = True
    stands_off = ~is_body & _touches_crowded(single, part)
    is_fin = is_open & stands_off
    body = compact(Mesh(pieces.vertices, pieces.faces[~is_fin[part]]))
    blocks = int((~is_open & stands_off).sum())
    return Body(mesh, welded, single, body, int(is_fin.sum()), blocks)


def _touches_crowded(mesh: Mesh, part: np.ndarray) -> np.ndarray:
    """Parts with an edge that more than two faces of the whole share."""
    edges, edge_of = edge_table(mesh.faces)
    is_crowded = (np.bincount(edge_of, minlength=len(edges)) > 2)[edge_of].reshape(-1, 3).any(axis=1)
    return np.asarray(np.bincount(part, is_crowded) > 0)


def main_pieces(mesh: Mesh) -> Mesh:
    """Without loose pieces."""
    label = connected_components(mesh)
    area = np.bincount(label, face_areas(mesh))
    keep = area >= LOOSE_SHARE * area.max(initial=0.0)
    return compact(Mesh(mesh.vertices, mesh.faces[keep[label]]))


def faces_in(raw: Mesh, main: Mesh) -> Bool[np.ndarray, " F"]:
    """Faces of `raw` at the positions of a face of `main`, each of these once."""
    vertices = np.concatenate([raw.vertices, main.vertices])
    number_of = distinct_positions(vertices)[1]
    triples = np.sort(
        np.concatenate([number_of[raw.faces], number_of[main.faces + len(raw.vertices)]]), axis=1
    )
    _, face_of = np.unique(triples, axis=0, return_inverse=True)
    face_of = face_of.reshape(-1)
    is_wanted = np.isin(face_of[: len(raw.faces)], face_of[len(raw.faces) :])
    is_first = np.zeros(len(raw.faces), bool)
    is_first[np.unique(face_of[: len(raw.faces)], return_index=True)[1]] = True
    return np.asarray(is_wanted & is_first)
