"""Evenly spread points (Hammersley, 1960): offsets of Gaussians in a voxel, directions of views."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

_BASES = (2, 3)


def hammersley(count: int, dimensions: int) -> Float64[np.ndarray, "N D"]:
    """Points in [0, 1): i / count, then i's digits mirrored at the point in base 2, in base 3.

    Args:
        count: Points.
        dimensions: 1 to 3.
    """
    columns = [np.arange(count) / count]
    columns += [_mirrored_digits(np.arange(count), base) for base in _BASES[: dimensions - 1]]
    return np.stack(columns, axis=1)


def voxel_offsets(count: int, *, voxel_size: float) -> Float64[np.ndarray, "N 3"]:
    """Unbounded offsets whose tanh spreads points over the unit voxel inside one of `voxel_size`."""
    return np.arctanh((2 * hammersley(count, 3) - 1) / voxel_size)


def view_angles_rad(count: int) -> Float64[np.ndarray, "N 2"]:
    """(yaw, pitch) of directions that cover the sphere evenly, from straight below upwards."""
    height, turn = hammersley(count, 2).T
    return np.stack([2 * np.pi * turn, np.arccos(1 - 2 * height) - np.pi / 2], axis=1)


def _mirrored_digits(numbers: np.ndarray, base: int) -> Float64[np.ndarray, " N"]:
    result, share = np.zeros(len(numbers)), 1.0
    while numbers.any():
        share /= base
        result += share * (numbers % base)
        numbers = numbers // base
    return result
