"""The difference between pictures and photos, on the GPU."""

from __future__ import annotations

import struct

import torch
from torch import Tensor

from objectscan.engines.nvdiffrec.cuda.rows import PACKAGE
from objectscan.render.cuda.launch import blocks, launcher_on, plain

_KERNELS = f"{PACKAGE}/photos"
_THREADS = 128
_MOST_STRIDES = 8


def photo_loss(
    rendered: Tensor, target: Tensor, weights: tuple[float, float, float], strides_px: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """The three parts of `photo_loss`, and the gradient of their weighted sum by `rendered`."""
    views, height, width = rendered.shape[:3]
    parts, slopes = torch.zeros(3, device=rendered.device), torch.empty_like(plain(rendered))
    area = (target[..., 3] * target[..., 4]).sum()
    unused = [0] * (_MOST_STRIDES - len(strides_px))
    options = struct.pack(f"3f {1 + _MOST_STRIDES}i", *weights, len(strides_px), *strides_px, *unused)
    launcher_on(rendered.device).launch(
        _KERNELS, "photo_loss", blocks(views * height * width, _THREADS), _THREADS, plain(rendered),
        plain(target), area, options, parts, slopes, views, height, width,
    )  # fmt: skip
    return parts, slopes
