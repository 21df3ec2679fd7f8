"""The texture of pass 1 as a function of space: an additive multi-resolution grid.

Like the hash grid of Mueller et al. 2022 (Instant NGP) but each level stores the six material channels
themselves and the levels are summed: no network has to be run, which on a CPU is the larger half of the cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from objectscan.engines.nvdiffrec.devices import backend_of
from objectscan.engines.nvdiffrec.sparse_adam import SparseRows

_HASHED_ROWS = 1 << 18
CHANNELS = 6
"""Base colour 3, occlusion-roughness-metallic 3."""


@dataclass(frozen=True, slots=True)
class MaterialSample:
    """Material at P surface points."""

    base_color_srgb: Float[Tensor, "P 3"]
    occlusion_roughness_metallic: Float[Tensor, "P 3"]


@dataclass(frozen=True, slots=True)
class FieldLayout:
    """Where the L levels of a field lie in its table."""

    starts: Int64[np.ndarray, " L+1"]
    """Level l has the rows starts[l] to starts[l + 1]."""
    cells: Int64[np.ndarray, " L"]
    hashed: Bool[np.ndarray, " L"]
    """Whether a level has fewer rows than grid points, so that points share them."""


class TextureField:
    """Material over a box of space, learnt. Cost: 0.25 us a point and thread forward, twice that backward."""

    def __init__(
        self, lower: Float[np.ndarray, " 3"], edge: float, cells: tuple[int, ...] = (8, 32, 64, 128), *,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        """Six channels: base colour 3, occlusion-roughness-metallic 3, all before squashing.

        No normals: a learnt normal explains the shading that should move the surface (docs/experiments.md).

        Cover the cube [lower, lower + edge] (world units) with grids of `cells` cells a side.
        """
        self._lower = torch.as_tensor(np.asarray(lower), dtype=torch.float32, device=device)
        self._edge = float(edge)
        rows = [min((n + 1) ** 3, _HASHED_ROWS) for n in cells]
        self.layout = FieldLayout(
            starts=np.concatenate([[0], np.cumsum(rows)]).astype(np.int64),
            cells=np.asarray(cells, np.int64),
            hashed=np.asarray([(n + 1) ** 3 > _HASHED_ROWS for n in cells]),
        )
        table = torch.zeros(sum(rows), CHANNELS)
        # Start: grey, unoccluded, rough, hardly metallic.
        table[: rows[0]] = torch.tensor([0.0, 0.0, 0.0, 3.0, 0.5, -2.5])
        self.rows = SparseRows(table.to(device))

    def __call__(self, points: Float[Tensor, "P 3"]) -> MaterialSample:
        """Material at `points` (world frame); differentiable in the points and in the field."""
        squashed = torch.sigmoid(self.raw(points))
        return MaterialSample(squashed[:, :3], squashed[:, 3:])

    def raw(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "P 6"]:
        """The channels before squashing."""
        unit = ((points - self._lower) / self._edge).clamp(0.0, 1.0)
        handle = torch.zeros((), requires_grad=torch.is_grad_enabled())
        result: Tensor = _Lookup.apply(handle, unit, self)
        return result


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, handle: Tensor, unit: Tensor, field: TextureField) -> Tensor:
        points = unit.detach().contiguous()
        ctx.points, ctx.field = points, field
        return cast(Tensor, backend_of(unit).read_field(field.rows, field.layout, points))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor, None]:
        field = ctx.field
        gradient = backend_of(upstream).read_field_backward(
            field.rows, field.layout, ctx.points, upstream.contiguous()
        )
        return None, gradient, None
