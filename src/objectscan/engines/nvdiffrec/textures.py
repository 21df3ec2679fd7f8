"""The learnt textures of pass 2: eight material channels a texel, of which a step moves only what it saw."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.engines.nvdiffrec.devices import backend_of
from objectscan.engines.nvdiffrec.sparse_adam import SparseRows
from objectscan.types import Material

CHANNELS = 8
"""Base colour 3 (sRGB), occlusion-roughness-metallic 3, tangent-space normal slope 2."""
LOWER = np.array([0.0, 0.0, 0.0, 0.0, 0.08, 0.0, -1.0, -1.0], np.float32)
UPPER = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], np.float32)


class LearntTextures:
    """A square atlas; `__call__` reads it bilinearly. The size is chosen near one texel a photo pixel."""

    def __init__(self, texels: Float[np.ndarray, "S S 8"], *, device: torch.device | str = "cpu"):
        """Start from these values; row 0 is v = 0."""
        self.size_px = texels.shape[0]
        rows = np.ascontiguousarray(texels.reshape(-1, CHANNELS), np.float32)
        self.rows = SparseRows(torch.from_numpy(rows).to(device))

    def __call__(self, uv: Float[Tensor, "P 2"]) -> Float[Tensor, "P 8"]:
        """Channels at texture coordinates; differentiable in the texels."""
        handle = torch.zeros((), requires_grad=torch.is_grad_enabled())
        result: Tensor = _Lookup.apply(handle, uv, self)
        return result

    def step(self, rates: Float[np.ndarray, " 8"]) -> None:
        """Move the texels seen since the last step; keep all in range."""
        self.rows.step(rates, bounds=(LOWER, UPPER))

    def texels(self) -> Float[np.ndarray, "S S 8"]:
        """The values now."""
        return self.rows.saved().reshape(self.size_px, self.size_px, CHANNELS)


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
        coordinates = uv.detach().contiguous()
        ctx.coordinates, ctx.textures = coordinates, textures
        values = backend_of(uv).read_atlas(textures.rows, textures.size_px, coordinates)
        return cast(Tensor, values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, None, None]:
        textures = ctx.textures
        backend_of(upstream).read_atlas_backward(
            textures.rows, textures.size_px, ctx.coordinates, upstream.contiguous()
        )
        return None, None, None
