"""The flow of the sparse structure: a diffusion transformer over a small dense grid (TRELLIS)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from objectscan.engines.reconviagen.networks.attention import Context
from objectscan.engines.reconviagen.networks.blocks import ModulatedCrossBlock
from objectscan.engines.reconviagen.networks.embeddings import TimeEmbedding, position_embedding
from objectscan.engines.reconviagen.networks.grids import to_patches, to_voxels
from objectscan.engines.reconviagen.networks.precision import set_precision


@dataclass(frozen=True, slots=True)
class StructureFlowConfig:
    """Sizes; the defaults are `ss_flow_img_dit_L_16l8`."""

    resolution: int = 16
    latent_channels: int = 8
    channels: int = 1024
    context_channels: int = 1024
    blocks: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    patch: int = 1
    """Edge of the cube of cells that one token stands for."""


class StructureFlow(nn.Module):
    """Velocity of the structure's latent grid."""

    def __init__(self, config: StructureFlowConfig, *, torso: torch.dtype = torch.float32):
        super().__init__()
        self.config = config
        patch_channels = config.latent_channels * config.patch**3
        cells = torch.cartesian_prod(*[torch.arange(config.resolution // config.patch)] * 3)
        self.register_buffer("pos_emb", position_embedding(cells, config.channels))
        self.t_embedder = TimeEmbedding(config.channels)
        self.input_layer = nn.Linear(patch_channels, config.channels)
        blocks = [
            ModulatedCrossBlock(
                config.channels, config.context_channels, heads=config.heads, mlp_ratio=config.mlp_ratio
            )
            for _ in range(config.blocks)
        ]
        self.blocks = nn.ModuleList(blocks)
        self.out_layer = nn.Linear(config.channels, patch_channels)
        set_precision([self.blocks], torso)
        self.torso = torso

    def forward(
        self, latent: Float[Tensor, "B C R R R"], times: Float[Tensor, " B"], context: Context
    ) -> Float[Tensor, "B C R R R"]:
        """Velocity at times in [0, 1000], float32.

        Args:
            latent: Noisy latent grid, axes x, y, z.
            times: One an item.
            context: Condition tokens [B M K], or None for the unguided branch.
        """
        cells = to_patches(latent, self.config.patch)
        edge = cells.shape[-1]
        tokens = self.input_layer(cells.flatten(2).mT) + self.pos_emb
        tokens, time = tokens.to(self.torso), self.t_embedder(times).to(self.torso)
        if isinstance(context, Tensor):
            context = context.to(self.torso)
        elif context is not None:
            context = [view.to(self.torso) for view in context]
        for block in self.blocks:
            tokens = block(tokens, context, time)
        tokens = functional.layer_norm(tokens.float(), tokens.shape[-1:], eps=1e-5)
        velocity = self.out_layer(tokens).mT.unflatten(2, (edge, edge, edge))
        return to_voxels(velocity, self.config.patch)
