"""A regular grid of points over a box of the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, slots=True)
class Grid:
    """Cubic cells. Arrays on it are [X, Y, Z]; a flat point index is (x * Y + y) * Z + z."""

    origin: Float[np.ndarray, " 3"]
    """World position of point (0, 0, 0)."""
    spacing: float
    """Edge of a cell, world units."""
    shape: tuple[int, int, int]
    """Points along x, y, z (one more than cells)."""

    @classmethod
    def around(cls, box: Float[np.ndarray, "2 3"], cells: int, *, margin: int = 0) -> Grid:
        """The grid around `box` with `cells` cells along its longest side, `margin` of them at each end."""
        box = np.asarray(box, np.float64)
        sides = box[1] - box[0]
        spacing = float(sides.max() / max(cells - 2 * margin, 1))
        counts = np.ceil(sides / spacing - 1e-6).astype(int).clip(1) + 2 * margin
        origin = box.mean(axis=0) - 0.5 * spacing * counts
        return cls(origin, spacing, (int(counts[0]) + 1, int(counts[1]) + 1, int(counts[2]) + 1))

    @property
    def box(self) -> Float[np.ndarray, "2 3"]:
        """First and last point, world units."""
        return np.stack([self.origin, self.origin + self.spacing * (np.array(self.shape) - 1)])

    def positions(self, index: Int[np.ndarray, " P"] | None = None) -> Float[np.ndarray, "P 3"]:
        """World positions (float64) of the points with these flat indices, or of all points."""
        flat = np.arange(np.prod(self.shape)) if index is None else index
        return self.origin + self.spacing * np.stack(np.unravel_index(flat, self.shape), axis=1)
