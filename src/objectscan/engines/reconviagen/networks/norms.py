"""Normalisations that compute in float32 whatever the precision around them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from objectscan.engines.reconviagen.networks.voxels import Voxels


class LayerNorm32(nn.LayerNorm):
    """LayerNorm over the last dimension in float32, cast back."""

    def __init__(self, channels: int, *, affine: bool, eps: float = 1e-6):
        super().__init__(channels, eps=eps, elementwise_affine=affine)

    def forward(self, input: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """Normalise each row."""
        return super().forward(input.float()).to(input.dtype)


class ChannelLayerNorm32(LayerNorm32):
    """LayerNorm over the channels of a volume. Its eps is 1e-5, unlike the transformers' 1e-6."""

    def __init__(self, channels: int):
        super().__init__(channels, affine=True, eps=1e-5)

    def forward(self, input: Float[Tensor, "B C X Y Z"]) -> Float[Tensor, "B C X Y Z"]:
        """Normalise each cell."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1).contiguous()


class HeadRmsNorm(nn.Module):
    """Unit length times sqrt(d) times a learnt gain, for each head: RMS norm without eps in its mean."""

    def __init__(self, heads: int, head_channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(heads, head_channels))

    def forward(self, vectors: Float[Tensor, "*B H D"]) -> Float[Tensor, "*B H D"]:
        """Normalise each head's vector."""
        unit = functional.normalize(vectors.float(), dim=-1)
        return (unit * self.gamma * vectors.shape[-1] ** 0.5).to(vectors.dtype)


class VoxelGroupNorm32(nn.Module):
    """Group norm whose statistics run over all voxels of one batch item."""

    def __init__(self, groups: int, channels: int):
        super().__init__()
        self.groups, self.eps = groups, 1e-5
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Float[Tensor, "T C"], voxels: Voxels) -> Float[Tensor, "T C"]:
        """Normalise the groups of channels of each item."""
        result = torch.zeros_like(features)
        for span in voxels.spans:
            grouped = features[span].float().unflatten(1, (self.groups, -1))
            variance, mean = torch.var_mean(grouped, dim=(0, 2), correction=0, keepdim=True)
            unit = ((grouped - mean) * (variance + self.eps).rsqrt()).flatten(1)
            result[span] = (unit * self.weight + self.bias).to(features.dtype)
        return result
