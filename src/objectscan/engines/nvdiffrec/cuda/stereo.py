"""Patch match of all views at once, on the GPU."""

from __future__ import annotations

import struct

import numpy as np
import torch
from torch import Tensor

from objectscan.engines.nvdiffrec.cuda.rows import PACKAGE
from objectscan.engines.nvdiffrec.stereo_pictures import Pictures, SearchLimits
from objectscan.render.cuda.launch import blocks, launcher_on

_KERNELS = f"{PACKAGE}/stereo"
_THREADS = 128
_SWEEPS = 8
"""On a chessboard planes spread by five pixels in half a sweep; on the CPU by a whole row in one."""


def match_views(
    pictures: Pictures, limits: SearchLimits, *, seed: int, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """(depths, costs) [N H W] of the best planes at or behind the start; see `stereo_kernels.match`."""

    def sent(array: np.ndarray, kind: type = np.float32) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, kind)).to(device)

    views, height, width = pictures.grey.shape
    lenses = pictures.intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]]
    start = sent(pictures.start_depth)
    planes = torch.cat([start[..., None], sent(pictures.start_normal)], dim=-1)
    cost = torch.empty_like(start)
    held = [
        sent(pictures.grey), sent(pictures.masks), sent(pictures.others, np.int32), sent(pictures.rotations),
        sent(pictures.shifts), sent(lenses), start,
    ]  # fmt: skip
    addresses = struct.pack("7q", *[tensor.data_ptr() for tensor in held])
    sizes = (views, height, width, pictures.others.shape[1], limits.reach_px)

    def search(shrink: float, colour: int, sweep: int) -> bytes:
        mixed = (seed * 1_000_003 + 2 * sweep + colour) * 2_246_822_519 % 2**32
        return struct.pack("3f 6i I", limits.deepest, limits.doubt, shrink, *sizes, colour, mixed)

    gpu = launcher_on(start.device)
    grid = blocks(views * height * width, _THREADS)
    gpu.launch(_KERNELS, "begin_matching", grid, _THREADS, addresses, search(1.0, 0, 0), planes, cost)
    grid = blocks(views * height * ((width + 1) // 2), _THREADS)
    for sweep in range(_SWEEPS):
        for colour in (0, 1):
            options = search(0.5 ** (0.5 * sweep), colour, sweep)
            gpu.launch(_KERNELS, "sweep_matching", grid, _THREADS, addresses, options, planes, cost)
    return planes[..., 0].cpu().numpy(), cost.cpu().numpy()
