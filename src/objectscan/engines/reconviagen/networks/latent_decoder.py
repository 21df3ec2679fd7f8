"""The decoders of the structured latents: to surface features on a finer grid, and to Gaussians."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from objectscan.engines.reconviagen.gaussians import VOXEL_SIZE
from objectscan.engines.reconviagen.hammersley import voxel_offsets
from objectscan.engines.reconviagen.networks.blocks import WindowBlock
from objectscan.engines.reconviagen.networks.embeddings import position_embedding
from objectscan.engines.reconviagen.networks.precision import set_precision
from objectscan.engines.reconviagen.networks.sparse_blocks import SubdivideBlock
from objectscan.engines.reconviagen.networks.voxels import Voxels

MESH_CHANNELS = 101
"""8 corner values, 8 x 3 corner shifts, 21 cube weights, 8 x 6 corner colours; see `extraction`."""
GAUSSIAN_CHANNELS = 14
"""Numbers a Gaussian; see `gaussians`."""


@dataclass(frozen=True, slots=True)
class LatentDecoderConfig:
    """Sizes; the defaults are `slat_dec_*_swin8_B_64l8`."""

    latent_channels: int = 8
    channels: int = 768
    blocks: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    window: int = 8


class LatentTorso(nn.Module):
    """What both decoders begin with: transformer blocks in windows that shift by half with each block."""

    def __init__(self, config: LatentDecoderConfig):
        super().__init__()
        self.config = config
        self.input_layer = nn.Linear(config.latent_channels, config.channels)
        blocks = [
            WindowBlock(config.channels, heads=config.heads, mlp_ratio=config.mlp_ratio)
            for _ in range(config.blocks)
        ]
        self.blocks = nn.ModuleList(blocks)
        self.torso = torch.float32

    def features(self, latents: Float[Tensor, "T C"], voxels: Voxels) -> Float[Tensor, "T D"]:
        """Features of each voxel, in the torso's precision."""
        positions = position_embedding(voxels.coordinates[:, 1:], self.config.channels)
        features = (self.input_layer(latents) + positions).to(self.torso)
        for number, block in enumerate(self.blocks):
            shift = self.config.window // 2 * (number % 2)
            features = block(features, voxels.windows(self.config.window, shift))
        return features


class MeshDecoder(LatentTorso):
    """Surface features at four times the latents' resolution."""

    def __init__(
        self,
        config: LatentDecoderConfig,
        *,
        torso: torch.dtype = torch.float32,
        out_channels: int = MESH_CHANNELS,
    ):
        super().__init__(config)
        quarter, eighth = config.channels // 4, config.channels // 8
        self.upsample = nn.ModuleList(
            [SubdivideBlock(config.channels, quarter), SubdivideBlock(quarter, eighth)]
        )
        self.out_layer = nn.Linear(eighth, out_channels)
        set_precision([self.blocks, self.upsample], torso)
        self.torso = torso

    def forward(self, latents: Float[Tensor, "T C"], voxels: Voxels) -> tuple[Float[Tensor, "S D"], Voxels]:
        """Features for `extraction.surface`, float32, and the voxels they belong to: 64 a latent."""
        features = self.features(latents, voxels)
        for block in self.upsample:
            features = block(features, voxels)
            voxels = voxels.subdivided
        decoded: Tensor = self.out_layer(features.float())
        return decoded, voxels


class GaussianDecoder(LatentTorso):
    """Numbers for `gaussians.activated`."""

    def __init__(
        self, config: LatentDecoderConfig, *, torso: torch.dtype = torch.float32, per_voxel: int = 32
    ):
        super().__init__(config)
        self.out_layer = nn.Linear(config.channels, GAUSSIAN_CHANNELS * per_voxel)
        # Files hold these offsets too; they are what makes a voxel's Gaussians differ from each other.
        offsets = voxel_offsets(per_voxel, voxel_size=VOXEL_SIZE)
        self.register_buffer("offset_perturbation", torch.tensor(offsets, dtype=torch.float32))
        set_precision([self.blocks], torso)
        self.torso = torso

    def forward(self, latents: Float[Tensor, "T C"], voxels: Voxels) -> Float[Tensor, "T D"]:
        """Raw numbers of each voxel's Gaussians, float32."""
        features = self.features(latents, voxels).float()
        decoded: Tensor = self.out_layer(functional.layer_norm(features, features.shape[-1:], eps=1e-5))
        return decoded
