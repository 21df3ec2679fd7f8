"""Sinusoids of positions and times."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def position_embedding(positions: Int[Tensor, "T 3"], channels: int) -> Float[Tensor, "T C"]:
    """[sin, cos] of x, then y, then z at (channels // 3) // 2 frequencies each, padded with zeros.

    float32, frequencies 10000^(-k / count) (Vaswani et al., 2017).
    """
    count = channels // 3 // 2
    steps = torch.arange(count, dtype=torch.float32, device=positions.device) / count
    angles = positions[..., None].float() * (1 / 10000.0**steps)
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)
    return nn.functional.pad(waves, (0, channels - waves.shape[1]))


def time_waves(times: Float[Tensor, " B"], channels: int = 256) -> Float[Tensor, "B C"]:
    """[cos, sin], in this order, of times in [0, 1000] at frequencies 10000^(-k / count)."""
    steps = torch.arange(channels // 2, dtype=torch.float32, device=times.device)
    # As the exponential of a logarithm, like in training: a power's rounding is 6e-5 off at time 1000.
    angles = times[:, None].float() * torch.exp(-math.log(10000.0) * steps / (channels // 2))
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimeEmbedding(nn.Module):
    """Times in [0, 1000] through a small network, float32."""

    def __init__(self, channels: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, channels), nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, times: Float[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Embed each time."""
        embedded: Tensor = self.mlp(time_waves(times))
        return embedded
