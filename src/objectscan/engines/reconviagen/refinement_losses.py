"""What guided sampling compares: renders with photos, and occupancy with registered points."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

_WINDOW_PX, _SIGMA_PX = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
"""Wang et al., 2004, for values in [0, 1]."""


def structural_similarity(
    first: Float[Tensor, "N C H W"], second: Float[Tensor, "N C H W"]
) -> Float[Tensor, " N"]:
    """SSIM of each pair of images in [0, 1] (Wang et al., 2004, eq. 13); differentiable.

    Means over a Gaussian window of 1.5 px, zeros outside the image.
    """
    offsets = torch.arange(_WINDOW_PX, dtype=first.dtype, device=first.device) - _WINDOW_PX // 2
    line = torch.exp(-(offsets**2) / (2 * _SIGMA_PX**2))
    line = line / line.sum()
    channels = first.shape[1]
    window = (line[:, None] * line).expand(channels, 1, -1, -1)

    def mean(images: Tensor) -> Tensor:
        return functional.conv2d(images, window, padding=_WINDOW_PX // 2, groups=channels)

    mean1, mean2 = mean(first), mean(second)
    variance1, variance2 = mean(first**2) - mean1**2, mean(second**2) - mean2**2
    covariance = mean(first * second) - mean1 * mean2
    luminance = (2 * mean1 * mean2 + _C1) / (mean1**2 + mean2**2 + _C1)
    structure = (2 * covariance + _C2) / (variance1 + variance2 + _C2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def dice_loss(logits: Float[Tensor, "B 1 S S S"], occupancy: Int[Tensor, "B 1 S S S"]) -> Float[Tensor, ""]:
    """1 minus twice the overlap over the sum of both volumes (Milletari et al., 2016); differentiable.

    One is added to both, so that two empty volumes agree.
    """
    share = logits.sigmoid()
    return 1 - (2 * (share * occupancy).sum() + 1) / (share.sum() + occupancy.sum() + 1)
