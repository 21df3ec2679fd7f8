"""Texture and cubemap lookup on the GPU, with their gradients."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from objectscan.errors import InputError
from objectscan.render.cubemap import padded_sources
from objectscan.render.cuda.launch import blocks, launcher_on, plain, require_float32

_THREADS = 256
_LEVELS = 16
_LOCAL_FLOATS = 4096
"""Coarse levels' gradient that a block sums in its own memory, 16 KiB; `LOCAL` of texture.cu."""


def sample_texture(mips: Sequence[Tensor], points: Tensor, footprint: Tensor | None, repeat: bool) -> Tensor:
    """Values [P, C] at the coordinates [P, 2].

    Raises:
        InputError: More than 16 levels.
    """
    if len(mips) > _LEVELS:
        raise InputError(f"A texture has {len(mips)} levels.", hint=f"Up to {_LEVELS} are possible on a GPU.")
    require_float32(texture=mips[0], uv=points, footprint=footprint)
    values: Tensor = _Sample.apply(points, footprint, repeat, *mips)
    return values


def sample_cubemap(texels: Tensor, directions: Tensor, levels: Tensor, edges: tuple[int, ...]) -> Tensor:
    """Values [P, C] in the directions [P, 3]; all levels' texels in one stack [T, C]."""
    require_float32(texels=texels, directions=directions, levels=levels)
    values: Tensor = _SampleCubemap.apply(texels, directions, levels, edges)
    return values


@lru_cache(maxsize=32)
def padded_tables(edges: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """`padded_sources` on the GPU. Kept: a copy from the host can't be part of a CUDA graph."""
    sources, starts, sizes = (torch.from_numpy(table).to(device) for table in padded_sources(edges))
    return sources, starts, sizes


def cubes_of(texels: Tensor, edges: tuple[int, ...]) -> bytes:
    """Bytes of `struct Cubes`; the stack must live until the kernel has run."""
    tables = padded_tables(edges, texels.device)
    return struct.pack("4Q", texels.data_ptr(), *(table.data_ptr() for table in tables))


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, uv: Tensor, footprint: Tensor | None, repeat: bool, *mips: Tensor) -> Tensor:
        points, stack = plain(uv), [plain(mip) for mip in mips]
        spread = None if footprint is None else plain(footprint)
        values = torch.empty((len(points), stack[0].shape[-1]), device=points.device)
        launcher_on(points.device).launch(
            "texture", "sample_texture", blocks(len(points), _THREADS), _THREADS,
            _texture(stack, points, spread, repeat, values=values),
        )  # fmt: skip
        ctx.save_for_backward(points, spread, *stack)
        ctx.repeat = repeat
        return values

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        points, spread, *stack = ctx.saved_tensors
        need_spread, need = ctx.needs_input_grad[1], ctx.needs_input_grad[3:]
        gradient, uv_grad = plain(upstream), torch.empty_like(points)
        spread_grad = torch.empty_like(spread) if need_spread and spread is not None else None
        mip_grads = [
            torch.zeros_like(mip) if wanted else None for mip, wanted in zip(stack, need, strict=True)
        ]
        gpu = launcher_on(points.device)
        walkers = min(blocks(len(points), _THREADS)[0], 8 * gpu.multiprocessors)
        gpu.launch(
            "texture", "sample_texture_backward", (walkers, 1, 1), _THREADS,
            _texture(
                stack, points, spread, ctx.repeat, mip_grads=mip_grads, upstream=gradient, uv_grad=uv_grad,
                footprint_grad=spread_grad,
            ),
        )  # fmt: skip
        return uv_grad, spread_grad, None, *mip_grads


def _texture(
    mips: Sequence[Tensor],
    uv: Tensor,
    footprint: Tensor | None,
    repeat: bool,
    *,
    mip_grads: Sequence[Tensor | None] = (),
    **pictures: Tensor | None,
) -> bytes:
    """Bytes of `struct Texture`; its tensors must live until the kernel has run."""
    order = ("values", "upstream", "uv_grad", "footprint_grad")
    tensors = [uv, footprint, *(pictures.get(name) for name in order)]
    rest = [None] * (_LEVELS - len(mips))
    addresses = [
        0 if tensor is None else tensor.data_ptr()
        for tensor in (*mips, *rest, *(mip_grads or [None] * len(mips)), *rest, *tensors)
    ]
    zeros = [0] * len(rest)
    channels = mips[0].shape[-1]
    widths, heights = ([mip.shape[axis] for mip in mips] + zeros for axis in (1, 0))
    counts = (len(mips), channels, int(repeat), 0)
    return struct.pack(
        f"{2 * _LEVELS + 6}Q q {3 * _LEVELS + 4}i",
        *addresses, len(uv), *widths, *heights, *_local_starts(mips), *zeros, *counts,
    )  # fmt: skip


def _local_starts(mips: Sequence[Tensor]) -> list[int]:
    """Where each level begins in a block's memory; -1 for levels too large. The coarsest come first."""
    starts, used = [-1] * len(mips), 0
    for level in range(len(mips) - 1, -1, -1):
        if used + mips[level].numel() > _LOCAL_FLOATS:
            break
        starts[level] = used
        used += mips[level].numel()
    return starts


class _SampleCubemap(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, texels: Tensor, directions: Tensor, levels: Tensor, edges: tuple[int, ...]
    ) -> Tensor:
        inputs = plain(texels), plain(directions), plain(levels)
        values = torch.empty((len(directions), texels.shape[1]), device=texels.device)
        launcher_on(texels.device).launch(
            "cubemap", "sample_cubemap", blocks(len(values), _THREADS), _THREADS,
            cubes_of(inputs[0], edges), *inputs[1:], values, len(values), len(edges), values.shape[1],
        )  # fmt: skip
        ctx.save_for_backward(*inputs)
        ctx.edges = edges
        return values

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        texels, directions, levels = ctx.saved_tensors
        texels_grad = torch.zeros_like(texels) if ctx.needs_input_grad[0] else None
        directions_grad, levels_grad = torch.empty_like(directions), torch.empty_like(levels)
        launcher_on(texels.device).launch(
            "cubemap", "sample_cubemap_backward", blocks(len(levels), _THREADS), _THREADS,
            cubes_of(texels, ctx.edges), directions, levels, plain(upstream), texels_grad, directions_grad,
            levels_grad, len(levels), len(ctx.edges), texels.shape[1],
        )  # fmt: skip
        return texels_grad, directions_grad, levels_grad, None
