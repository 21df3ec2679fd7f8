"""The flow of the structured latents: a sparse U-net with a transformer at its bottom (TRELLIS)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from objectscan.engines.reconviagen.networks.attention import Context
from objectscan.engines.reconviagen.networks.blocks import ModulatedCrossBlock
from objectscan.engines.reconviagen.networks.embeddings import TimeEmbedding, position_embedding
from objectscan.engines.reconviagen.networks.precision import set_precision
from objectscan.engines.reconviagen.networks.sparse_blocks import VoxelResidualBlock
from objectscan.engines.reconviagen.networks.voxels import Voxels


@dataclass(frozen=True, slots=True)
class LatentFlowConfig:
    """Sizes; the defaults are `slat_flow_img_dit_L_64l8p2`."""

    latent_channels: int = 8
    outer_channels: int = 128
    """At the full resolution; the transformer works at half of it."""
    channels: int = 1024
    context_channels: int = 1024
    blocks: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0


class LatentFlow(nn.Module):
    """Velocity of the latents of occupied voxels."""

    def __init__(self, config: LatentFlowConfig, *, torso: torch.dtype = torch.float32):
        super().__init__()
        outer, inner = config.outer_channels, config.channels
        self.t_embedder = TimeEmbedding(inner)
        self.input_layer = nn.Linear(config.latent_channels, outer)
        self.input_blocks = nn.ModuleList(
            [
                VoxelResidualBlock(outer, outer, inner),
                VoxelResidualBlock(outer, inner, inner, resample="halve"),
            ]
        )
        blocks = [
            ModulatedCrossBlock(
                inner, config.context_channels, heads=config.heads, mlp_ratio=config.mlp_ratio
            )
            for _ in range(config.blocks)
        ]
        self.blocks = nn.ModuleList(blocks)
        self.out_blocks = nn.ModuleList(
            [
                VoxelResidualBlock(2 * inner, outer, inner, resample="double"),
                VoxelResidualBlock(2 * outer, outer, inner),
            ]
        )
        self.out_layer = nn.Linear(outer, config.latent_channels)
        set_precision([self.input_blocks, self.blocks, self.out_blocks], torso)
        self.channels, self.torso = inner, torso

    def forward(
        self, latents: Float[Tensor, "T C"], voxels: Voxels, times: Float[Tensor, " B"], context: Context
    ) -> Float[Tensor, "T C"]:
        """Velocity at times in [0, 1000], float32.

        Args:
            latents: Noisy latents of `voxels`.
            voxels: Occupied voxels.
            times: One an item.
            context: Tokens [B M K], one such tensor a view, or None for the unguided branch.
        """
        time = self.t_embedder(times).to(self.torso)
        if isinstance(context, Tensor):
            context = context.to(self.torso)
        elif context is not None:
            context = [view.to(self.torso) for view in context]
        coarse = voxels.halved.voxels
        outer = self.input_blocks[0](self.input_layer(latents).to(self.torso), voxels, time)
        inner = self.input_blocks[1](outer, voxels, time)
        positions = position_embedding(coarse.coordinates[:, 1:], self.channels)
        tokens = inner + positions.to(self.torso)
        for block in self.blocks:
            tokens = block(tokens, context, time, coarse)
        features = self.out_blocks[0](torch.cat([tokens, inner], dim=1), voxels, time)
        features = self.out_blocks[1](torch.cat([features, outer], dim=1), voxels, time)
        features = functional.layer_norm(features, features.shape[-1:], eps=1e-5)
        velocity: Tensor = self.out_layer(features.float())
        return velocity
