"""The dual-marching-cubes cases, made by rule (Nielson 2004; ambiguity as in FlexiCubes, Shen et al. 2023).

Corner k of a cube lies at (k & 1, k >> 1 & 1, k >> 2). A case is the sum of 2^k over corners inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int8

EDGES = np.array(
    [(0, 1), (1, 5), (4, 5), (0, 4), (2, 3), (3, 7), (6, 7), (2, 6), (2, 0), (3, 1), (7, 5), (6, 4)], np.int64
)
"""Corner pairs of the twelve edges."""
_FACES = [(axis, side) for axis in range(3) for side in range(2)]


@dataclass(frozen=True, slots=True)
class CubeCases:
    """Tables over the 256 cases."""

    groups: Int8[np.ndarray, " 256"]
    """Number of dual vertices, 0 to 4."""
    group_of_edge: Int8[np.ndarray, "256 12"]
    """Dual vertex that an edge's crossing belongs to, -1 if the edge is not crossed."""
    ambiguous_face: Int8[np.ndarray, " 256"]
    """2 * axis + side of the face across which two cubes may disagree, -1 for other cases."""


@lru_cache(maxsize=1)
def cube_cases() -> CubeCases:
    """Build the tables (4 ms)."""
    groups, group_of_edge = np.zeros(256, np.int8), np.full((256, 12), -1, np.int8)
    ambiguous_face = np.full(256, -1, np.int8)
    for case in range(256):
        inside = [bool(case >> corner & 1) for corner in range(8)]
        label, crowded = _connected_crossings(inside)
        names = sorted(set(label.values()))
        groups[case] = len(names)
        for edge, name in label.items():
            group_of_edge[case, edge] = names.index(name)
        if sum(inside) in (5, 6) and len(names) == 1 and len(crowded) == 1:
            ambiguous_face[case] = crowded[0]
    return CubeCases(groups, group_of_edge, ambiguous_face)


def _connected_crossings(inside: list[bool]) -> tuple[dict[int, int], list[int]]:
    """Crossed edges with the name of their component, and the faces with four crossings."""
    label = {edge: edge for edge, (a, b) in enumerate(EDGES) if inside[a] != inside[b]}
    crowded = []
    for number, (axis, side) in enumerate(_FACES):
        crossed = [edge for edge in label if all((int(c) >> axis & 1) == side for c in EDGES[edge])]
        if len(crossed) == 2:
            _join(label, crossed[0], crossed[1])
        elif len(crossed) == 4:
            crowded.append(number)
            for corner in range(8):
                meeting = [edge for edge in crossed if corner in EDGES[edge]]
                if inside[corner] and len(meeting) == 2:
                    _join(label, meeting[0], meeting[1])
    return label, crowded


def _join(label: dict[int, int], first: int, second: int) -> None:
    low, high = sorted((label[first], label[second]))
    for edge, name in label.items():
        if name == high:
            label[edge] = low
