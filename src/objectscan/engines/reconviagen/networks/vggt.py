"""VGGT (Wang et al., CVPR 2025): tokens of all views, mixed in turn within a view and over all views."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from objectscan.engines.reconviagen.networks.camera_head import CameraHead
from objectscan.engines.reconviagen.networks.point_head import PointHead
from objectscan.engines.reconviagen.networks.vit import (
    DinoConfig,
    DinoTransformer,
    VitBlock,
    normalised_images,
)


@dataclass(frozen=True, slots=True)
class VggtConfig:
    """Sizes; the defaults are VGGT-1B."""

    depth: int = 24
    """Pairs of blocks, one within a view and one over all views."""
    heads: int = 16
    patches: DinoConfig = field(default_factory=DinoConfig)
    kept: tuple[int, ...] = (4, 11, 17, 23)
    """The layers that conditions and the point head read; the camera head reads the last."""


class Aggregator(nn.Module):
    """Tokens a view: one for the camera, four registers, the patches in rows."""

    def __init__(self, config: VggtConfig):
        super().__init__()
        channels, registers = config.patches.channels, config.patches.registers
        self.special_tokens = 1 + registers
        self.patch_px, self.kept = config.patches.patch_px, config.kept
        self.patch_embed = DinoTransformer(config.patches)
        # Index 0 belongs to the first view, whose camera is the frame of all, 1 to every other.
        self.camera_token = nn.Parameter(torch.zeros(1, 2, 1, channels))
        self.register_token = nn.Parameter(torch.zeros(1, 2, registers, channels))
        self.frame_blocks = _blocks(channels, config)
        self.global_blocks = _blocks(channels, config)

    def forward(self, images_srgb: Float[Tensor, "B N 3 H W"]) -> list[Float[Tensor, "B N L C2"]]:
        """Tokens after the kept layers: those within the view, then those over all views, on channels.

        Args:
            images_srgb: In [0, 1]. The first view is the reference: their order matters.
        """
        items, views, _, height, width = images_srgb.shape
        patches = self.patch_embed.patch_tokens(normalised_images(images_srgb.flatten(0, 1)))
        tokens = torch.cat([self._special(items, views), patches], dim=1)  # [B*N L C]
        positions = self._positions(height // self.patch_px, width // self.patch_px, tokens.device)
        within = positions.expand(items * views, -1, -1)
        over_all = positions.repeat(1, views, 1).expand(items, -1, -1)
        kept = []  # at 518 px a layer costs 11 MB a view in float32
        for layer, (frame, everything) in enumerate(zip(self.frame_blocks, self.global_blocks, strict=True)):
            inside = frame(tokens, within)
            tokens = everything(inside.unflatten(0, (items, views)).flatten(1, 2), over_all)
            tokens = tokens.unflatten(1, (views, -1)).flatten(0, 1)
            if layer in self.kept:
                kept.append(torch.cat([inside, tokens], dim=-1).unflatten(0, (items, views)))
        return kept

    def _special(self, items: int, views: int) -> Float[Tensor, "V S C"]:
        both = torch.cat([self.camera_token, self.register_token], dim=2)[0]
        one_item = torch.cat([both[:1], both[1:].expand(views - 1, -1, -1)])
        return one_item.repeat(items, 1, 1)

    def _positions(self, rows: int, columns: int, device: torch.device) -> Int64[Tensor, "1 L 2"]:
        """(y, x) from 1 for patches; (0, 0) for the special tokens, which leaves them unrotated."""
        grid = torch.cartesian_prod(torch.arange(rows, device=device), torch.arange(columns, device=device))
        return torch.cat([grid.new_zeros(self.special_tokens, 2), grid + 1])[None]


class Vggt(nn.Module):
    """The parts of the published file that are used."""

    def __init__(self, config: VggtConfig):
        super().__init__()
        token_channels = 2 * config.patches.channels
        self.aggregator = Aggregator(config)
        self.camera_head = CameraHead(token_channels, heads=config.heads)
        self.point_head = PointHead(token_channels)


def _blocks(channels: int, config: VggtConfig) -> nn.ModuleList:
    blocks = [
        VitBlock(channels, config.heads, mlp_ratio=config.patches.mlp_ratio, eps=1e-5, normalise_heads=True)
        for _ in range(config.depth)
    ]
    return nn.ModuleList(blocks)
