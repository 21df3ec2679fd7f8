"""Visibility and barycentrics on the CPU, with their gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from objectscan.render.cpu import barycentric, coverage
from objectscan.render.devices import array_of, indices_of
from objectscan.render.threads import run_jobs, view_bands


def rasterize(
    clip: Tensor, faces: Tensor, size: tuple[int, int], derivatives: bool, behind: Any, cull: bool
) -> tuple[Tensor, Tensor | None, Tensor, Tensor, dict[str, Any]]:
    """(barycentrics, derivatives, triangle, depth, cache) of `Hits`; `behind` is another one's cache."""
    layer = None if behind is None else (behind["buffer"], behind["triangle"])
    barycentrics, slopes, triangle, depth, buffer = _Rasterize.apply(
        clip, indices_of(faces, clip.shape[1]), size, derivatives, layer, cull
    )
    # "buffer": the float32 depth that coverage compared, which peeling has to compare with again.
    cache = {"buffer": buffer, "triangle": triangle}
    return barycentrics, slopes if derivatives else None, triangle, depth, cache


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, clip: Tensor, triangles: np.ndarray, size: Any, derivatives: bool, layer: Any, cull: bool
    ) -> Any:
        views, (width, height) = clip.shape[0], size
        corners = array_of(clip)
        kind = corners.dtype
        ids = np.zeros((views, height, width), np.int32)
        nearest = np.zeros((views, height, width), np.float32)
        barycentrics = np.zeros((views, height, width, 2), kind)
        depth = np.zeros((views, height, width), kind)
        slopes = np.zeros((views, height, width, 4) if derivatives else (views, 1, 1, 4), kind)
        window = run_jobs(
            lambda view: _snapped(corners[view], width, height), [(view,) for view in range(views)]
        )
        peeled = (nearest, ids) if layer is None else (layer[0].numpy(), layer[1].numpy())

        def job(view: int, first: int, last: int) -> None:
            coverage.visibility(
                corners[view], triangles, *window[view], cull, (first, last), nearest[view], ids[view],
                peeled[0][view], peeled[1][view], layer is not None,
            )  # fmt: skip
            barycentric.resolve(
                corners[view], triangles, ids[view], (first, last), barycentrics[view], depth[view],
                slopes[view], derivatives,
            )  # fmt: skip

        run_jobs(job, view_bands(views, height))
        ctx.saved = corners, triangles, ids, derivatives
        ctx.set_materialize_grads(False)
        outputs = [torch.from_numpy(array) for array in (barycentrics, slopes, ids, depth, nearest)]
        ctx.mark_non_differentiable(*outputs[2:])
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        corners, triangles, ids, derivatives = ctx.saved
        from_barycentrics, from_slopes = upstream[:2]
        use_slopes = derivatives and from_slopes is not None
        if from_barycentrics is None and not use_slopes:
            return (None,) * 6
        views, height, width = ids.shape
        if from_barycentrics is None:
            first_grad = np.zeros((views, height, width, 2), corners.dtype)
        else:
            first_grad = array_of(from_barycentrics)
        if from_slopes is None:
            second_grad = np.zeros((views, 1, 1, 4), corners.dtype)
        else:
            second_grad = array_of(from_slopes)
        jobs = view_bands(views, height)
        parts = np.zeros((len(jobs), *corners.shape[1:]), corners.dtype)

        def job(part: int, view: int, first: int, last: int) -> None:
            barycentric.resolve_backward(
                corners[view], triangles, ids[view], (first, last), first_grad[view], second_grad[view],
                use_slopes, parts[part],
            )  # fmt: skip

        run_jobs(job, [(part, *band) for part, band in enumerate(jobs)])
        gradient = np.zeros_like(corners)
        for part, (view, _, _) in zip(parts, jobs, strict=True):
            gradient[view] += part
        return torch.from_numpy(gradient), None, None, None, None, None


def _snapped(corners: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    window, depth = np.zeros((len(corners), 2), np.int32), np.zeros(len(corners), np.float32)
    coverage.snap_vertices(corners, width, height, window, depth)
    return window, depth
