"""Split-sum shading on the GPU, with its gradient."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from objectscan.render.brdf import environment_brdf
from objectscan.render.cuda.launch import blocks, launcher_on, plain, require_float32
from objectscan.render.cuda.sampling import cubes_of
from objectscan.render.light import ROUGHNESS_LADDER

_THREADS = 128


def shade(
    base: Tensor, material: Tensor, normals: Tensor, views: Tensor, texels: Tensor, edges: tuple[int, ...]
) -> Tensor:
    """Radiance [P, 3]; `texels` [T, 3] are those of all the light's cubemaps, of these edges."""
    require_float32(base=base, material=material, normals=normals, views=views, light=texels)
    shaded: Tensor = _Shade.apply(base, material, normals, views, texels, edges)
    return shaded


@lru_cache(maxsize=8)
def _reflectances(device: torch.device) -> Tensor:
    """The table of `environment_brdf` on the GPU. Kept: see `padded_tables`."""
    return torch.tensor(environment_brdf(), dtype=torch.float32, device=device)


def _light(texels: Tensor, edges: tuple[int, ...]) -> bytes:
    """Bytes of `struct Light`."""
    table = _reflectances(texels.device)
    rows, columns = table.shape[0] - 1, table.shape[1] - 1
    return cubes_of(texels, edges) + struct.pack(
        "Q 5d 2i", table.data_ptr(), *ROUGHNESS_LADDER, rows, columns
    )


def _points(*tensors: Tensor) -> bytes:
    """Bytes of `struct Points`."""
    return struct.pack("4Q q", *(tensor.data_ptr() for tensor in tensors), len(tensors[0]))


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        base: Tensor,
        material: Tensor,
        normals: Tensor,
        views: Tensor,
        texels: Tensor,
        edges: tuple[int, ...],
    ) -> Tensor:
        *points, stack = (plain(tensor) for tensor in (base, material, normals, views, texels))
        colours = torch.empty_like(points[0])
        launcher_on(stack.device).launch(
            "shading", "shade", blocks(len(colours), _THREADS), _THREADS,
            _points(*points), _light(stack, edges), colours,
        )  # fmt: skip
        ctx.save_for_backward(*points, stack)
        ctx.edges = edges
        return colours

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        *points, stack = ctx.saved_tensors
        gradient = plain(upstream)
        base, material, normals = (torch.empty_like(tensor) for tensor in points[:3])
        texels = torch.zeros_like(stack) if ctx.needs_input_grad[4] else None
        addresses = (
            0 if tensor is None else tensor.data_ptr() for tensor in (base, material, normals, texels)
        )
        launcher_on(stack.device).launch(
            "shading", "shade_backward", blocks(len(gradient), _THREADS), _THREADS,
            _points(*points), _light(stack, ctx.edges), gradient, struct.pack("4Q", *addresses),
        )  # fmt: skip
        return base, material, normals, None, texels, None
