"""One vertex for each distinct (position, texture corner, normal), as graphics formats want it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64

from objectscan.mesh.topology import corner_fans, distinct_positions
from objectscan.render.normals import vertex_tangents
from objectscan.types import Mesh, UvMap


@dataclass(frozen=True, slots=True)
class Corners:
    """Vertex attributes with one common index. K vertices."""

    positions: Float32[np.ndarray, "K 3"]
    normals: Float32[np.ndarray, "K 3"]
    """Unit."""
    tangents: Float32[np.ndarray, "K 4"]
    """Unit direction of growing u, square to the normal, and the handedness (-1 or 1) that makes +v."""
    coordinates: Float32[np.ndarray, "K 2"]
    """Origin bottom-left, v up."""
    faces: Int32[np.ndarray, "F 3"]


def split_corners(mesh: Mesh, uv: UvMap, *, crease_rad: float = np.inf) -> Corners:
    """Join positions, texture corners and smooth normals into vertices. Faces without three positions go.

    Normals are area-weighted means over the faces at a position, as the renderer has them, so that a normal
    map made with it fits; texture seams stay smooth.

    Args:
        mesh: Need not be welded.
        uv: Layout with as many faces.
        crease_rad: Faces whose normals differ by more than this don't share a normal; for hard-edged objects.
    """
    positions, number_of = distinct_positions(mesh.vertices)
    faces = number_of[mesh.faces].reshape(-1, 3).astype(np.int32)
    is_face = (faces != np.roll(faces, -1, axis=1)).all(axis=1)
    faces, uv_faces = faces[is_face], uv.faces[is_face]
    welded = Mesh(positions, faces)
    normal_of = _normals(welded, crease_rad)
    keys = np.stack([faces.reshape(-1), uv_faces.reshape(-1), normal_of[1]], axis=1)
    distinct, index = np.unique(keys, axis=0, return_inverse=True)
    normals = normal_of[0][distinct[:, 2]]
    tangents = vertex_tangents(
        *(torch.from_numpy(array) for array in (positions, faces, uv.coordinates, uv_faces))
    ).numpy()
    return Corners(
        positions[distinct[:, 0]],
        normals.astype(np.float32),
        _square_to(tangents[distinct[:, 1]].astype(np.float64), normals).astype(np.float32),
        uv.coordinates[distinct[:, 1]],
        index.reshape(-1, 3).astype(np.int32),
    )


def _normals(mesh: Mesh, crease_rad: float) -> tuple[Float[np.ndarray, "M 3"], Int64[np.ndarray, " 3*F"]]:
    """(unit normals, which of them each face corner has)."""
    group = mesh.faces.reshape(-1)
    if crease_rad < np.pi:
        group = corner_fans(mesh, largest_bend_rad=crease_rad)
    _, group = np.unique(group, return_inverse=True)
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces].astype(np.float64), 1, 0)
    weighted = np.repeat(np.cross(b - a, c - a), 3, axis=0)
    total = np.stack([np.bincount(group, weighted[:, axis]) for axis in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    # Where faces cancel out (both sides of a sheet) any direction is as good.
    upward = np.array([0.0, 0.0, 1.0])
    return np.where(length > 1e-30, total / np.maximum(length, 1e-30), upward), group


def _square_to(tangents: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Unit tangents square to the normals, handedness kept; any direction where there was none."""
    along = tangents[:, :3] - normals * np.einsum("kc,kc->k", tangents[:, :3], normals)[:, None]
    length = np.linalg.norm(along, axis=1, keepdims=True)
    least = np.eye(3)[np.abs(normals).argmin(axis=1)]
    spare = np.cross(normals, least)
    along = np.where(length > 1e-6, along, spare)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return np.concatenate([along, np.where(tangents[:, 3:] < 0, -1.0, 1.0)], axis=1)
