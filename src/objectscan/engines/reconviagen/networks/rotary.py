"""Rotary position embedding (Su et al., 2021) on two and on three axes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def rotate_2d(
    vectors: Float[Tensor, "B H L D"], positions: Int[Tensor, "B L 2"], *, base: float = 100.0
) -> Float[Tensor, "B H L D"]:
    """Rotate the first half of each vector by y, the second by x; (0, 0) rotates nothing.

    Components j and j + D / 4 of a half turn together, by position * base^(-4 j / D).

    Args:
        vectors: Queries or keys, D divisible by 4.
        positions: (y, x) of each token.
        base: Frequencies run from 1 to nearly 1 / base.
    """
    quarter = vectors.shape[-1] // 4
    steps = torch.arange(quarter, dtype=torch.float32, device=vectors.device) / quarter
    angles = positions[:, None, :, :, None].float() * base**-steps  # [B 1 L 2 D/4]
    cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    first, second = vectors.unflatten(-1, (2, 2, quarter)).unbind(-2)
    turned = torch.stack([first * cosine - second * sine, second * cosine + first * sine], dim=-2)
    return turned.flatten(-3)


def rotate_3d(vectors: Float[Tensor, "*B D"], positions: Int[Tensor, "*B 3"]) -> Float[Tensor, "*B D"]:
    """Rotate neighbouring pairs of components by x, then y, then z, each (D // 2) // 3 pairs; the rest stays.

    TRELLIS' `pe_mode: rope`. No published checkpoint uses it.
    """
    count = vectors.shape[-1] // 2 // 3
    steps = torch.arange(count, dtype=torch.float32, device=vectors.device) / max(count, 1)
    angles = (positions[..., None].float() * 10000.0**-steps).flatten(-2)
    angles = torch.nn.functional.pad(angles, (0, vectors.shape[-1] // 2 - 3 * count))
    pairs = torch.view_as_complex(vectors.float().unflatten(-1, (-1, 2)).contiguous())
    turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles))
    return turned.flatten(-2).to(vectors.dtype)
