"""Small meshes with known properties, made from formulas."""

from __future__ import annotations

import numpy as np
import trimesh

from objectscan.types import Mesh, UvMap


def as_mesh(source: trimesh.Trimesh) -> Mesh:
    return Mesh(source.vertices.astype(np.float32), source.faces.astype(np.int32))


def ball(subdivisions: int = 3, radius: float = 1.0) -> Mesh:
    return as_mesh(trimesh.creation.icosphere(subdivisions, radius))


def torus(major: int = 24, minor: int = 16) -> Mesh:
    return as_mesh(trimesh.creation.torus(1.0, 0.4, major, minor))


def cube(corner: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    box = trimesh.creation.box((1, 1, 1))
    return Mesh((box.vertices + 0.5 + corner).astype(np.float32), box.faces.astype(np.int32))


def blob(faces_wanted: int = 6000) -> Mesh:
    """A closed bumpy body with a tunnel through it."""
    from skimage.measure import marching_cubes

    edge = max(12, int((faces_wanted / 5) ** 0.5))
    x, y, z = np.meshgrid(*[np.linspace(-1.4, 1.4, edge)] * 3, indexing="ij")
    body = np.sqrt(x**2 + y**2 + z**2) - 1 + 0.1 * np.sin(5 * x) * np.sin(4 * y + 1)
    tunnel = 0.4 - np.sqrt(x**2 + y**2)
    field = np.maximum(body, tunnel).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(field, 0.0)
    return Mesh((2.8 / (edge - 1) * vertices - 1.4).astype(np.float32), faces.astype(np.int32))


def joined(*meshes: Mesh) -> Mesh:
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + o for mesh, o in zip(meshes, offsets, strict=False)]).astype(np.int32),
    )


def soup(mesh: Mesh) -> Mesh:
    """Every face with vertices of its own."""
    return Mesh(
        mesh.vertices[mesh.faces].reshape(-1, 3),
        np.arange(3 * len(mesh.faces), dtype=np.int32).reshape(-1, 3),
    )


def without(mesh: Mesh, faces: np.ndarray | list[int]) -> Mesh:
    return Mesh(mesh.vertices, np.delete(mesh.faces, faces, axis=0))


def grid_layout(mesh: Mesh) -> UvMap:
    """Each face in a cell of its own, well apart."""
    cells = int(np.ceil(np.sqrt(len(mesh.faces))))
    cell = np.arange(len(mesh.faces))
    origin = np.stack([cell % cells, cell // cells], axis=1)[:, None] + 0.1
    corners = (origin + 0.8 * np.array([(0, 0), (1, 0), (0, 1)])) / cells
    return UvMap(corners.reshape(-1, 2).astype(np.float32), soup(mesh).faces)


def edge_uses(faces: np.ndarray) -> dict[tuple[int, int], int]:
    """How many faces each undirected edge has, counted one by one."""
    uses: dict[tuple[int, int], int] = {}
    for face in faces.tolist():
        for k in range(3):
            edge = tuple(sorted((face[k], face[(k + 1) % 3])))
            uses[edge] = uses.get(edge, 0) + 1
    return uses


def is_closed_manifold(faces: np.ndarray) -> bool:
    return set(edge_uses(faces).values()) == {2}
