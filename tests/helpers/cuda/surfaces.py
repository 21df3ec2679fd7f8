"""Texture, cube map, light and shading with all their gradients, on any device, for both backends."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.cuda.comparison import Result, gradients_of
from objectscan.render import PrefilterOperator, build_mips, sample_cubemap, sample_texture, shade_split_sum


def numbers(*shape: int, seed: int) -> Tensor:
    """Normal numbers, the same on every device."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def textured(device: str = "cpu", *, wrap: str = "clamp", channels: int = 3, points: int = 3000) -> Result:
    """A trilinear lookup: footprints below a texel and beyond the last level, many points in one texel."""
    texture = numbers(32, 64, channels, seed=1).to(device)
    uv = (numbers(points, 2, seed=2) * 0.6 + 0.5).to(device)
    uv[: points // 4] = 0.3 + 0.001 * uv[: points // 4]
    sizes = 2.0 ** (4 * numbers(points, 1, seed=3).clamp(-2, 2)) / 64
    footprint = (numbers(points, 4, seed=4) * sizes).to(device)

    def work(texture: Tensor, uv: Tensor, footprint: Tensor) -> Tensor:
        return sample_texture(build_mips(texture), uv, footprint=footprint, wrap=wrap)

    return gradients_of(work, texture, uv, footprint)


def bilinear(device: str = "cpu", *, wrap: str = "clamp") -> Result:
    """A lookup in one level, odd sides, coordinates far outside."""
    texture, uv = numbers(7, 5, 2, seed=1).to(device), (numbers(500, 2, seed=2) * 3).to(device)
    return gradients_of(lambda texture, uv: sample_texture([texture], uv, wrap=wrap), texture, uv)


def cube(device: str = "cpu", *, channels: int = 3) -> Result:
    """A trilinear cube map lookup: all faces, edges, corners, levels beyond both ends."""
    directions = numbers(2000, 3, seed=5)
    directions[:64] = torch.sign(directions[:64]) + 0.01 * directions[64:128]  # corners of the cube
    directions[-1] = 0.0
    level = numbers(2000, seed=6) * 1.5 + 1.0
    mips = [numbers(6, edge, edge, channels, seed=edge) for edge in (16, 8, 2)]
    inputs = (tensor.to(device) for tensor in (*mips, directions, level))
    return gradients_of(lambda a, b, c, d, e: sample_cubemap([a, b, c], d, e), *inputs)


def lit(device: str = "cpu") -> Result:
    """Light filtered and shaded; roughness and n.v on both sides of their limits."""
    radiance = numbers(6, 16, 16, 3, seed=1).abs()
    base, material = (torch.rand(2000, 3, generator=torch.Generator().manual_seed(k)) for k in (2, 3))
    normals = F.normalize(numbers(2000, 3, seed=4), dim=1)
    views = F.normalize(normals + 0.9 * numbers(2000, 3, seed=5), dim=1).to(device)
    operator = PrefilterOperator(16)

    def work(radiance: Tensor, base: Tensor, material: Tensor, normals: Tensor) -> Tensor:
        return shade_split_sum(base, material, normals, views, operator(radiance))

    return gradients_of(work, *(tensor.to(device) for tensor in (radiance, base, material, normals)))
