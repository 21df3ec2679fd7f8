"""Submanifold convolution (Graham and van der Maaten, 2017): sparse voxels in, the same voxels out."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from objectscan.engines.reconviagen.networks import implicit_product
from objectscan.engines.reconviagen.networks.voxels import Pairs, Voxels

CHUNK_BYTES = 64 << 20
"""Gathered rows and their products stay below this; one core reaches 0.8 of a plain product's speed."""


class _Kernel(nn.Module):
    """Holds `weight` [out kx ky kz in], the memory order of the published files, and `bias`."""

    def __init__(self, in_channels: int, out_channels: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out_channels, size, size, size, in_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_uniform_(self.weight.view(out_channels, -1), a=math.sqrt(5))


class VoxelConvolution3(nn.Module):
    """Kernel 3x3x3: out[p] = bias + sum over active p + d of W[:, dx + 1, dy + 1, dz + 1, :] x[p + d]."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = _Kernel(in_channels, out_channels, 3)

    def forward(self, features: Float[Tensor, "T I"], voxels: Voxels) -> Float[Tensor, "T O"]:
        """Convolve; sums run in float32."""
        matrices = self.conv.weight.flatten(1, 3).permute(1, 2, 0).contiguous()  # [27 I O]
        if implicit_product.is_available(features) and not torch.is_grad_enabled():
            return implicit_product.gathered_product(features, voxels.neighbours, matrices, self.conv.bias)
        total = (features @ matrices[13]).float() + self.conv.bias.float()
        for pairs in voxels.pairs:
            self._add(total, features, matrices[pairs.position], pairs)
        return total.to(features.dtype)

    @staticmethod
    def _add(total: Tensor, features: Tensor, matrix: Tensor, pairs: Pairs) -> None:
        """Add one kernel position: gather, multiply, scatter, in bounded pieces."""
        row_bytes = features.element_size() * matrix.shape[0] + (4 + matrix.element_size()) * matrix.shape[1]
        rows = max(1, CHUNK_BYTES // row_bytes)
        for target, source in zip(pairs.rows.split(rows), pairs.neighbours.split(rows), strict=True):
            total.index_add_(0, target, (features.index_select(0, source) @ matrix).float())


class VoxelConvolution1(nn.Module):
    """Kernel 1x1x1 as the published weights were trained: the weight's memory is read as [in out].

    The library used in training multiplied by `weight.reshape(in, out)`, which is not the transpose of the
    tensor [out 1 1 1 in] that it stores (measured: the natural form differs by O(1)).
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = _Kernel(in_channels, out_channels, 1)

    def forward(self, features: Float[Tensor, "T I"]) -> Float[Tensor, "T O"]:
        """Multiply each row."""
        weight = self.conv.weight
        return features @ weight.reshape(weight.shape[-1], weight.shape[0]) + self.conv.bias
