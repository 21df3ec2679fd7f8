"""Cubemaps: directions of their texels, solid angles, and differentiable lookup without seams."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.render.devices import backend_of


def texel_directions(edge: int, *, border: int = 0) -> Float[np.ndarray, "6 E E 3"]:
    """Unit directions of texel centres, faces +x -x +y -y +z -z; `border` more texels on every side."""
    steps = (np.arange(-border, edge + border) + 0.5) / edge * 2.0 - 1.0
    v, u = np.meshgrid(steps, steps, indexing="ij")
    one = np.ones_like(u)
    faces = [(one, -v, -u), (-one, -v, u), (u, one, v), (u, -one, -v), (u, -v, one), (-u, -v, -one)]
    directions = np.stack([np.stack(face, axis=-1) for face in faces])
    return directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def texel_solid_angles(edge: int) -> Float[np.ndarray, "6 E E"]:
    """Steradians of each texel; they sum to 4 pi (Driscoll's product of arc tangents)."""
    borders = np.arange(edge + 1) / edge * 2.0 - 1.0
    x, y = np.meshgrid(borders, borders, indexing="ij")
    area = np.arctan2(x * y, np.sqrt(x * x + y * y + 1.0))
    one_face = area[1:, 1:] - area[:-1, 1:] - area[1:, :-1] + area[:-1, :-1]
    return np.broadcast_to(one_face, (6, edge, edge)).copy()


def sample_cubemap(
    mips: Sequence[Float[Tensor, "6 E E C"]],
    directions: Float[Tensor, "P 3"],
    level: Float[Tensor, " P"] | None = None,
) -> Float[Tensor, "P C"]:
    """Radiance seen in some directions, bilinear within a level and linear between levels.

    Differentiable in texels, directions (which need not be unit) and level.

    Args:
        mips: Levels of any edges, finest first.
        directions: World frame.
        level: Fractional index into `mips`, clamped; None means level 0.
    """
    backend = backend_of(directions, *mips)
    channels = mips[0].shape[-1]
    texels = torch.cat([mip.reshape(-1, channels) for mip in mips])
    levels = directions.new_zeros(len(directions)) if level is None else level
    edges = tuple(mip.shape[1] for mip in mips)
    values: Tensor = backend.sample_cubemap(texels, directions, levels, edges)
    return values


@lru_cache(maxsize=16)
def padded_sources(edges: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(index map of padded levels, start of each level in it, edges), see `cpu.cubes.lookup`."""
    maps, first_texel = [], 0
    for edge in edges:
        directions = texel_directions(edge, border=1).reshape(-1, 3)
        rows = (first_texel + _nearest_texel(directions, edge)).reshape(6, edge + 2, edge + 2)
        rows[:, [0, 0, -1, -1], [0, -1, 0, -1]] = -1  # three faces meet at a corner: there is no fourth texel
        maps.append(rows.reshape(-1))
        first_texel += 6 * edge * edge
    starts = np.concatenate([[0], np.cumsum([len(m) for m in maps])[:-1]])
    return np.concatenate(maps).astype(np.int32), starts.astype(np.int64), np.asarray(edges, np.int64)


def _nearest_texel(directions: np.ndarray, edge: int) -> np.ndarray:
    x, y, z = directions.T
    axis = np.abs(directions).argmax(axis=1)
    major = np.abs(directions).max(axis=1)
    face = 2 * axis + (np.take_along_axis(directions, axis[:, None], 1)[:, 0] < 0)
    s = np.choose(face, [-z, z, x, x, x, -x]) / major
    t = np.choose(face, [-y, -y, z, -z, -y, -y]) / major
    column = np.clip(((s + 1) / 2 * edge).astype(int), 0, edge - 1)
    row = np.clip(((t + 1) / 2 * edge).astype(int), 0, edge - 1)
    return (face * edge + row) * edge + column
