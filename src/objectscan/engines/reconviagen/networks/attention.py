"""Multi-head attention over dense tokens [B L C] or over the rows [T C] of sparse voxels, same weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from objectscan.engines.reconviagen.networks.norms import HeadRmsNorm
from objectscan.engines.reconviagen.networks.voxels import Voxels
from objectscan.engines.reconviagen.networks.windows import Windows

Context: TypeAlias = Tensor | Sequence[Tensor] | None
"""What cross attention looks at: [B L C], one such tensor a view (the results are averaged), or None: all
tokens zero, the condition of the unguided branch."""


def attend(
    queries: Float[Tensor, "B L H D"], keys: Float[Tensor, "B M H D"], values: Float[Tensor, "B M H D"]
) -> Float[Tensor, "B L H D"]:
    """Softmax attention, scale 1 / sqrt(D)."""
    mixed = functional.scaled_dot_product_attention(
        queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)
    )
    return mixed.transpose(1, 2)


class SelfAttention(nn.Module):
    """Attention among the tokens of one item, or of one window."""

    def __init__(self, channels: int, heads: int, *, normalise_heads: bool):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(channels, 3 * channels)
        self.to_out = nn.Linear(channels, channels)
        self.normalise_heads = normalise_heads
        if normalise_heads:
            self.q_rms_norm = HeadRmsNorm(heads, channels // heads)
            self.k_rms_norm = HeadRmsNorm(heads, channels // heads)

    def forward(
        self, tokens: Float[Tensor, "*B C"], within: Voxels | Windows | None = None
    ) -> Float[Tensor, "*B C"]:
        """Mix tokens.

        Args:
            tokens: [B L C], or rows [T C].
            within: For rows: the voxels (all of one item attend to each other) or windows they belong to.
        """
        queries, keys, values = self.to_qkv(tokens).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        if self.normalise_heads:
            queries, keys = self.q_rms_norm(queries), self.k_rms_norm(keys)
        if within is None:
            mixed = attend(queries, keys, values)
        elif isinstance(within, Windows):
            mixed = within.attend(queries, keys, values)
        else:
            spans = within.spans
            mixed = torch.cat([attend(queries[None, s], keys[None, s], values[None, s])[0] for s in spans])
        projected: Tensor = self.to_out(mixed.flatten(-2))
        return projected


class CrossAttention(nn.Module):
    """Attention of tokens to a context."""

    def __init__(self, channels: int, context_channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels)
        self.to_kv = nn.Linear(context_channels, 2 * channels)
        self.to_out = nn.Linear(channels, channels)

    def forward(
        self, tokens: Float[Tensor, "*B C"], context: Context, within: Voxels | None = None
    ) -> Float[Tensor, "*B C"]:
        """Look at the context; the mean over views if it is a sequence.

        Zero tokens give equal keys, so that attention to them is the constant to_out(bias of the values).
        """
        if context is None:
            constant: Tensor = self.to_out(self.to_kv.bias.chunk(2)[1])
            return constant.expand_as(tokens)
        views = [context] if isinstance(context, Tensor) else context
        queries = self.to_q(tokens).unflatten(-1, (self.heads, -1))
        # A sum instead of a stack: one view's result is held at a time.
        total = self._look(queries, views[0], within)
        for view in views[1:]:
            total = total + self._look(queries, view, within)
        return total / len(views)

    def _look(self, queries: Tensor, context: Tensor, within: Voxels | None) -> Tensor:
        keys, values = self.to_kv(context).unflatten(-1, (2, self.heads, -1)).unbind(-3)
        if within is None:
            mixed = attend(queries, keys, values)
        else:
            parts = [
                attend(queries[None, span], keys[item, None], values[item, None])[0]
                for item, span in enumerate(within.spans)
            ]
            mixed = torch.cat(parts)
        projected: Tensor = self.to_out(mixed.flatten(-2))
        return projected
