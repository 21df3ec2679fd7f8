"""Transformer blocks, for dense tokens [B L C] and for the rows [T C] of voxels alike."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from objectscan.engines.reconviagen.networks.attention import Context, CrossAttention, SelfAttention
from objectscan.engines.reconviagen.networks.norms import LayerNorm32
from objectscan.engines.reconviagen.networks.voxels import Voxels
from objectscan.engines.reconviagen.networks.windows import Windows


class FeedForward(nn.Module):
    """Two layers with GELU in its tanh form."""

    def __init__(self, channels: int, ratio: float):
        super().__init__()
        hidden = int(channels * ratio)
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, channels)
        )

    def forward(self, tokens: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """Transform each token."""
        transformed: Tensor = self.mlp(tokens)
        return transformed


class CrossBlock(nn.Module):
    """Self attention, attention to a context, feed-forward. Only the norm before the context is learnt."""

    def __init__(self, channels: int, context_channels: int, *, heads: int, mlp_ratio: float):
        super().__init__()
        self.norm1 = LayerNorm32(channels, affine=False)
        self.norm2 = LayerNorm32(channels, affine=True)
        self.norm3 = LayerNorm32(channels, affine=False)
        self.self_attn = SelfAttention(channels, heads, normalise_heads=True)
        self.cross_attn = CrossAttention(channels, context_channels, heads)
        self.mlp = FeedForward(channels, mlp_ratio)

    def forward(self, tokens: Float[Tensor, "B L C"], context: Context) -> Float[Tensor, "B L C"]:
        """Transform tokens with the context in view."""
        tokens = tokens + self.self_attn(self.norm1(tokens))
        tokens = tokens + self.cross_attn(self.norm2(tokens), context)
        tokens = tokens + self.mlp(self.norm3(tokens))
        return tokens


class ModulatedCrossBlock(CrossBlock):
    """`CrossBlock` that the time shifts, scales and gates (DiT, Peebles and Xie, 2023)."""

    def __init__(self, channels: int, context_channels: int, *, heads: int, mlp_ratio: float):
        super().__init__(channels, context_channels, heads=heads, mlp_ratio=mlp_ratio)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(channels, 6 * channels))

    def forward(  # type: ignore[override]
        self,
        tokens: Float[Tensor, "*B C"],
        context: Context,
        time: Float[Tensor, "N C"],
        within: Voxels | None = None,
    ) -> Float[Tensor, "*B C"]:
        """Transform tokens with the context in view, at embedded times of the items.

        Args:
            tokens: [N L C], or the rows [T C] of `within`.
            context: See `attention.Context`.
            time: One embedding an item.
            within: The voxels that sparse rows belong to.
        """
        modulation = self.adaLN_modulation(time)
        modulation = modulation[:, None] if within is None else within.per_row(modulation)
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, dim=-1)
        seen = self.norm1(tokens) * (1 + scale1) + shift1
        tokens = tokens + self.self_attn(seen, within) * gate1
        tokens = tokens + self.cross_attn(self.norm2(tokens), context, within)
        seen = self.norm3(tokens) * (1 + scale2) + shift2
        return tokens + self.mlp(seen) * gate2


class WindowBlock(nn.Module):
    """Attention inside windows and feed-forward (Swin, Liu et al., 2021, without learnt norms)."""

    def __init__(self, channels: int, *, heads: int, mlp_ratio: float):
        super().__init__()
        self.norm1 = LayerNorm32(channels, affine=False)
        self.norm2 = LayerNorm32(channels, affine=False)
        self.attn = SelfAttention(channels, heads, normalise_heads=False)
        self.mlp = FeedForward(channels, mlp_ratio)

    def forward(self, tokens: Float[Tensor, "T C"], windows: Windows) -> Float[Tensor, "T C"]:
        """Mix the rows of each window."""
        tokens = tokens + self.attn(self.norm1(tokens), windows)
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens
