"""Distant light, filtered for split-sum shading by a fixed sparse linear operator.

Filtering a cubemap for rough reflections is linear in the cubemap and its weights never change: they are computed
once, and each step costs one sparse product (forward) and one with the transpose (backward). The published engine
integrates anew every step, 45 % of its time (docs/decisions/0003-prefilter.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.render.cubemap import texel_directions, texel_solid_angles

DIFFUSE_EDGE = 8
ROUGHNESS_LADDER = (0.08, 0.25, 0.45, 0.7, 1.0)
"""Perceptual roughness of each specular level."""
_TARGET_DIVISORS = (1, 2, 2, 4, 4)
_SOURCE_HALVINGS = (0, 0, 1, 2, 2)
"""How often the base is halved before a lobe averages it: wide lobes don't see single texels."""
_DIFFUSE_HALVINGS = 2
_CUT = 0.004
"""Weights below this share of a lobe's largest are left out: 1 to 5 % of its energy, made up by normalisation."""


@dataclass(frozen=True, slots=True)
class PrefilteredLight:
    """An environment ready for shading."""

    diffuse: Float[Tensor, "6 D D 3"]
    """Irradiance divided by pi: the colour of a white diffuse surface facing that way."""
    specular: tuple[Float[Tensor, "6 E E 3"], ...]
    """Mean radiance under the GGX lobe around the reflected direction, one cubemap a rung of `ROUGHNESS_LADDER`."""


class PrefilterOperator:
    """Base cubemap [6, R, R, 3] to `PrefilteredLight`; linear, so its gradient is exact and cheap."""

    def __init__(self, base_edge: int = 32):
        """Weights for a base of `base_edge` texels a side, a multiple of 8."""
        self._base_edge = base_edge
        self._diffuse, self._specular = _operators(base_edge)

    def __call__(self, radiance: Float[Tensor, "6 R R 3"]) -> PrefilteredLight:
        """Filter linear radiance; differentiable."""
        halved = [radiance.reshape(-1, 3)]
        for halving in range(max(*_SOURCE_HALVINGS, _DIFFUSE_HALVINGS)):
            halved.append(_Product.apply(halved[-1], _box_halving(self._base_edge >> halving)))
        specular = [
            _as_cubemap(_Product.apply(halved[halvings], rows))
            for halvings, rows in zip(_SOURCE_HALVINGS, self._specular, strict=True)
        ]
        diffuse = _as_cubemap(_Product.apply(halved[_DIFFUSE_HALVINGS], self._diffuse))
        return PrefilteredLight(diffuse, tuple(specular))


def specular_level(roughness: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """Fractional rung of `ROUGHNESS_LADDER` for a perceptual roughness; piecewise linear, clamped."""
    level = torch.zeros_like(roughness)
    for low, high in zip(ROUGHNESS_LADDER[:-1], ROUGHNESS_LADDER[1:], strict=True):
        level = level + ((roughness - low) / (high - low)).clamp(0.0, 1.0)
    return level


def _as_cubemap(flat: Tensor) -> Float[Tensor, "6 E E 3"]:
    edge = math.isqrt(len(flat) // 6)
    return flat.reshape(6, edge, edge, 3)


@lru_cache(maxsize=4)
def _operators(base_edge: int) -> tuple[Any, tuple[Any, ...]]:
    diffuse = _lobe_rows(DIFFUSE_EDGE, base_edge >> _DIFFUSE_HALVINGS, lambda cosine: np.maximum(cosine, 0.0))
    ladder = zip(ROUGHNESS_LADDER, _TARGET_DIVISORS, _SOURCE_HALVINGS, strict=True)
    return diffuse, tuple(
        _lobe_rows(base_edge // divisor, base_edge >> halvings, _ggx_weight(roughness))
        for roughness, divisor, halvings in ladder
    )


def _ggx_weight(roughness: float) -> Callable[[np.ndarray], np.ndarray]:
    """Weight of light from l for a lobe around n = v = r (Karis 2013): (n.l) D(n.h), alpha = roughness^2."""
    squared = roughness**4

    def weight(cosine: np.ndarray) -> np.ndarray:
        half_cosine_squared = 0.5 * (1.0 + cosine)
        distribution = squared / (np.pi * (half_cosine_squared * (squared - 1.0) + 1.0) ** 2)
        return np.maximum(cosine, 0.0) * distribution

    return weight


def _lobe_rows(
    target_edge: int, source_edge: int, weight: Callable[[np.ndarray], np.ndarray]
) -> scipy.sparse.csr_matrix:
    """Rows that average a cubemap of `source_edge` under a lobe around each texel of one of `target_edge`."""
    targets = texel_directions(target_edge).reshape(-1, 3)
    sources = texel_directions(source_edge).reshape(-1, 3)
    solid_angles = texel_solid_angles(source_edge).reshape(-1)
    blocks = []
    for start in range(0, len(targets), 1024):
        cosine = np.clip((targets[start : start + 1024] @ sources.T).astype(np.float32), -1.0, 1.0)
        values = weight(cosine) * solid_angles
        values[values < _CUT * values.max(axis=1, keepdims=True)] = 0.0
        blocks.append(scipy.sparse.csr_matrix(values / values.sum(axis=1, keepdims=True), dtype=np.float32))
    return scipy.sparse.vstack(blocks, format="csr")


@lru_cache(maxsize=4)
def _box_halving(edge: int) -> scipy.sparse.csr_matrix:
    """2 x 2 means: cubemap of `edge` to half of it."""
    face, row, column = np.meshgrid(np.arange(6), np.arange(edge), np.arange(edge), indexing="ij")
    target = (face * (edge // 2) + row // 2) * (edge // 2) + column // 2
    source = np.arange(6 * edge * edge)
    weights = np.full(len(source), 0.25, np.float32)
    shape = (6 * (edge // 2) ** 2, 6 * edge * edge)
    return scipy.sparse.csr_matrix((weights, (target.ravel(), source)), shape=shape)


class _Product(torch.autograd.Function):
    """Fixed sparse matrix times dense columns. scipy: torch's own sparse backward took 1.1 s where this takes 6 ms."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, matrix: scipy.sparse.csr_matrix) -> Tensor:
        ctx.matrix = matrix
        return torch.from_numpy(np.ascontiguousarray(matrix @ columns.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        return torch.from_numpy(np.ascontiguousarray(ctx.matrix.T @ upstream.numpy())), None
