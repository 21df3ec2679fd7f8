"""Attention inside groups of rows, such as the non-empty windows of a sparse grid."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

LENGTHS = (8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
"""Windows are padded to the next of these (longer ones to multiples of 512): few calls, little waste."""
ROWS_AT_ONCE = 1 << 17
"""Padded rows a call: bounds the copies of queries, keys and values to 0.6 GB at 768 channels in float16."""


class Windows:
    """Rows grouped by a label; rows attend to rows of the same label only."""

    def __init__(self, label: Int64[Tensor, " T"]):
        """Group the rows. Their order inside a group does not matter."""
        self.window_of_row: Int64[Tensor, " T"]
        """Ordinal of each row's group, groups ordered by label."""
        self.lengths: Int64[Tensor, " W"]
        _, self.window_of_row, self.lengths = torch.unique(label, return_inverse=True, return_counts=True)
        self._order = torch.argsort(self.window_of_row, stable=True)
        self._batches = list(self._padded_batches())

    def attend(
        self, queries: Float[Tensor, "T H D"], keys: Float[Tensor, "T H D"], values: Float[Tensor, "T H D"]
    ) -> Float[Tensor, "T H D"]:
        """Softmax attention inside each group, scale 1 / sqrt(D)."""
        result = torch.zeros_like(values)
        for rows, is_real in self._batches:
            asking, asked, told = (part[rows].transpose(1, 2) for part in (queries, keys, values))
            mask = is_real[:, None, None, :]
            mixed = functional.scaled_dot_product_attention(asking, asked, told, mask).transpose(1, 2)
            result[rows[is_real]] = mixed[is_real].to(result.dtype)
        return result

    def _padded_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows [W L] of windows of similar length, and which of them are no padding."""
        start = self.lengths.cumsum(0) - self.lengths
        shortest = 0
        longest = int(self.lengths.max()) if len(self.lengths) else 0
        steps = [length for length in LENGTHS if length < longest]
        for padded in [*steps, -(-longest // 8) * 8]:
            chosen = ((self.lengths > shortest) & (self.lengths <= padded)).nonzero().squeeze(1)
            place = torch.arange(padded, device=start.device)
            for part in chosen.split(max(1, ROWS_AT_ONCE // padded)) if len(chosen) else ():
                is_real = place < self.lengths[part, None]
                rows = start[part, None] + torch.where(is_real, place, 0)
                yield self._order[rows], is_real
            shortest = padded
