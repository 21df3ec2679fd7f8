"""From the Gaussian decoder's numbers to Gaussians (Kerbl et al., 2023) in [-0.5, 0.5]^3, z up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from objectscan.engines.reconviagen.networks.camera_head import rotation_from_quaternion

VOXEL_SIZE = 1.5
"""Edge of the cube around a voxel's centre in which its Gaussians lie, in voxels."""
_SMALLEST_SCALE = 0.0009
_SCALE_START, _OPACITY_START = 0.004, 0.1
"""Scale and opacity where the decoder says 0."""
_ROTATION_GAIN = 0.1
_SH_0 = 0.28209479
"""Value of the constant spherical harmonic."""


@dataclass(frozen=True, slots=True)
class Gaussians:
    """G Gaussians."""

    positions: Float[Tensor, "G 3"]
    colours: Float[Tensor, "G 3"]
    """In [0, 1], sRGB-encoded."""
    opacities: Float[Tensor, " G"]
    scales: Float[Tensor, "G 3"]
    """Standard deviations along the own axes, world units."""
    rotations: Float[Tensor, "G 4"]
    """Unit quaternions w, x, y, z."""

    def covariances(self) -> Float[Tensor, "G 3 3"]:
        """R diag(scale^2) R^T."""
        stretched = rotation_from_quaternion(self.rotations.roll(-1, dims=1)) * self.scales[:, None, :]
        return stretched @ stretched.mT


def activated(
    numbers: Float[Tensor, "T D"],
    coordinates: Int[Tensor, "T 3"],
    offsets: Float[Tensor, "K 3"],
    *,
    resolution: int,
) -> Gaussians:
    """K Gaussians a voxel, those of one voxel contiguous.

    Args:
        numbers: From `GaussianDecoder`: for all K the positions, colours, scales, rotations and opacities.
        coordinates: (x, y, z) of the voxels.
        offsets: The decoder's `offset_perturbation`.
        resolution: Voxels along an axis.
    """
    per_voxel = len(offsets)
    shift, colour, scale, rotation, opacity = (
        part.unflatten(1, (per_voxel, -1)).flatten(0, 1)
        for part in numbers.split([width * per_voxel for width in (3, 3, 3, 4, 1)], dim=1)
    )
    inside = (shift + offsets.repeat(len(numbers), 1)).tanh() * (VOXEL_SIZE / 2)
    centres = (coordinates + 0.5).repeat_interleave(per_voxel, dim=0)
    upright = numbers.new_tensor([1.0, 0.0, 0.0, 0.0])
    start = math.log(math.expm1(_SCALE_START))  # the inverse of softplus
    return Gaussians(
        positions=(centres + inside) / resolution - 0.5,
        colours=(_SH_0 * colour + 0.5).clamp(0, 1),
        opacities=(opacity[:, 0] + math.log(_OPACITY_START / (1 - _OPACITY_START))).sigmoid(),
        scales=(functional.softplus(scale + start).square() + _SMALLEST_SCALE**2).sqrt(),
        rotations=functional.normalize(_ROTATION_GAIN * rotation + upright, dim=1),
    )
