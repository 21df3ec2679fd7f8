"""What patch match looks at: all views with their neighbours, and where the search begins and ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """How far and how finely planes are looked for."""

    deepest: float
    """How far behind the start, world units."""
    doubt: float
    """What a match clearly behind the start must be better by (1 - correlation)."""
    reach_px: int
    """Half of a patch's side."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Views of one size, the others that each is matched with, and the surface at which the search begins."""

    grey: Float32[np.ndarray, "N H W"]
    masks: Float32[np.ndarray, "N H W"]
    intrinsics: Float[np.ndarray, "N 3 3"]
    others: Int[np.ndarray, "N K"]
    rotations: Float[np.ndarray, "N K 3 3"]
    """With `shifts`: camera points of a view to (homogeneous) pixels of another."""
    shifts: Float[np.ndarray, "N K 3"]
    start_depth: Float32[np.ndarray, "N H W"]
    """0 where a pixel sees nothing."""
    start_normal: Float32[np.ndarray, "N H W 3"]
    """Camera space."""
