"""Attributes at pixels on the CPU, with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from objectscan.errors import InputError
from objectscan.render.cpu import interpolation
from objectscan.render.devices import array_of, indices_of
from objectscan.render.threads import run_jobs, split_range


def covered_pixels(triangle: Tensor) -> Tensor:
    """Flat indices of the pixels that see a triangle."""
    return torch.from_numpy(np.flatnonzero(triangle.numpy().ravel() >= 0))


def interpolate(attributes: Tensor, faces: Tensor, hits: Any, as_picture: bool) -> Tensor:
    """Attributes at all pixels [N H W, C], or at the covered ones [P, C]."""
    values: Tensor = _Interpolate.apply(attributes, hits.barycentrics, faces, hits, as_picture)
    return values


def interpolate_with_slopes(attributes: Tensor, faces: Tensor, hits: Any) -> tuple[Tensor, Tensor]:
    """Attributes at the covered pixels [P, C], and their screen derivatives [P, 2C]."""
    slopes: Tensor = _Differentiate.apply(attributes, hits.derivatives, faces, hits)
    return interpolate(attributes, faces, hits, False), slopes


def scatter(values: Tensor, hits: Any) -> Tensor:
    """Values of the covered pixels in their places [N H W, C]."""
    picture: Tensor = _Scatter.apply(values, hits)
    return picture


def _flat(attributes: Tensor, hits: Any) -> tuple[np.ndarray, tuple[int, int]]:
    """Attributes as rows, and the stride that `cpu.interpolation` explains."""
    pixels = hits.triangle.shape[1] * hits.triangle.shape[2]
    rows = attributes.shape[1] if attributes.dim() == 3 else 0
    return array_of(attributes).reshape(-1, attributes.shape[-1]), (pixels, rows)


def _matching(faces: Tensor, attributes: Tensor, hits: Any) -> np.ndarray:
    """The faces as an array, once it is sure that they fit the attributes and the hits."""
    if hits.face_count is not None and len(faces) != hits.face_count:
        raise InputError(
            f"{hits.face_count} faces were rasterised, but {len(faces)} are given.",
            hint="Give one row of corner indices for each rasterised face.",
        )
    return indices_of(faces, attributes.shape[-2])


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, attributes: Tensor, barycentrics: Tensor, faces: Tensor, hits: Any, as_picture: bool
    ) -> Tensor:
        inputs = (
            *_flat(attributes, hits), _matching(faces, attributes, hits), hits.triangle.numpy().ravel(),
            array_of(barycentrics).reshape(-1, 2), hits.pixels().numpy(),
        )  # fmt: skip
        pixels = inputs[5]
        rows = hits.triangle.numel() if as_picture else len(pixels)
        values = np.zeros((rows, attributes.shape[-1]), inputs[0].dtype)
        run_jobs(lambda a, b: interpolation.interpolate(*inputs, a, b, values), split_range(len(pixels)))
        ctx.inputs, ctx.shape, ctx.attributes_shape = inputs, barycentrics.shape, attributes.shape
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        attributes, pixels, need = ctx.inputs[0], ctx.inputs[5], ctx.needs_input_grad[0]
        jobs = split_range(len(pixels))
        parts = np.zeros((len(jobs), *(attributes.shape if need else (1, 1))), attributes.dtype)
        barycentrics_grad = np.zeros((int(np.prod(ctx.shape[:3])), 2), attributes.dtype)
        gradient = array_of(upstream)
        run_jobs(
            lambda k, a, b: interpolation.interpolate_backward(
                *ctx.inputs, a, b, gradient, need, parts[k], barycentrics_grad
            ),
            [(k, *job) for k, job in enumerate(jobs)],
        )
        attributes_grad = torch.from_numpy(parts.sum(axis=0).reshape(ctx.attributes_shape)) if need else None
        return attributes_grad, torch.from_numpy(barycentrics_grad.reshape(ctx.shape)), None, None, None


class _Differentiate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attributes: Tensor, derivatives: Tensor, faces: Tensor, hits: Any) -> Tensor:
        inputs = (
            *_flat(attributes, hits), _matching(faces, attributes, hits), hits.triangle.numpy().ravel(),
            array_of(derivatives).reshape(-1, 4), hits.pixels().numpy(),
        )  # fmt: skip
        slopes = np.zeros((len(inputs[5]), 2 * attributes.shape[-1]), inputs[0].dtype)
        run_jobs(lambda a, b: interpolation.differentiate(*inputs, a, b, slopes), split_range(len(slopes)))
        ctx.inputs, ctx.shape, ctx.attributes_shape = inputs, derivatives.shape, attributes.shape
        return torch.from_numpy(slopes)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        attributes = ctx.inputs[0]
        attributes_grad = np.zeros_like(attributes)
        derivatives_grad = np.zeros((int(np.prod(ctx.shape[:3])), 4), attributes.dtype)
        interpolation.differentiate_backward(
            *ctx.inputs, 0, len(upstream), array_of(upstream), attributes_grad, derivatives_grad
        )
        attributes_part = torch.from_numpy(attributes_grad.reshape(ctx.attributes_shape))
        return attributes_part, torch.from_numpy(derivatives_grad.reshape(ctx.shape)), None, None


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, hits: Any) -> Tensor:
        rows, pixels = array_of(values), hits.pixels().numpy()
        picture = np.zeros((hits.triangle.numel(), rows.shape[1]), rows.dtype)
        run_jobs(lambda a, b: interpolation.scatter(rows, pixels, a, b, picture), split_range(len(pixels)))
        ctx.pixels = pixels
        return torch.from_numpy(picture)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        gradient = array_of(upstream)
        values = np.zeros((len(ctx.pixels), gradient.shape[1]), gradient.dtype)
        run_jobs(
            lambda a, b: interpolation.gather(gradient, ctx.pixels, a, b, values), split_range(len(values))
        )
        return torch.from_numpy(values), None
