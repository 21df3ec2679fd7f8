"""Meshes and cameras for the renderer's tests and benchmark, made from formulas."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_GOLDEN = (1 + 5**0.5) / 2
_SIGNS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_ICOSAHEDRON_VERTICES = np.array(
    [[s, t * _GOLDEN, 0] for s, t in _SIGNS]
    + [[0, s, t * _GOLDEN] for s, t in _SIGNS]
    + [[t * _GOLDEN, 0, s] for s, t in _SIGNS]
)


def sphere(divisions: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere of 20 divisions^2 triangles, counter-clockwise from outside: (vertices, faces)."""
    from scipy.spatial import ConvexHull

    corners = _oriented(_ICOSAHEDRON_VERTICES, ConvexHull(_ICOSAHEDRON_VERTICES).simplices)
    grid = [(i, j) for i in range(divisions + 1) for j in range(divisions + 1 - i)]
    at = {key: index for index, key in enumerate(grid)}
    small = [(at[i, j], at[i + 1, j], at[i, j + 1]) for i in range(divisions) for j in range(divisions - i)]
    small += [
        (at[i + 1, j], at[i + 1, j + 1], at[i, j + 1])
        for i in range(divisions)
        for j in range(divisions - i - 1)
    ]
    i, j = np.array(grid).T
    weights = np.stack([divisions - i - j, i, j], axis=1) / divisions
    points = np.einsum("kc,fcd->fkd", weights, _ICOSAHEDRON_VERTICES[corners]).reshape(-1, 3)
    faces = (np.array(small)[None] + (np.arange(20) * len(grid))[:, None, None]).reshape(-1, 3)
    _, first, back = np.unique(
        np.round(points * 1e6).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    vertices = points[first] / np.linalg.norm(points[first], axis=1, keepdims=True)
    return vertices, _oriented(vertices, back.reshape(-1)[faces]).astype(np.int32)


def bumpy_sphere(divisions: int) -> tuple[np.ndarray, np.ndarray]:
    """A sphere with bumps that hide one another: it has silhouettes inside its outline."""
    vertices, faces = sphere(divisions)
    x, y, z = vertices.T
    radius = 1 + 0.15 * np.sin(7 * x) * np.cos(6 * y + 1) + 0.15 * np.sin(5 * z + 2)
    return vertices * radius[:, None], faces


def _oriented(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    inward = np.einsum("fd,fd->f", np.cross(b - a, c - a), a) < 0
    return np.where(inward[:, None], faces[:, ::-1], faces)


def perspective(focal: float = 2.4, near: float = 0.1, far: float = 100.0) -> np.ndarray:
    """clip_from_camera of a square picture, OpenCV axes, y down; `focal` in half picture widths."""
    a, b = (far + near) / (far - near), -2 * far * near / (far - near)
    return np.array([[focal, 0, 0, 0], [0, focal, 0, 0], [0, 0, a, b], [0, 0, 1, 0]])


def camera_from_world(eye, target=(0.0, 0.0, 0.0), up=(0.0, 1.0, 0.0)) -> np.ndarray:
    """Rigid [4 4] of an OpenCV camera (x right, y down, z forward) at `eye`."""
    eye, target, up = (np.asarray(point, float) for point in (eye, target, up))
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    matrix[:3, 3] = -matrix[:3, :3] @ eye
    return matrix


def orbit(views: int, distance: float = 3.0) -> np.ndarray:
    """clip_from_world [N 4 4] of cameras on a sphere around the origin."""
    matrices = []
    for i in range(views):
        y = 0.85 * (1 - 2 * (i + 0.5) / views)
        turn, ring = i * np.pi * (3 - 5**0.5), (1 - y * y) ** 0.5
        eye = distance * np.array([ring * np.cos(turn), y, ring * np.sin(turn)])
        matrices.append(perspective() @ camera_from_world(eye))
    return np.stack(matrices)


def to_clip(vertices: np.ndarray, clip_from_world: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    """[V 3] seen by [N 4 4] -> clip positions [N V 4]."""
    homogeneous = np.concatenate([vertices, np.ones_like(vertices[:, :1])], axis=1)
    return torch.from_numpy(np.einsum("nij,vj->nvi", clip_from_world, homogeneous)).to(dtype)
