"""Closing holes. What is filled in is invented: no photo shows it, and the caller is told which faces it
is.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int32, Int64
from numba import njit

from objectscan.mesh.surface_facts import boundary_loops
from objectscan.mesh.topology import edge_table
from objectscan.types import Mesh

_EXACT_CORNERS = 300
"""Up to here the smallest filling is found exactly, in corners^3 / 6 steps (5 million); above ears are cut
off.
"""


def close_holes(mesh: Mesh, *, most_corners: int | None = None) -> tuple[Mesh, Int32[np.ndarray, " I"]]:
    """Fill every hole; (mesh with the new faces at its end, their indices).

    A hole is a closed chain of edges that one face has. It gets the triangulation of least area between its
    own corners (Barequet and Sharir 1995), for long chains ears are cut off in order of area; if each of
    these would reuse an edge of the surface, a fan around a new vertex in the middle. Manifold surfaces stay
    so. Chains that don't close because faces wind inconsistently stay open.

    Args:
        mesh: Welded by position.
        most_corners: Leave larger holes open; None closes all.
    """
    edges, _ = edge_table(mesh.faces)
    vertices, faces = [mesh.vertices], [mesh.faces]
    taken = edges.astype(np.int64)
    for loop in _simple_loops(mesh.faces):
        if most_corners is not None and len(loop) > most_corners:
            continue
        patch = _filling(mesh.vertices[loop].astype(np.float64), _chords(loop, taken))
        if patch is None:
            middle = sum(map(len, vertices))
            vertices.append(mesh.vertices[loop].mean(axis=0, keepdims=True))
            filled = np.stack([np.roll(loop, -1), loop, np.full(len(loop), middle)], axis=1)
        else:
            filled = loop[patch[:, ::-1]]
        faces.append(filled.astype(np.int32))
        taken = np.concatenate([taken, np.sort(filled[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)])
    closed = Mesh(np.concatenate(vertices).astype(np.float32), np.concatenate(faces))
    return closed, np.arange(len(mesh.faces), len(closed.faces), dtype=np.int32)


def _simple_loops(faces: np.ndarray) -> list[Int64[np.ndarray, " L"]]:
    """Closed chains of border edges in face order, cut apart where they pass a vertex twice."""
    edges, edge_of = edge_table(faces)
    uses = np.bincount(edge_of, minlength=len(edges))
    border = {tuple(edge) for edge in edges[uses == 1].tolist()}
    triangles = {tuple(face) for face in np.sort(faces, axis=1).tolist()}
    loops = []
    for chain in boundary_loops(faces):
        if (min(chain[0], chain[-1]), max(chain[0], chain[-1])) not in border:
            continue
        for loop in _without_repeats(chain.tolist()):
            is_lone_triangle = len(loop) == 3 and tuple(sorted(loop)) in triangles
            if len(loop) >= 3 and not is_lone_triangle:
                loops.append(np.array(loop, np.int64))
    return loops


def _without_repeats(chain: list[int]) -> list[list[int]]:
    loops: list[list[int]] = []
    walked: list[int] = []
    for vertex in chain:
        if vertex in walked:
            start = walked.index(vertex)
            loops.append(walked[start:])
            walked = walked[:start]
        walked.append(vertex)
    return [*loops, walked]


def _chords(loop: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Sorted keys low * L + high of loop positions that an edge of the surface already joins."""
    order = np.argsort(loop)
    ordered = loop[order]
    found = np.searchsorted(ordered, edges).clip(0, len(loop) - 1)
    inside = (ordered[found] == edges).all(axis=1)
    pairs = np.sort(order[found[inside]], axis=1)
    return np.unique(pairs[:, 0] * len(loop) + pairs[:, 1])


def _filling(points: Float[np.ndarray, "L 3"], chords: np.ndarray) -> Int64[np.ndarray, "K 3"] | None:
    """Triangles over the corners of a loop, in the loop's direction; None if chords leave no way."""
    patch = _least_area(points, chords) if len(points) <= _EXACT_CORNERS else _cut_ears(points, chords)
    return patch if len(patch) == len(points) - 2 else None


@njit(cache=True, nogil=True)
def _area(a, b, c):
    """Of a triangle."""
    x = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
    y = (b[2] - a[2]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[2] - a[2])
    z = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return 0.5 * np.sqrt(x * x + y * y + z * z)


@njit(cache=True, nogil=True)
def _is_free(low, high, count, chords):
    """Whether a triangle's side may join two corners: neighbours do already, others if no edge of the
    surface does.
    """
    if high - low == 1 or high - low == count - 1:
        return True
    key = low * count + high
    place = np.searchsorted(chords, key)
    return place == len(chords) or chords[place] != key


@njit(cache=True, nogil=True)
def _least_area(points, chords):
    """Dynamic programming over sub-chains; fewer than L - 2 triangles if there is no way."""
    count = len(points)
    cost = np.zeros((count, count))
    via = np.full((count, count), -1)
    for span in range(2, count):
        for i in range(count - span):
            j = i + span
            cost[i, j] = np.inf
            if not _is_free(i, j, count, chords):
                continue
            for k in range(i + 1, j):
                total = cost[i, k] + cost[k, j] + _area(points[i], points[k], points[j])
                if total < cost[i, j]:
                    cost[i, j], via[i, j] = total, k
    triangles = np.zeros((count - 2, 3), np.int64)
    pending = [(0, count - 1)]
    found = 0
    while len(pending) > 0:
        i, j = pending.pop()
        if j - i < 2:
            continue
        if via[i, j] < 0:
            return triangles[:0]
        triangles[found, 0], triangles[found, 1], triangles[found, 2] = i, via[i, j], j
        found += 1
        pending.append((i, via[i, j]))
        pending.append((via[i, j], j))
    return triangles


@njit(cache=True, nogil=True)
def _cut_ears(points, chords):
    """Of all corners cut off the one with the smallest triangle, again and again: L^2 steps."""
    count = len(points)
    before, after = np.arange(count) - 1, np.arange(count) + 1
    before[0], after[count - 1] = count - 1, 0
    size = np.zeros(count)
    for i in range(count):
        size[i] = _area(points[before[i]], points[i], points[after[i]])
    gone = np.zeros(count, np.bool_)
    triangles = np.zeros((count - 2, 3), np.int64)
    for found in range(count - 2):
        best = -1
        for i in range(count):
            if gone[i] or (best >= 0 and size[i] >= size[best]):
                continue
            low, high = min(before[i], after[i]), max(before[i], after[i])
            if found == count - 3 or _is_free(low, high, count, chords):
                best = i
        if best < 0:
            return triangles[:found]
        left, right = before[best], after[best]
        triangles[found, 0], triangles[found, 1], triangles[found, 2] = left, best, right
        gone[best] = True
        after[left], before[right] = right, left
        size[left] = _area(points[before[left]], points[left], points[right])
        size[right] = _area(points[left], points[right], points[after[right]])
    return triangles
