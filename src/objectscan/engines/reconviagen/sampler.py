"""From noise to a sample by Euler steps along a learnt flow (Lipman et al., 2023), with guidance.

Times run from 1 (noise) to 0 (sample). Guidance is classifier-free (Ho and Salimans, 2022), in an interval of
times (Kynkaanniemi et al., 2024), and may be rescaled (Lin et al., 2024, eq. 15).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

SIGMA_MIN = 1e-5
"""Noise that is left at time 0."""

Velocity = Callable[[Tensor, Tensor], Tensor]
"""Velocity of a state at times in [0, 1000], one an item, float32."""
Deviation = Callable[[Tensor], Tensor]
"""Standard deviation of each item of a state, in a shape that multiplies the state."""


@dataclass(frozen=True, slots=True)
class SamplerOptions:
    """How to walk; the defaults are the published pipeline's."""

    steps: int = 25
    strength: float = 5.0
    interval: tuple[float, float] = (0.5, 1.0)
    """Times with guidance, both ends included. Outside it a step costs one evaluation instead of two."""
    time_rescale: float = 3.0
    """Above 1: more steps near the noise."""
    guidance_rescale: float = 0.0
    """0 to 1: how far to bring the guided sample's deviation back to the conditional one's."""
    formula: Literal["official", "legacy"] = "official"
    """Guided velocity: w pos + (1 - w) neg, or the older (1 + w) pos - w neg."""

    @property
    def weight(self) -> float:
        """Weight of the conditional velocity; that of the other is 1 minus it."""
        return self.strength + (1.0 if self.formula == "legacy" else 0.0)


STRUCTURE_SAMPLING = SamplerOptions(30, 7.5, (0.6, 1.0), 5.0, 0.7)
"""What the published application (version 0.2) uses for the sparse structure; 12 steps do as a preview."""
LATENT_SAMPLING = SamplerOptions(12, 7.5, (0.6, 1.0), 3.0, 0.5)
"""What it uses for the structured latents."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where the walk is after a step."""

    number: int
    """From 1."""
    state: Tensor
    clean: Tensor
    """What the state before the step looked like without its noise, by this step's velocity."""


def times(options: SamplerOptions) -> Float64[np.ndarray, " T"]:
    """The times that the steps connect, from 1 to 0."""
    even = np.linspace(1.0, 0.0, options.steps + 1)
    rescale = options.time_rescale
    return rescale * even / (1 + (rescale - 1) * even)


def walk(
    noise: Tensor,
    conditional: Velocity,
    unconditional: Velocity,
    options: SamplerOptions,
    *,
    items: int = 1,
    deviation: Deviation | None = None,
) -> Iterator[Step]:
    """Walk from noise to a sample, one step at a time: the caller reports progress or stops in between.

    Args:
        noise: float32, any shape.
        conditional: Velocity under the condition.
        unconditional: Velocity without it.
        options: How to walk.
        items: Items of the batch.
        deviation: Of the state's items, for `guidance_rescale`. By default the state is dense, items first.
    """
    state = noise
    sequence = times(options).tolist()
    for number, (time, following) in enumerate(pairwise(sequence), start=1):
        scaled = torch.full((items,), 1000 * time, dtype=torch.float32, device=state.device)
        velocity = _guided(
            state, time, scaled, conditional, unconditional, options, deviation or dense_deviation
        )
        clean = _clean(state, velocity, time)
        state = state - (time - following) * velocity
        yield Step(number, state, clean)


def dense_deviation(state: Float[Tensor, "B ..."]) -> Tensor:
    """Unbiased deviation over everything but the items."""
    return state.std(dim=tuple(range(1, state.dim())), keepdim=True)


def sparse_deviation(spans: tuple[slice, ...]) -> Deviation:
    """Deviation of the rows of each item: sqrt(E[x^2] - E[x]^2), as published."""

    def deviation(state: Float[Tensor, "T C"]) -> Float[Tensor, "T 1"]:
        rows = [
            (state[span].square().mean() - state[span].mean().square()).sqrt().expand(len(state[span]), 1)
            for span in spans
        ]
        return torch.cat(rows)

    return deviation


def _guided(
    state: Tensor,
    time: float,
    scaled: Tensor,
    conditional: Velocity,
    unconditional: Velocity,
    options: SamplerOptions,
    deviation: Deviation,
) -> Tensor:
    low, high = options.interval
    weight = options.weight if low <= time <= high else 1.0
    if weight == 1.0:
        return conditional(state, scaled)
    if weight == 0.0:
        return unconditional(state, scaled)
    positive = conditional(state, scaled)
    guided = weight * positive + (1 - weight) * unconditional(state, scaled)
    if options.guidance_rescale <= 0:
        return guided
    clean, plain = _clean(state, guided, time), _clean(state, positive, time)
    rescaled = clean * (deviation(plain) / deviation(clean))
    clean = options.guidance_rescale * rescaled + (1 - options.guidance_rescale) * clean
    return ((1 - SIGMA_MIN) * state - clean) / (SIGMA_MIN + (1 - SIGMA_MIN) * time)


def _clean(state: Tensor, velocity: Tensor, time: float) -> Tensor:
    return (1 - SIGMA_MIN) * state - (SIGMA_MIN + (1 - SIGMA_MIN) * time) * velocity
