"""Mixed precision as published: large matrices in half precision, norms and the outer layers in float32."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from objectscan.engines.reconviagen.networks.convolution import VoxelConvolution1, VoxelConvolution3

MATRICES = (nn.Linear, nn.Conv3d, VoxelConvolution1, VoxelConvolution3)
"""Layers whose weights take part; gains and biases of norms stay float32."""


def set_precision(parts: Iterable[nn.Module], dtype: torch.dtype) -> None:
    """Convert the matrices inside `parts`; everything else keeps its type."""
    for part in parts:
        for layer in part.modules():
            if isinstance(layer, MATRICES):
                layer.to(dtype)
