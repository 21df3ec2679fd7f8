"""The two fusers of ReconViaGen: geometry tokens of VGGT with appearance tokens of DINOv2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from objectscan.engines.reconviagen.networks.blocks import CrossBlock
from objectscan.engines.reconviagen.networks.precision import set_precision

LEVELS = 4
"""VGGT layers that are fused, one after the other."""


@dataclass(frozen=True, slots=True)
class ConditionConfig:
    """Sizes; the defaults are the published ones."""

    channels: int = 1024
    context_channels: int = 3072
    """VGGT's 2048 and DINOv2's 1024."""
    heads: int = 16
    mlp_ratio: float = 4.0
    tokens: int = 4096
    """Of the structure's condition."""


class StructureCondition(nn.Module):
    """Learnt tokens that look at all views' patches: the condition of the sparse structure."""

    def __init__(self, config: ConditionConfig, *, torso: torch.dtype = torch.float32):
        super().__init__()
        self.multiview_cond_tokens = nn.Parameter(torch.zeros(1, config.tokens, config.channels, dtype=torso))
        blocks = [
            CrossBlock(
                config.channels, config.context_channels, heads=config.heads, mlp_ratio=config.mlp_ratio
            )
            for _ in range(LEVELS)
        ]
        self.cond_blocks = nn.ModuleList(blocks)
        set_precision([self.cond_blocks], torso)

    def forward(
        self, geometry: Sequence[Float[Tensor, "B N P G"]], appearance: Float[Tensor, "B N P A"]
    ) -> Float[Tensor, "B T C"]:
        """Fuse all views.

        Args:
            geometry: VGGT's layers 4, 11, 17, 23: the patches' tokens only.
            appearance: DINOv2's tokens of the same patches.
        """
        condition = self.multiview_cond_tokens.expand(len(appearance), -1, -1)
        for block, level in zip(self.cond_blocks, geometry, strict=True):
            context = torch.cat([level, appearance.to(level.dtype)], dim=-1).flatten(1, 2)
            condition = block(condition, context.to(condition.dtype))
        return condition


class LatentCondition(nn.Module):
    """Each token of each view by itself: the per-view conditions of the structured latents."""

    def __init__(self, config: ConditionConfig, *, torso: torch.dtype = torch.float32):
        super().__init__()
        # The published names hold an inner index: each layer was a sequence of one and a ReLU.
        layers = [
            nn.Sequential(nn.Linear(config.context_channels, config.channels), nn.ReLU())
            for _ in range(LEVELS)
        ]
        self.linear_blocks = nn.ModuleList(layers)
        set_precision([self.linear_blocks], torso)
        self.torso = torso

    def forward(
        self, geometry: Sequence[Float[Tensor, "N L G"]], appearance: Float[Tensor, "N L C"]
    ) -> Float[Tensor, "N L C"]:
        """Fuse the tokens: camera with class, registers with registers, patches with patches.

        Args:
            geometry: VGGT's layers 4, 11, 17, 23 with their special tokens.
            appearance: DINOv2's tokens with theirs.
        """
        appearance = appearance.to(self.torso)
        condition = appearance
        for layer, level in zip(self.linear_blocks, geometry, strict=True):
            condition = layer(torch.cat([level.to(self.torso), condition], dim=-1)) + appearance
        return condition
