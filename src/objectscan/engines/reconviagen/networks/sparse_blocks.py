"""Residual blocks on voxels: at one resolution, to half of it and back, and to twice of it."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from objectscan.engines.reconviagen.networks.convolution import VoxelConvolution1, VoxelConvolution3
from objectscan.engines.reconviagen.networks.norms import LayerNorm32, VoxelGroupNorm32
from objectscan.engines.reconviagen.networks.voxels import Voxels


class VoxelResidualBlock(nn.Module):
    """Two convolutions, modulated by the time, around a skip; the resolution changes before both branches."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        time_channels: int,
        *,
        resample: Literal["no", "halve", "double"] = "no",
    ):
        super().__init__()
        self.resample = resample
        self.norm1 = LayerNorm32(in_channels, affine=True)
        self.norm2 = LayerNorm32(out_channels, affine=False)
        self.conv1 = VoxelConvolution3(in_channels, out_channels)
        self.conv2 = VoxelConvolution3(out_channels, out_channels)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_channels, 2 * out_channels))
        same = in_channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Linear(in_channels, out_channels)

    def forward(
        self, features: Float[Tensor, "T I"], fine: Voxels, time: Float[Tensor, "B E"]
    ) -> Float[Tensor, "R O"]:
        """Transform the features.

        Args:
            features: Rows of `fine`; if the block doubles the resolution, rows of `fine.halved`.
            fine: The finer voxels of the two that the block connects.
            time: Embedded times of the items.

        Returns:
            Rows of `fine`, or of `fine.halved` if the block halves the resolution.
        """
        voxels = fine.halved.voxels if self.resample == "halve" else fine
        if self.resample == "halve":
            features = fine.halved.pooled(features)
        elif self.resample == "double":
            features = features[fine.halved.parent]
        scale, shift = voxels.per_row(self.emb_layers(time)).chunk(
            2, dim=-1
        )  # scale first, unlike in `blocks`
        hidden = self.conv1(functional.silu(self.norm1(features)), voxels)
        hidden = self.norm2(hidden) * (1 + scale) + shift
        hidden = self.conv2(functional.silu(hidden), voxels)
        result: Tensor = hidden + self.skip_connection(features)
        return result


class SubdivideBlock(nn.Module):
    """Every voxel becomes eight; two convolutions around a skip."""

    def __init__(self, in_channels: int, out_channels: int, *, groups: int = 32):
        super().__init__()
        self.act_layers = nn.ModuleList([VoxelGroupNorm32(groups, in_channels)])
        self.out_layers = nn.ModuleDict(
            {
                "0": VoxelConvolution3(in_channels, out_channels),
                "1": VoxelGroupNorm32(groups, out_channels),
                "3": VoxelConvolution3(out_channels, out_channels),
            }
        )
        self.skip_connection = VoxelConvolution1(in_channels, out_channels)

    def forward(self, features: Float[Tensor, "T I"], voxels: Voxels) -> Float[Tensor, "C O"]:
        """Features of `voxels.subdivided`."""
        children = voxels.subdivided
        hidden = functional.silu(self.act_layers[0](features, voxels)).repeat_interleave(8, dim=0)
        hidden = self.out_layers["0"](hidden, children)
        hidden = functional.silu(self.out_layers["1"](hidden, children))
        hidden = self.out_layers["3"](hidden, children)
        # A row's product is the same for its eight children: multiply before repeating.
        return hidden + self.skip_connection(features).repeat_interleave(8, dim=0)
