"""sRGB and linear light (IEC 61966-2-1), differentiable, finite gradient everywhere."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def linear_from_srgb(srgb: Float[Tensor, " *shape"]) -> Float[Tensor, " *shape"]:
    """Decode sRGB values. In and out [0, 1]; beyond 1 the curve goes on."""
    curve = ((srgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(srgb <= 0.04045, srgb / 12.92, curve)


def srgb_from_linear(linear: Float[Tensor, " *shape"]) -> Float[Tensor, " *shape"]:
    """Encode linear light. Not clipped; negative values go on along the straight part."""
    curve = 1.055 * linear.clamp_min(0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)


def linear_from_srgb_array(srgb: Float[np.ndarray, " *shape"]) -> Float[np.ndarray, " *shape"]:
    """`linear_from_srgb` for numpy arrays."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def srgb_from_linear_array(linear: Float[np.ndarray, " *shape"]) -> Float[np.ndarray, " *shape"]:
    """`srgb_from_linear` for numpy arrays."""
    return np.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1.0 / 2.4) - 0.055
    )
