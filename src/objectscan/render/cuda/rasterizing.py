"""Visibility and barycentrics on the GPU, with their gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from objectscan.errors import InputError
from objectscan.render.cuda.launch import Grid, indices, launcher_on, plain, require_float32

_THREADS = 128
_QUEUE_CAPACITY = 1 << 17
"""Tiles of large triangles, 2 MiB; what doesn't fit is drawn by one thread a tile: slower, not wrong."""
_LARGEST_SIDE_PX = 32768


def rasterize(
    clip: Tensor, faces: Tensor, size: tuple[int, int], derivatives: bool, behind: Any, cull: bool
) -> tuple[Tensor, Tensor | None, Tensor, Tensor, dict[str, Any]]:
    """(barycentrics, derivatives, triangle, depth, cache) of `Hits`; `behind` is another one's cache."""
    require_float32(clip_positions=clip)
    if max(size) > _LARGEST_SIDE_PX:
        raise InputError(
            f"A picture of {size[0]} x {size[1]} pixels can't be drawn.",
            hint=f"Sides of up to {_LARGEST_SIDE_PX} are possible.",
        )
    triangles = indices(faces)
    layer = None if behind is None else behind["keys"]
    barycentrics, slopes, triangle, depth, keys = _Rasterize.apply(
        clip, triangles, size, derivatives, layer, cull
    )
    cache: dict[str, Any] = {"keys": keys}
    if barycentrics.requires_grad:
        # Gradients of interpolated values go straight to the positions, with no picture of them between.
        cache["source"] = (barycentrics, clip, triangles)
    return barycentrics, slopes if derivatives else None, triangle, depth, cache


def pixel_grid(views: int, size: tuple[int, int], side: int = 1) -> Grid:
    """Blocks of 32 x 4 threads over every picture, each thread with `side` x `side` pixels."""
    width, height = size
    return (-(-width // (32 * side)), -(-height // (4 * side)), views)


def visibility(
    clip: Tensor, triangles: Tensor, size: tuple[int, int], layer: Tensor | None, cull: bool
) -> Tensor:
    """Keys [N, H, W]: sortable depth << 32 | triangle, all ones where nothing is."""
    (views, vertices), (width, height), count = clip.shape[:2], size, len(triangles)
    gpu = launcher_on(clip.device)
    keys = torch.empty((views, height, width), dtype=torch.int64, device=clip.device)
    window = torch.empty((views * vertices, 4), dtype=torch.int32, device=clip.device)
    queue = torch.empty((_QUEUE_CAPACITY, 4), dtype=torch.int32, device=clip.device)
    queued = torch.empty(1, dtype=torch.int32, device=clip.device)
    work = max(views * vertices, keys.numel(), 1)
    gpu.launch(
        "visibility", "prepare", (min(-(-work // 256), 16 * gpu.multiprocessors), 1, 1), 256,
        clip, window, keys, queued, views * vertices, keys.numel(), width, height,
    )  # fmt: skip
    each = _triangles_of_block(count, views, gpu.multiprocessors)
    shared = (clip, window, triangles, keys, layer)
    gpu.launch(
        "visibility", "draw_triangles", (-(-count // each), views, 1), _THREADS,
        *shared, count, vertices, width, height, int(cull), each, queue, queued, _QUEUE_CAPACITY,
    )  # fmt: skip
    gpu.launch(
        "visibility", "draw_queue", (4 * gpu.multiprocessors, 1, 1), _THREADS,
        *shared, vertices, width, height, int(cull), queue, queued, _QUEUE_CAPACITY,
    )  # fmt: skip
    return keys


def _triangles_of_block(count: int, views: int, multiprocessors: int) -> int:
    """128, or fewer if there would be less than eight blocks for each multiprocessor."""
    each = _THREADS
    while each > 8 and -(-count // each) * views < 8 * multiprocessors:
        each //= 2
    return each


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, clip: Tensor, triangles: Tensor, size: Any, derivatives: bool, layer: Any, cull: bool
    ) -> Any:
        corners = plain(clip)
        views, (width, height) = len(corners), size
        keys = visibility(corners, triangles, size, layer, cull)
        shape, device = (views, height, width), corners.device
        ids = torch.empty(shape, dtype=torch.int32, device=device)
        barycentrics = torch.empty((*shape, 2), device=device)
        depth = torch.empty(shape, device=device)
        slopes = torch.empty((*shape, 4) if derivatives else (0, 4), device=device)
        launcher_on(device).launch(
            "resolve", "resolve", pixel_grid(views, size), _THREADS,
            corners, triangles, keys, ids, barycentrics, depth, slopes if derivatives else None,
            corners.shape[1], width, height,
        )  # fmt: skip
        ctx.save_for_backward(corners, triangles, ids)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(ids, depth, keys)
        return barycentrics, slopes, ids, depth, keys

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        corners, triangles, ids = ctx.saved_tensors
        views, height, width = ids.shape
        first, second = (None if gradient is None else plain(gradient) for gradient in upstream[:2])
        if second is not None and not len(second):
            second = None
        if first is None and second is None:
            return (None,) * 6
        gradient = torch.zeros_like(corners)
        launcher_on(corners.device).launch(
            "resolve", "resolve_backward", pixel_grid(views, (width, height), 2), _THREADS,
            corners, triangles, ids, first, second, gradient, corners.shape[1], width, height,
        )  # fmt: skip
        return gradient, None, None, None, None, None
