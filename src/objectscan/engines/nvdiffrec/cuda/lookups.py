"""Learnt materials at points, on the GPU: the field of pass 1 and the atlas of pass 2."""

from __future__ import annotations

import struct
from typing import Any

import torch
from torch import Tensor

from objectscan.engines.nvdiffrec.cuda.rows import PACKAGE
from objectscan.render import Hits, scatter_covered
from objectscan.render.cuda.launch import blocks, launcher_on

_KERNELS = f"{PACKAGE}/lookups"
_MOST_LEVELS = 8
_THREADS = 128


def _layout(layout: Any) -> bytes:
    """Bytes of `struct Layout`."""
    levels = len(layout.cells)

    def padded(values: Any, length: int) -> list[int]:
        return [*map(int, values), *[0] * (length - len(values))]

    return struct.pack(
        f"{_MOST_LEVELS + 1}q {2 * _MOST_LEVELS}i 2i", *padded(layout.starts, _MOST_LEVELS + 1),
        *padded(layout.cells, _MOST_LEVELS), *padded(layout.hashed, _MOST_LEVELS), levels, 0,
    )  # fmt: skip


def read_field(rows: Any, layout: Any, points: Tensor) -> Tensor:
    """Raw channels [P, 6] of a texture field at points in [0, 1]^3."""
    values = torch.empty((len(points), rows.values.shape[1]), device=points.device)
    launcher_on(points.device).launch(
        _KERNELS, "read_field", blocks(len(points), _THREADS), _THREADS, points, rows.values,
        _layout(layout), values, len(points),
    )  # fmt: skip
    return values


def read_field_backward(rows: Any, layout: Any, points: Tensor, upstream: Tensor) -> Tensor:
    """Adds to the gradient of the rows; returns that of the points."""
    gradient = torch.empty_like(points)
    launcher_on(points.device).launch(
        _KERNELS, "read_field_backward", blocks(len(points), _THREADS), _THREADS, points, rows.values,
        _layout(layout), upstream, rows.gradient, rows.touched, gradient, len(points),
    )  # fmt: skip
    return gradient


def read_atlas(rows: Any, size_px: int, uv: Tensor) -> Tensor:
    """Bilinear texels [P, C] of a square atlas."""
    values = torch.empty((len(uv), rows.values.shape[1]), device=uv.device)
    launcher_on(uv.device).launch(
        _KERNELS, "read_atlas", blocks(values.numel(), _THREADS), _THREADS, rows.values, uv, values, len(uv),
        values.shape[1], size_px,
    )  # fmt: skip
    return values


def read_atlas_backward(rows: Any, size_px: int, uv: Tensor, upstream: Tensor) -> None:
    """Adds to the gradient of the rows."""
    launcher_on(uv.device).launch(
        _KERNELS, "read_atlas_backward", blocks(upstream.numel(), _THREADS), _THREADS, uv, upstream,
        rows.gradient, rows.touched, len(uv), upstream.shape[1], size_px,
    )  # fmt: skip


def of_views(values: Tensor, hits: Hits) -> Tensor:
    """Values of each view [B, C] at its covered pixels [P, C]; differentiable."""
    found: Tensor = _OfViews.apply(values, hits)
    return found


class _OfViews(torch.autograd.Function):
    """The gradient is summed over pictures: torch's way back of an index sorts all pixels, 4 ms a step."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, hits: Hits) -> Tensor:
        ctx.hits = hits
        return values[hits.views()]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return scatter_covered(upstream, ctx.hits).sum(dim=(1, 2)), None
