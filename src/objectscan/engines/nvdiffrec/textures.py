"""The learnt textures of pass 2: eight material channels a texel, of which a step moves only what it saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.engines.nvdiffrec import texture_kernels
from objectscan.engines.nvdiffrec.sparse_adam import SparseRows
from objectscan.render.threads import run_jobs, split_range
from objectscan.types import Material

CHANNELS = 8
"""Base colour 3 (sRGB), occlusion-roughness-metallic 3, tangent-space normal slope 2."""
LOWER = np.array([0.0, 0.0, 0.0, 0.0, 0.08, 0.0, -1.0, -1.0], np.float32)
UPPER = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], np.float32)


class LearntTextures:
    """A square atlas; `__call__` reads it bilinearly. The size is chosen near one texel a photo pixel."""

    def __init__(self, texels: Float[np.ndarray, "S S 8"]):
        """Start from these values; row 0 is v = 0."""
        self.size_px = texels.shape[0]
        self.rows = SparseRows(
            torch.from_numpy(np.ascontiguousarray(texels.reshape(-1, CHANNELS), np.float32))
        )

    def __call__(self, uv: Float[Tensor, "P 2"]) -> Float[Tensor, "P 8"]:
        """Channels at texture coordinates; differentiable in the texels."""
        handle = torch.zeros((), requires_grad=torch.is_grad_enabled())
        result: Tensor = _Lookup.apply(handle, uv, self)
        return result

    def step(self, rates: Float[np.ndarray, " 8"]) -> None:
        """Move the texels seen since the last step; keep all in range."""
        seen = self.rows.touched.astype(bool)
        self.rows.step(rates)
        self.rows.array[seen] = np.clip(self.rows.array[seen], LOWER, UPPER)

    def texels(self) -> Float[np.ndarray, "S S 8"]:
        """The values now."""
        return self.rows.array.reshape(self.size_px, self.size_px, CHANNELS)


def material_from_texels(texels: Float[np.ndarray, "S S 8"]) -> Material:
    """Split the channels into the textures of a `Material`."""
    slopes = texels[..., 6:8]
    normal = np.concatenate([slopes, np.ones_like(slopes[..., :1])], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return Material(
        base_color_srgb=texels[..., :3].copy(),
        occlusion_roughness_metallic=texels[..., 3:6].copy(),
        normal=normal.astype(np.float32),
    )


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, handle: Tensor, uv: Tensor, textures: LearntTextures) -> Tensor:
        coordinates = np.ascontiguousarray(uv.detach().numpy())
        values = np.zeros((len(coordinates), CHANNELS), np.float32)
        run_jobs(
            lambda a, b: texture_kernels.lookup(
                textures.rows.array, textures.size_px, coordinates, a, b, values
            ),
            split_range(len(coordinates)),
        )
        ctx.coordinates, ctx.textures = coordinates, textures
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, None, None]:
        rows = ctx.textures.rows
        texture_kernels.lookup_backward(
            rows.array, ctx.textures.size_px, ctx.coordinates, np.ascontiguousarray(upstream.numpy()),
            rows.gradient, rows.touched,
        )  # fmt: skip
        return None, None, None
