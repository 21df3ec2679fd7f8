"""The decoder of the sparse structure: latent grid to occupancy logits at four times its resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.nn import functional

from objectscan.engines.reconviagen.networks.grids import to_voxels
from objectscan.engines.reconviagen.networks.norms import ChannelLayerNorm32
from objectscan.engines.reconviagen.networks.precision import set_precision


@dataclass(frozen=True, slots=True)
class StructureDecoderConfig:
    """Sizes; the defaults are `ss_dec_conv3d_16l8`."""

    latent_channels: int = 8
    channels: Sequence[int] = (512, 128, 32)
    """One a resolution, coarse to fine."""
    blocks: int = 2
    """Residual blocks a resolution."""
    middle_blocks: int = 2


class StructureDecoder(nn.Module):
    """Convolutions at each resolution, pixel shuffle between them."""

    def __init__(self, config: StructureDecoderConfig, *, torso: torch.dtype = torch.float32):
        super().__init__()
        widest, finest = config.channels[0], config.channels[-1]
        self.input_layer = nn.Conv3d(config.latent_channels, widest, 3, padding=1)
        self.middle_block = nn.Sequential(*[_ResidualBlock(widest) for _ in range(config.middle_blocks)])
        layers: list[nn.Module] = [_ResidualBlock(widest) for _ in range(config.blocks)]
        for coarse, fine in pairwise(config.channels):
            layers += [_Upsample(coarse, fine), *(_ResidualBlock(fine) for _ in range(config.blocks))]
        self.blocks = nn.ModuleList(layers)
        self.out_layer = nn.Sequential(
            ChannelLayerNorm32(finest), nn.SiLU(), nn.Conv3d(finest, 1, 3, padding=1)
        )
        set_precision([self.middle_block, self.blocks], torso)
        self.torso = torso

    def forward(self, latent: Float[Tensor, "B C R R R"]) -> Float[Tensor, "B 1 S S S"]:
        """Occupancy logits, float32."""
        grid = self.middle_block(self.input_layer(latent).to(self.torso))
        for block in self.blocks:
            grid = block(grid)
        logits: Tensor = self.out_layer(grid.float())
        return logits


def occupied_voxels(logits: Float[Tensor, "B 1 S S S"]) -> Int32[Tensor, "T 4"]:
    """(item, x, y, z) of voxels with a positive logit, sorted."""
    return (logits[:, 0] > 0).nonzero().int()


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = ChannelLayerNorm32(channels)
        self.norm2 = ChannelLayerNorm32(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, grid: Tensor) -> Tensor:
        hidden = self.conv1(functional.silu(self.norm1(grid)))
        hidden = self.conv2(functional.silu(self.norm2(hidden)))
        return hidden + grid


class _Upsample(nn.Module):
    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv3d(in_channels, 8 * out_channels, 3, padding=1)

    def forward(self, grid: Tensor) -> Tensor:
        return to_voxels(self.conv(grid), 2)
