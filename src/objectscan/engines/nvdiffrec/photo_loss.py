"""How a picture differs from its photo: in colour, outline, and contrast.

The light model knows neither shadows nor light that one part of the object throws onto another. Both vary
slowly over a picture, so they spoil its colours far more than its contrasts, which tell where edges and walls
are (docs/experiments.md has what they bring).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.engines.nvdiffrec.devices import backend_of

STRIDES_PX = (1, 2, 4, 8)
"""Distances between the pixels whose contrast is compared."""


@dataclass(frozen=True, slots=True)
class PhotoWeights:
    """What counts how much. Kernels take the three in this order."""

    colour: float = 1.0
    outline: float = 2.0
    contrast: float = 0.0


@dataclass(frozen=True, slots=True)
class PhotoLoss:
    """The sum to minimise, and its parts."""

    total: Float[Tensor, ""]
    """Weighted; differentiable in the picture."""
    parts: Float[Tensor, " 3"]
    """Colour, outline, contrast, each unweighted and without gradient."""


def photo_loss(
    rendered: Float[Tensor, "B H W 4"], target: Float[Tensor, "B H W 5"], weights: PhotoWeights
) -> PhotoLoss:
    """Compare in sRGB over the pixels that the photo shows, and divide by the object's area in the photos.

    Colour is the mean absolute difference of the channels. Outline is Charbonnier's loss of the coverage (|x|
    with a rounded tip), robust where a mask is wrong and blind to 8-bit steps. Contrast is the mean over
    `STRIDES_PX` of the absolute error of the difference between a pixel and those so far to its right and
    below; such a pair counts as much as both are object in the photo.

    Args:
        rendered: sRGB multiplied by coverage, and coverage.
        target: sRGB multiplied by the mask, the mask, and whether the photo shows the pixel.
        weights: Of the three in the sum.
    """
    total, parts = _PhotoLoss.apply(rendered, target, weights)
    return PhotoLoss(total, parts)


class _PhotoLoss(torch.autograd.Function):
    """One way through the pixels finds the sum and its slopes."""

    @staticmethod
    def forward(ctx: Any, rendered: Tensor, target: Tensor, weights: PhotoWeights) -> tuple[Tensor, Tensor]:
        factors = (weights.colour, weights.outline, weights.contrast)
        parts, slopes = backend_of(rendered).photo_loss(rendered, target, factors, STRIDES_PX)
        ctx.save_for_backward(slopes)
        ctx.mark_non_differentiable(parts)
        total = factors[0] * parts[0] + factors[1] * parts[1] + factors[2] * parts[2]
        return total, parts

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return upstream[0] * slopes, None, None
