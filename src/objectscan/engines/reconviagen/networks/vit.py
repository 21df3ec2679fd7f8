"""The vision transformer DINOv2 with registers (Oquab et al., 2023; Darcet et al., 2023), and its blocks.

Read `DinoTransformer.prenorm_tokens`. VGGT uses the same blocks with normalised, rotated heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from objectscan.engines.reconviagen.networks.rotary import rotate_2d

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of sRGB values in [0, 1]; every backbone here was trained on images normalised with them."""


@dataclass(frozen=True, slots=True)
class DinoConfig:
    """Sizes of the transformer; the defaults are ViT-L/14."""

    image_size_px: int = 518
    """Edge of the images whose patches the position embedding holds."""
    patch_px: int = 14
    channels: int = 1024
    depth: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    registers: int = 4


def normalised_images(images_srgb: Float[Tensor, "*N 3 H W"]) -> Float[Tensor, "*N 3 H W"]:
    """Images in [0, 1], shifted and scaled to ImageNet's mean and deviation."""
    mean = images_srgb.new_tensor(IMAGENET_MEAN)[:, None, None]
    std = images_srgb.new_tensor(IMAGENET_STD)[:, None, None]
    return (images_srgb - mean) / std


class HeadAttention(nn.Module):
    """Self attention with the tensor names of DINOv2 and VGGT."""

    def __init__(self, channels: int, heads: int, *, normalise_heads: bool):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        if normalise_heads:
            self.q_norm: nn.Module = nn.LayerNorm(channels // heads)
            self.k_norm: nn.Module = nn.LayerNorm(channels // heads)
        else:
            self.q_norm, self.k_norm = nn.Identity(), nn.Identity()

    def forward(
        self, tokens: Float[Tensor, "B L C"], positions: Int[Tensor, "B L 2"] | None
    ) -> Float[Tensor, "B L C"]:
        """Mix tokens; heads are normalised before they are rotated."""
        queries, keys, values = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys = self.q_norm(queries), self.k_norm(keys)
        if positions is not None:
            queries, keys = rotate_2d(queries, positions), rotate_2d(keys, positions)
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class LayerScale(nn.Module):
    """A learnt gain a channel (Touvron et al., 2021)."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), 0.01))

    def forward(self, tokens: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """Scale each channel."""
        return tokens * self.gamma


class Mlp(nn.Module):
    """Two layers with the exact GELU."""

    def __init__(self, channels: int, hidden: int, out_channels: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, out_channels)

    def forward(self, tokens: Float[Tensor, "*B C"]) -> Float[Tensor, "*B O"]:
        """Transform each token."""
        transformed: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return transformed


class VitBlock(nn.Module):
    """Pre-norm transformer block with layer scale."""

    def __init__(
        self, channels: int, heads: int, *, mlp_ratio: float = 4.0, eps: float, normalise_heads: bool = False
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=eps)
        self.attn = HeadAttention(channels, heads, normalise_heads=normalise_heads)
        self.ls1 = LayerScale(channels)
        self.norm2 = nn.LayerNorm(channels, eps=eps)
        self.mlp = Mlp(channels, int(channels * mlp_ratio), channels)
        self.ls2 = LayerScale(channels)

    def forward(
        self, tokens: Float[Tensor, "B L C"], positions: Int[Tensor, "B L 2"] | None = None
    ) -> Float[Tensor, "B L C"]:
        """Transform tokens; `positions` (y, x) rotate queries and keys."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens), positions))
        tokens = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return tokens


class _PatchProjection(nn.Module):
    def __init__(self, channels: int, patch_px: int):
        super().__init__()
        self.proj = nn.Conv2d(3, channels, patch_px, patch_px)


class DinoTransformer(nn.Module):
    """DINOv2 with registers. Tokens: class, registers, patches in rows."""

    def __init__(self, config: DinoConfig):
        super().__init__()
        patches = (config.image_size_px // config.patch_px) ** 2
        self.special_tokens = 1 + config.registers
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.channels))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, config.channels))
        self.register_tokens = nn.Parameter(torch.zeros(1, config.registers, config.channels))
        # Only training masks patches; the published files hold the token all the same.
        self.mask_token = nn.Parameter(torch.zeros(1, config.channels))
        self.patch_embed = _PatchProjection(config.channels, config.patch_px)
        self.blocks = nn.ModuleList(
            [
                VitBlock(config.channels, config.heads, mlp_ratio=config.mlp_ratio, eps=1e-6)
                for _ in range(config.depth)
            ]
        )
        self.norm = nn.LayerNorm(config.channels, eps=1e-6)

    def prenorm_tokens(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N L C"]:
        """All tokens after the last block, before the final norm.

        Args:
            images: From `normalised_images`, edges divisible by the patch edge.
        """
        patches = self.patch_embed.proj(images)
        rows, columns = patches.shape[2:]
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches.flatten(2).mT], dim=1)
        tokens = tokens + self._positions(rows, columns)
        registers = self.register_tokens.expand(len(images), -1, -1)
        tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def patch_tokens(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N P C"]:
        """Tokens of the patches after the final norm, in rows; what VGGT starts from."""
        normalised: Tensor = self.norm(self.prenorm_tokens(images))
        return normalised[:, self.special_tokens :]

    def condition(self, images_srgb: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N L C"]:
        """All tokens of images in [0, 1], normalised without learnt gains: the appearance condition."""
        tokens = self.prenorm_tokens(normalised_images(images_srgb))
        return functional.layer_norm(tokens.float(), tokens.shape[-1:], eps=1e-5)

    def _positions(self, rows: int, columns: int) -> Float[Tensor, "1 L C"]:
        """Position embedding for a grid of patches, resampled if it is not the trained one."""
        edge = round((self.pos_embed.shape[1] - 1) ** 0.5)
        if (rows, columns) == (edge, edge):
            return self.pos_embed
        grid = self.pos_embed[:, 1:].float().mT.unflatten(2, (edge, edge))
        grid = functional.interpolate(grid, (rows, columns), mode="bicubic", antialias=True)
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).mT.to(self.pos_embed.dtype)], dim=1)
