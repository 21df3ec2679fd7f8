"""Adjacency and silhouettes on the GPU, with their gradients."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from objectscan.render.cuda.launch import blocks, indices, launcher_on, plain, require_float32
from objectscan.render.cuda.rasterizing import pixel_grid

_THREADS = 128
_FEWEST_PAIRS, _PIXELS_A_PAIR = 1 << 16, 8
"""Capacity of the list of pairs, 2 bytes a pixel. A picture with more silhouettes only takes longer."""


def build_adjacency(faces: Tensor) -> Tensor:
    """The triangle across the edge opposite to each corner; -1 at a boundary or an edge of more than two."""
    triangles = indices(faces)
    half_edges = triangles.numel()
    slots = 1 << max(half_edges + half_edges // 4, 1).bit_length()
    gpu = launcher_on(faces.device)
    keys = torch.full((slots,), -1, dtype=torch.int64, device=faces.device)
    values = torch.zeros(slots, dtype=torch.int64, device=faces.device)
    adjacency = torch.empty_like(triangles)
    grid = blocks(half_edges, 256)
    gpu.launch("adjacency", "insert_edges", grid, 256, triangles, keys, values, half_edges, slots - 1)
    gpu.launch(
        "adjacency", "link_edges", grid, 256, triangles, keys, values, adjacency, half_edges, slots - 1
    )
    return adjacency


def antialias(
    image: Tensor, hits: Any, clip: Tensor, faces: Tensor, adjacency: Tensor, max_steps: int
) -> Tensor:
    """The image with pixels beside silhouettes blended."""
    require_float32(image=image, clip_positions=clip)
    scene = _Scene(indices(faces), indices(adjacency), hits.triangle, plain(hits.depth), max_steps)
    blended: Tensor = _Antialias.apply(image, clip, scene)
    return blended


@dataclass(frozen=True)
class _Scene:
    faces: Tensor
    adjacency: Tensor
    triangle: Tensor
    depth: Tensor
    max_steps: int

    def packed(self, clip: Tensor) -> bytes:
        """Bytes of `struct Scene`."""
        views, height, width = self.triangle.shape
        tensors = (clip, self.faces, self.adjacency, self.triangle, self.depth)
        addresses = [tensor.data_ptr() for tensor in tensors]
        return struct.pack("5Q 6i", *addresses, clip.shape[1], width, height, views, self.max_steps, 0)


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, clip: Tensor, scene: _Scene) -> Tensor:
        pixels, corners = plain(image), plain(clip)
        views, height, width = scene.triangle.shape
        gpu = launcher_on(pixels.device)
        capacity = max(_FEWEST_PAIRS, views * height * width // _PIXELS_A_PAIR)
        pairs = torch.empty((capacity, 2), dtype=torch.int64, device=pixels.device)
        count = torch.zeros(1, dtype=torch.int32, device=pixels.device)
        blended = pixels.clone()
        structure = scene.packed(corners)
        gpu.launch(
            "silhouette", "find_pairs", pixel_grid(views, (width, height)), _THREADS,
            structure, pairs, count, capacity,
        )  # fmt: skip
        gpu.launch(
            "silhouette", "blend_pairs", (8 * gpu.multiprocessors, 1, 1), _THREADS,
            structure, pairs, count, capacity, pixels, blended, pixels.shape[-1],
        )  # fmt: skip
        ctx.save_for_backward(pixels, corners, pairs, count)
        ctx.scene = scene
        return blended

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        pixels, corners, pairs, count = ctx.saved_tensors
        gradient = plain(upstream)
        image_grad = gradient.clone() if ctx.needs_input_grad[0] else None
        clip_grad = torch.zeros_like(corners) if ctx.needs_input_grad[1] else None
        gpu = launcher_on(pixels.device)
        gpu.launch(
            "silhouette", "blend_pairs_backward", (8 * gpu.multiprocessors, 1, 1), _THREADS,
            ctx.scene.packed(corners), pairs, count, len(pairs), pixels, gradient, image_grad, clip_grad,
            pixels.shape[-1],
        )  # fmt: skip
        return image_grad, clip_grad, None
