"""The texture of pass 1 as a function of space: an additive multi-resolution grid.

Like the hash grid of Mueller et al. 2022 (Instant NGP) but each level stores the six material channels
themselves and the levels are summed: no network has to be run, which on a CPU is the larger half of the cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.engines.nvdiffrec import field_kernels
from objectscan.engines.nvdiffrec.field_kernels import CHANNELS
from objectscan.engines.nvdiffrec.sparse_adam import SparseRows
from objectscan.render.threads import run_jobs, split_range, thread_count

_HASHED_ROWS = 1 << 18


@dataclass(frozen=True, slots=True)
class MaterialSample:
    """Material at P surface points."""

    base_color_srgb: Float[Tensor, "P 3"]
    occlusion_roughness_metallic: Float[Tensor, "P 3"]


class TextureField:
    """Material over a box of space, learnt. Cost: 0.25 us a point and thread forward, twice that backward."""

    def __init__(
        self, lower: Float[np.ndarray, " 3"], edge: float, cells: tuple[int, ...] = (8, 32, 64, 128)
    ):
        """Six channels: base colour 3, occlusion-roughness-metallic 3, all before squashing.

        No normals: a learnt normal explains the shading that should move the surface (docs/experiments.md).

        Cover the cube [lower, lower + edge] (world units) with grids of `cells` cells a side.
        """
        self._lower = torch.as_tensor(np.asarray(lower), dtype=torch.float32)
        self._edge = float(edge)
        rows = [min((n + 1) ** 3, _HASHED_ROWS) for n in cells]
        self.starts = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
        self.cells = np.asarray(cells, np.int64)
        self.hashed = np.asarray([(n + 1) ** 3 > _HASHED_ROWS for n in cells])
        table = torch.zeros(int(self.starts[-1]), CHANNELS)
        # Start: grey, unoccluded, rough, hardly metallic.
        table[: rows[0]] = torch.tensor([0.0, 0.0, 0.0, 3.0, 0.5, -2.5])
        self.rows = SparseRows(table)

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
    def forward(ctx: Any, handle: Tensor, unit: Tensor, grid: TextureField) -> Tensor:
        points = np.ascontiguousarray(unit.detach().numpy())
        values = np.zeros((len(points), CHANNELS), np.float32)
        layout = (grid.starts, grid.cells, grid.hashed)
        run_jobs(
            lambda a, b: field_kernels.lookup(points, grid.rows.array, *layout, a, b, values),
            split_range(len(points)),
        )
        ctx.points, ctx.grid = points, grid
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor, None]:
        points, grid = ctx.points, ctx.grid
        gradient, count = np.ascontiguousarray(upstream.numpy()), len(grid.cells)
        parts = min(thread_count(), count)
        levels = [(count * k // parts, count * (k + 1) // parts) for k in range(parts)]
        points_grad = np.zeros((parts, *points.shape), np.float32)
        run_jobs(
            lambda part: field_kernels.lookup_backward(
                points,
                grid.rows.array,
                grid.starts,
                grid.cells,
                grid.hashed,
                levels[part],
                gradient,
                grid.rows.gradient,
                grid.rows.touched,
                points_grad[part],
            ),
            [(part,) for part in range(parts)],
        )
        return None, torch.from_numpy(points_grad.sum(axis=0)), None
