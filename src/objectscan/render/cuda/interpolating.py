"""Attributes at pixels on the GPU, with their gradients."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from objectscan.errors import InputError
from objectscan.render.cuda.launch import blocks, indices, launcher_on, plain, require_float32
from objectscan.render.cuda.rasterizing import pixel_grid

_THREADS = 128
_FEW = 4
"""Channels that have a faster way back, `FEW` of interpolation.cu."""


def covered_pixels(triangle: Tensor) -> Tensor:
    """Flat indices of the pixels that see a triangle. Waits for the GPU, which knows their number."""
    return (triangle.reshape(-1) >= 0).nonzero().reshape(-1)


def padded_pixels(triangle: Tensor, capacity: int) -> tuple[Tensor, Tensor]:
    """(flat indices, -1 behind the last, in a list of fixed length; their number, on the GPU)."""
    if triangle.numel() >= 1 << 31:
        raise InputError(
            f"Pictures of {triangle.numel()} pixels are too many for one list.", hint="Render fewer views."
        )
    flat = triangle.reshape(-1)
    rank = torch.cumsum(flat >= 0, 0, dtype=torch.int32)
    pixels = torch.full((capacity,), -1, dtype=torch.int64, device=triangle.device)
    launcher_on(triangle.device).launch(
        "lists", "list_pixels", blocks(len(flat), 256), 256, flat, rank, pixels, len(flat), capacity
    )
    return pixels, rank[-1]


def interpolate(attributes: Tensor, faces: Tensor, hits: Any, as_picture: bool) -> Tensor:
    """Attributes at all pixels [N H W, C], or at the covered ones [P, C]."""
    values, _ = _interpolate(attributes, faces, hits, None if as_picture else hits.pixels(), False)
    return values


def interpolate_with_slopes(attributes: Tensor, faces: Tensor, hits: Any) -> tuple[Tensor, Tensor]:
    """Attributes at the covered pixels [P, C], and their screen derivatives [P, 2C]."""
    return _interpolate(attributes, faces, hits, hits.pixels(), True)


def scatter(values: Tensor, hits: Any) -> Tensor:
    """Values of the covered pixels in their places [N H W, C]."""
    require_float32(values=values)
    picture: Tensor = _Scatter.apply(values, hits.pixels(), hits.triangle.numel())
    return picture


@dataclass(frozen=True)
class _Job:
    """What does not take part in gradients."""

    faces: Tensor
    triangle: Tensor
    pixels: Tensor | None
    clip_faces: Tensor | None
    """Set if gradients go straight to the positions that were rasterised."""

    @property
    def size(self) -> tuple[int, int]:
        return self.triangle.shape[2], self.triangle.shape[1]


def _interpolate(
    attributes: Tensor, faces: Tensor, hits: Any, pixels: Tensor | None, with_slopes: bool
) -> tuple[Tensor, Tensor]:
    require_float32(attributes=attributes, barycentrics=hits.barycentrics)
    if hits.face_count is not None and len(faces) != hits.face_count:
        raise InputError(
            f"{hits.face_count} faces were rasterised, but {len(faces)} are given.",
            hint="Give one row of corner indices for each rasterised face.",
        )
    barycentrics, derivatives = hits.barycentrics, hits.derivatives if with_slopes else None
    clip = clip_faces = None
    source = hits._cache.get("source")
    if source is not None and source[0] is barycentrics:
        _, clip, clip_faces = source
        barycentrics = barycentrics.detach()
        derivatives = None if derivatives is None else derivatives.detach()
    job = _Job(indices(faces), hits.triangle, pixels, clip_faces)
    values, slopes = _Interpolate.apply(attributes, barycentrics, derivatives, clip, job)
    return values, slopes


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, attributes: Tensor, barycentrics: Tensor, derivatives: Any, clip: Any, job: _Job
    ) -> Any:
        own, weights = plain(attributes), plain(barycentrics)
        slopes_of_weights = None if derivatives is None else plain(derivatives)
        rows, channels, (width, height) = own.shape[-2], own.shape[-1], job.size
        view_rows = rows if own.dim() == 3 and len(own) > 1 else 0
        count = job.triangle.numel() if job.pixels is None else len(job.pixels)
        values = torch.empty((count, channels), device=own.device)
        slopes = torch.empty((0 if derivatives is None else count, 2 * channels), device=own.device)
        gpu, shape = launcher_on(own.device), (rows, view_rows, channels, width, height)
        if job.pixels is None:
            gpu.launch(
                "interpolation", "interpolate_picture", pixel_grid(len(job.triangle), job.size), _THREADS,
                own, job.faces, job.triangle, weights, values, *shape,
            )  # fmt: skip
        else:
            gpu.launch(
                "interpolation", "interpolate_list", blocks(count, _THREADS), _THREADS,
                own, job.faces, job.triangle, weights, slopes_of_weights, job.pixels, values,
                None if derivatives is None else slopes, count, *shape,
            )  # fmt: skip
        ctx.save_for_backward(own, weights, slopes_of_weights, None if clip is None else plain(clip))
        ctx.job, ctx.view_rows = job, view_rows
        ctx.set_materialize_grads(False)
        return values, slopes

    @staticmethod
    def backward(ctx: Any, from_values: Tensor | None, from_slopes: Tensor | None) -> Any:
        attributes, barycentrics, derivatives, clip = ctx.saved_tensors
        need_attributes, need_weights, need_slopes, need_clip = ctx.needs_input_grad[:4]
        if derivatives is None:
            from_slopes = None
        job: _Job = ctx.job
        attributes_grad = torch.zeros_like(attributes) if need_attributes else None
        weights_grad = torch.zeros_like(barycentrics) if need_weights or need_slopes else None
        slopes_grad = (
            torch.zeros_like(derivatives) if weights_grad is not None and from_slopes is not None else None
        )
        clip_grad = torch.zeros_like(clip) if need_clip else None
        gradients = attributes_grad, weights_grad, slopes_grad, clip_grad, None
        if from_values is None and from_slopes is None:
            return (None,) * 5
        structure = _structure(ctx, from_values, from_slopes, gradients)
        count = 0 if job.pixels is None else len(job.pixels)
        grid = (
            pixel_grid(len(job.triangle), job.size, 2) if job.pixels is None else blocks(count, 4 * _THREADS)
        )
        few = from_values is not None and from_slopes is None and attributes.shape[-1] <= _FEW
        few_kernel = "interpolate_few_backward" if job.pixels is None else "interpolate_few_list_backward"
        kernel = few_kernel if few else "interpolate_backward"
        launcher_on(attributes.device).launch("interpolation", kernel, grid, _THREADS, structure.packed)
        return gradients


@dataclass(frozen=True)
class _Structure:
    """Bytes of `struct Backward`, and the tensors that its addresses point to."""

    packed: bytes
    kept: tuple[Tensor | None, ...]


def _structure(
    ctx: Any, from_values: Tensor | None, from_slopes: Tensor | None, gradients: tuple[Any, ...]
) -> _Structure:
    attributes, barycentrics, derivatives, clip = ctx.saved_tensors
    attributes_grad, weights_grad, slopes_grad, clip_grad, _ = gradients
    job: _Job = ctx.job
    values, slopes = (None if g is None else plain(g) for g in (from_values, from_slopes))
    kept = (
        attributes, job.faces, job.triangle, barycentrics, derivatives, job.pixels, values, slopes,
        attributes_grad, clip, job.clip_faces, clip_grad, weights_grad, slopes_grad,
    )  # fmt: skip
    width, height = job.size
    packed = struct.pack(
        "14Q q 8i", *(0 if tensor is None else tensor.data_ptr() for tensor in kept),
        0 if job.pixels is None else len(job.pixels), attributes.shape[-2], ctx.view_rows,
        attributes.shape[-1], 0 if clip is None else clip.shape[1], width, height, len(job.faces), 0,
    )  # fmt: skip
    return _Structure(packed, kept)


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, pixels: Tensor, rows: int) -> Tensor:
        own = plain(values)
        picture = torch.zeros((rows, own.shape[1]), device=own.device)
        launcher_on(own.device).launch(
            "lists",
            "scatter_rows",
            blocks(own.numel(), 256),
            256,
            own,
            pixels,
            picture,
            own.numel(),
            own.shape[1],
        )
        ctx.save_for_backward(pixels)
        return picture

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        (pixels,) = ctx.saved_tensors
        gradient = plain(upstream)
        values = torch.empty((len(pixels), gradient.shape[1]), device=gradient.device)
        launcher_on(gradient.device).launch(
            "lists", "gather_rows", blocks(values.numel(), 256), 256,
            gradient, pixels, values, values.numel(), values.shape[1],
        )  # fmt: skip
        return values, None, None
