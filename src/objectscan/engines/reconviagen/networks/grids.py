"""Rearrangements of dense volumes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def to_patches(grid: Float[Tensor, "B C X Y Z"], edge: int) -> Float[Tensor, "B D I J K"]:
    """Cells of `edge`^3 voxels on channels: channel first, then x, y, z inside the cell."""
    cells = grid.unflatten(4, (-1, edge)).unflatten(3, (-1, edge)).unflatten(2, (-1, edge))
    return cells.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)


def to_voxels(cells: Float[Tensor, "B D I J K"], edge: int) -> Float[Tensor, "B C X Y Z"]:
    """The inverse of `to_patches`; also known as pixel shuffle in three dimensions."""
    parts = cells.unflatten(1, (-1, edge, edge, edge)).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return parts.flatten(6, 7).flatten(4, 5).flatten(2, 3)
