"""Fields and facts for tests of closed surfaces."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter


def points_of(shape: tuple[int, ...]) -> np.ndarray:
    """Grid points [X*Y*Z 3] in index coordinates, in the order of a flattened field."""
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3).astype(float)


def sphere_field(shape: tuple[int, ...], radius: float, shift: float = 0.13) -> np.ndarray:
    """Signed distance to a sphere a little off the middle: no symmetry hides a mistake."""
    centre = (np.array(shape) - 1) / 2 + shift
    return (np.linalg.norm(points_of(shape) - centre, axis=1) - radius).reshape(shape).astype(np.float32)


def random_field(shape: tuple[int, ...], smoothness: float, seed: int) -> np.ndarray:
    """Smoothed noise, positive on the border. Smoothness 0 gives independent signs: every ambiguous case."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    field = gaussian_filter(noise, smoothness) if smoothness > 0 else noise
    field = (field / np.abs(field).max()).astype(np.float32)
    outside = np.ones(shape, bool)
    outside[1:-1, 1:-1, 1:-1] = False
    field[outside] = np.abs(field[outside]) + 0.01
    return field


def faces_an_edge(faces: np.ndarray) -> np.ndarray:
    """How many faces each undirected edge has."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


def is_consistently_wound(faces: np.ndarray) -> bool:
    """Every directed edge occurs once and its reverse too."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there, back = (
        {tuple(edge) for edge in directed.tolist()},
        {tuple(edge[::-1]) for edge in directed.tolist()},
    )
    return len(there) == len(directed) and there == back


def fans_a_vertex(faces: np.ndarray) -> np.ndarray:
    """Into how many fans, connected over edges, the faces around each vertex fall: 1 for a manifold."""
    around: dict[int, list[tuple[int, int]]] = {}
    for a, b, c in faces.tolist():
        for corner, first, second in ((a, b, c), (b, c, a), (c, a, b)):
            around.setdefault(corner, []).append((first, second))
    return np.array([_components(pairs) for pairs in around.values()])


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Signed volume; positive if faces are counter-clockwise seen from outside."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.einsum("fd,fd->", a, np.cross(b, c)) / 6)


def _components(pairs: list[tuple[int, int]]) -> int:
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for first, second in pairs:
        parent[root(first)] = root(second)
    return len({root(node) for node in parent})
