"""Texture and cubemap lookup on the CPU, with their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from objectscan.render.cpu import cubes
from objectscan.render.cpu import texels as kernels
from objectscan.render.cubemap import padded_sources
from objectscan.render.devices import array_of
from objectscan.render.threads import run_jobs, split_range


def sample_texture(mips: Sequence[Tensor], points: Tensor, footprint: Tensor | None, repeat: bool) -> Tensor:
    """Values [P, C] at the coordinates [P, 2]."""
    levels = points.new_zeros(0)
    if footprint is not None:
        height, width = mips[0].shape[:2]
        levels = _FootprintLevel.apply(footprint, (width, height), len(mips) - 1.0)
    values: Tensor = _Sample.apply(points, levels, repeat, *mips)
    return values


def sample_cubemap(texels: Tensor, directions: Tensor, levels: Tensor, edges: tuple[int, ...]) -> Tensor:
    """Values [P, C] in the directions [P, 3]; all levels' texels in one stack [T, C]."""
    values: Tensor = _SampleCubemap.apply(texels, directions, levels, edges)
    return values


class _FootprintLevel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, footprint: Tensor, size: tuple[int, int], highest: float) -> Tensor:
        inputs = (array_of(footprint), *size, highest)
        levels = np.zeros(len(footprint), inputs[0].dtype)
        run_jobs(lambda a, b: kernels.footprint_level(*inputs, a, b, levels), split_range(len(levels)))
        ctx.inputs = inputs
        return torch.from_numpy(levels)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        gradient, result = array_of(upstream), np.zeros_like(ctx.inputs[0])
        run_jobs(
            lambda a, b: kernels.footprint_level_backward(*ctx.inputs, a, b, gradient, result),
            split_range(len(result)),
        )
        return torch.from_numpy(result), None, None


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, uv: Tensor, levels: Tensor, repeat: bool, *mips: Tensor) -> Tensor:
        coordinates, level, stack = array_of(uv), array_of(levels), [array_of(mip) for mip in mips]
        values = np.zeros((len(coordinates), mips[0].shape[-1]), coordinates.dtype)

        def job(first: int, last: int) -> None:
            for this, texels in enumerate(stack):
                kernels.add_level(texels, coordinates, level, float(this), repeat, first, last, values)

        run_jobs(job, split_range(len(values)))
        ctx.inputs = coordinates, level, repeat, stack
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        coordinates, level, repeat, stack = ctx.inputs
        gradient, need = array_of(upstream), ctx.needs_input_grad[3:]
        uv_grad, level_grad = np.zeros_like(coordinates), np.zeros_like(level)
        mip_grads: list[Tensor | None] = []
        for this, texels in enumerate(stack):
            jobs = _scatter_jobs(len(coordinates), texels.shape[0] * texels.shape[1])
            parts = np.zeros((len(jobs), *(texels.shape if need[this] else (1, 1, 1))), texels.dtype)

            def job(part: int, first: int, last: int, this: int = this, parts: np.ndarray = parts) -> None:
                kernels.add_level_backward(
                    stack[this], coordinates, level, float(this), repeat, first, last, gradient, need[this],
                    parts[part], uv_grad, level_grad,
                )  # fmt: skip

            run_jobs(job, [(part, *span) for part, span in enumerate(jobs)])
            total = parts[0] if len(jobs) == 1 else parts.sum(axis=0)
            mip_grads.append(torch.from_numpy(total) if need[this] else None)
        return torch.from_numpy(uv_grad), torch.from_numpy(level_grad), None, *mip_grads


def _scatter_jobs(points: int, texel_count: int) -> list[tuple[int, int]]:
    """One range a thread, each with its own copy of the gradient; one range if the copies would cost more."""
    # Clearing and adding a copy costs about as much a texel as scattering a quarter of a point.
    return split_range(points) if texel_count < 4 * points else [(0, points)]


class _SampleCubemap(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, texels: Tensor, directions: Tensor, levels: Tensor, edges: tuple[int, ...]
    ) -> Tensor:
        inputs = (array_of(texels), *padded_sources(edges), array_of(directions), array_of(levels))
        values = np.zeros((len(directions), texels.shape[1]), inputs[0].dtype)
        run_jobs(lambda a, b: cubes.lookup(*inputs, a, b, values), split_range(len(values)))
        ctx.inputs = inputs
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        texels, directions, levels = ctx.inputs[0], ctx.inputs[4], ctx.inputs[5]
        jobs = split_range(len(directions))
        parts = np.zeros((len(jobs), *texels.shape), texels.dtype)
        directions_grad, levels_grad = np.zeros_like(directions), np.zeros_like(levels)
        gradient = array_of(upstream)
        run_jobs(
            lambda k, a, b: cubes.lookup_backward(
                *ctx.inputs, a, b, gradient, parts[k], directions_grad, levels_grad
            ),
            [(k, *job) for k, job in enumerate(jobs)],
        )
        gradients = parts.sum(axis=0), directions_grad, levels_grad
        return *(torch.from_numpy(array) for array in gradients), None
