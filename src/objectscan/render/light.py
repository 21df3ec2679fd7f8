"""Distant light, filtered for split-sum shading by a fixed sparse linear operator.

Filtering a cubemap for rough reflections is linear in the cubemap and its weights never change: they are
computed once, and each step costs one sparse product (forward) and one with the transpose (backward). The
published engine integrates anew every step, 45 % of its time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64
from scipy.sparse import csr_matrix
from torch import Tensor

from objectscan.errors import InputError
from objectscan.render.cubemap import texel_directions, texel_solid_angles
from objectscan.render.devices import backend_of
from objectscan.render.threads import run_jobs, thread_count

ROUGHNESS_LADDER = (0.08, 0.25, 0.45, 0.7, 1.0)
"""Perceptual roughness of each specular level."""
_LARGEST_EDGES = (1024, 16, 16, 8, 8)
"""Texels a side of each level, unless the base has fewer: a third of the lobe's width or less."""
_FLAT = (0.1, 0.1, 0.05, 0.02, 0.01)
"""Part of each lobe that one texel of the pyramid may be wrong by. Under sun-like lamps the levels are then
0.3 to 0.5 % from the integral (mean), less than the 1 to 2 % between two rungs; 30 to 100 weights a row."""
_COARSEST_EDGE = 2


@dataclass(frozen=True, slots=True)
class PrefilteredLight:
    """An environment ready for shading."""

    diffuse: Float[Tensor, "6 D D 3"]
    """Irradiance divided by pi: the colour of a white diffuse surface facing that way. It is the last
    specular level too: the lobe of roughness 1 around n = v is the cosine."""
    specular: tuple[Float[Tensor, "6 E E 3"], ...]
    """Mean radiance under the GGX lobe around the reflected direction, one for each of `ROUGHNESS_LADDER`."""


class PrefilterOperator:
    """Base cubemap [6, R, R, 3] to `PrefilteredLight`; linear, so its gradient is exact and cheap."""

    def __init__(self, base_edge: int = 32):
        """Weights for a base of `base_edge` texels a side; made once a process (0.3 s for 32, 1 s for 64).

        Raises:
            InputError: `base_edge` is no power of two from 2 on.
        """
        if base_edge < _COARSEST_EDGE or base_edge & (base_edge - 1):
            raise InputError(
                f"A light of {base_edge} texels a side can't be filtered.",
                hint="Use a power of two from 2 on.",
            )
        self.base_edge = base_edge
        self._pyramid, self._lobes = _operators(base_edge)

    def __call__(self, radiance: Float[Tensor, "6 R R 3"]) -> PrefilteredLight:
        """Filter linear radiance; differentiable."""
        backend = backend_of(radiance)
        if tuple(radiance.shape) != (6, self.base_edge, self.base_edge, 3):
            raise InputError(
                f"The light has shape {tuple(radiance.shape)}, its filter is for edge {self.base_edge}.",
                hint="Make a PrefilterOperator for the light's edge.",
            )
        stack = backend.sparse_product(radiance.reshape(-1, 3), self._pyramid)
        edges = _level_edges(self.base_edge)
        filtered = backend.sparse_product(stack, self._lobes).split([6 * edge * edge for edge in edges])
        levels = tuple(flat.reshape(6, edge, edge, 3) for flat, edge in zip(filtered, edges, strict=True))
        return PrefilteredLight(levels[-1], levels)


def specular_level(roughness: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """Fractional rung of `ROUGHNESS_LADDER` for a perceptual roughness; piecewise linear, clamped."""
    level = torch.zeros_like(roughness)
    for low, high in pairwise(ROUGHNESS_LADDER):
        level = level + ((roughness - low) / (high - low)).clamp(0.0, 1.0)
    return level


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A sparse matrix, compressed rows."""

    starts: Int64[np.ndarray, " rows_and_one"]
    indices: Int32[np.ndarray, " weights"]
    weights: Float32[np.ndarray, " weights"]


@dataclass(frozen=True, eq=False)
class SparseOperator:
    """A fixed sparse matrix and its transpose."""

    forward: SparseRows
    adjoint: SparseRows


def _operator(matrix: csr_matrix) -> SparseOperator:
    def rows(compressed: csr_matrix) -> SparseRows:
        return SparseRows(compressed.indptr.astype(np.int64), compressed.indices, compressed.data)

    return SparseOperator(rows(matrix), rows(matrix.T.tocsr()))


def _level_edges(base_edge: int) -> tuple[int, ...]:
    return tuple(min(base_edge, largest) for largest in _LARGEST_EDGES)


@lru_cache(maxsize=4)
def _operators(base_edge: int) -> tuple[SparseOperator, SparseOperator]:
    """(base to pyramid, pyramid to all levels in one stack)."""
    pyramid = _pyramid(base_edge)
    rungs = zip(_level_edges(base_edge), ROUGHNESS_LADDER, _FLAT, strict=True)
    blocks = [_lobe_block(edge, base_edge, roughness, flat) for edge, roughness, flat in rungs]
    counts, indices, weights = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    starts = np.concatenate([[0], np.cumsum(counts)])
    matrix = csr_matrix((weights, indices, starts), shape=(len(counts), pyramid.shape[0]))
    return _operator(pyramid), _operator(matrix)


def _pyramid(base_edge: int) -> csr_matrix:
    """Means over 1, 2 x 2, 4 x 4 ... base texels, weighted with solid angles: no light is lost."""
    face, row, column = np.meshgrid(
        np.arange(6, dtype=np.int32), *2 * [np.arange(base_edge, dtype=np.int32)], indexing="ij"
    )
    solid_angles = texel_solid_angles(base_edge).ravel()
    targets, weights, first = [], [], 0
    for halving in range(int(math.log2(base_edge // _COARSEST_EDGE)) + 1):
        edge = base_edge >> halving
        target = (((face * edge) + (row >> halving)) * edge + (column >> halving)).ravel()
        targets.append(first + target)
        weights.append(solid_angles / np.bincount(target, solid_angles)[target])
        first += 6 * edge * edge
    sources = np.tile(np.arange(face.size, dtype=np.int32), len(targets))
    values = np.concatenate(weights).astype(np.float32)
    return csr_matrix((values, (np.concatenate(targets), sources)), shape=(first, face.size))


def _lobe_block(
    edge: int, base_edge: int, roughness: float, flat: float
) -> tuple[Int64[np.ndarray, " rows"], Int32[np.ndarray, " weights"], Float32[np.ndarray, " weights"]]:
    """Rows of `lobes.lobe_rows` for a cubemap of `edge`."""
    from objectscan.render.cpu import lobes

    directions = texel_directions(edge).reshape(-1, 3)
    squared_alpha = float(roughness) ** 4
    uncertainty = flat * _lobe_integral(squared_alpha)
    cuts = np.linspace(0, len(directions), thread_count() + 1).astype(int)
    blocks = run_jobs(
        lambda first, last: lobes.lobe_rows(
            directions, squared_alpha, base_edge, _COARSEST_EDGE, uncertainty, first, last
        ),
        pairwise(cuts),
    )
    counts, indices, weights = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return counts, indices, weights


def _lobe_integral(squared_alpha: float) -> float:
    """The GGX weight's integral over the hemisphere for n = v = r; 1 for alpha 1.

    With t = (n.h)^2 the weight is (2 t - 1) a2 / (pi (1 + t (a2 - 1))^2) and dw = 4 pi dt, t from 1/2 to 1.
    """
    b = squared_alpha - 1.0
    if abs(b) < 1e-6:
        return 1.0
    top, bottom = 1.0 + b, 1.0 + 0.5 * b
    whole = 2.0 / b**2 * math.log(top / bottom) + (2.0 / b + 1.0) / b * (1.0 / top - 1.0 / bottom)
    return 4.0 * squared_alpha * whole
