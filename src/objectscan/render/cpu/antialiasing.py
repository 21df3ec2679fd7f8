"""Adjacency and silhouettes on the CPU, with their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from objectscan.render.cpu import silhouette
from objectscan.render.devices import array_of
from objectscan.render.threads import run_jobs, view_bands


def build_adjacency(faces: Tensor) -> Tensor:
    """The triangle across the edge opposite to each corner."""
    vertices = int(faces.max()) + 1 if len(faces) else 0
    return torch.from_numpy(silhouette.build_adjacency(faces.contiguous().numpy(), vertices))


def antialias(
    image: Tensor, hits: Any, clip: Tensor, faces: Tensor, adjacency: Tensor, max_steps: int
) -> Tensor:
    """The image with pixels beside silhouettes blended."""
    blended: Tensor = _Antialias.apply(image, clip, hits, faces, adjacency, max_steps)
    return blended


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, image: Tensor, clip: Tensor, hits: Any, faces: Tensor, adjacency: Tensor, max_steps: int
    ) -> Tensor:
        views, height, width, channels = image.shape
        corners, pixels = array_of(clip), array_of(image).reshape(views, height * width, channels)
        blended = pixels.copy()
        ids, depth = hits.triangle.numpy(), array_of(hits.depth)
        jobs, triangles, table = view_bands(views, height), faces.numpy(), adjacency.numpy()

        def find(view: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
            return silhouette.find_pairs(
                corners[view], triangles, table, ids[view], depth[view], (first, last), max_steps
            )  # type: ignore[no-any-return]

        found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(views)]
        for (view, _, _), band in zip(jobs, run_jobs(find, jobs), strict=True):
            found[view].append(band)
        pairs = [
            (np.concatenate([band[0] for band in bands]), np.concatenate([band[1] for band in bands]))
            for bands in found
        ]

        def blend(view: int) -> None:
            silhouette.blend(pixels[view], *pairs[view], blended[view])

        run_jobs(blend, [(view,) for view in range(views)])
        ctx.saved = pixels, corners, pairs, (width, height), image.shape
        return torch.from_numpy(blended.reshape(image.shape))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        pixels, corners, pairs, (width, height), shape = ctx.saved
        gradient = array_of(upstream).reshape(pixels.shape)
        image_grad, clip_grad = gradient.copy(), np.zeros_like(corners)
        need_clip = ctx.needs_input_grad[1]

        def job(view: int) -> None:
            silhouette.blend_backward(
                pixels[view], gradient[view], *pairs[view], corners[view], width, height, need_clip,
                image_grad[view], clip_grad[view],
            )  # fmt: skip

        run_jobs(job, [(view,) for view in range(len(pixels))])
        to_image, to_clip = torch.from_numpy(image_grad.reshape(shape)), torch.from_numpy(clip_grad)
        return to_image, to_clip if need_clip else None, None, None, None, None
