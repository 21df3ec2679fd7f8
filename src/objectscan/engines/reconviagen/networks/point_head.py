"""VGGT's point head: a world position for each pixel (DPT, Ranftl et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

POSITION_SHARE = 0.1
"""Weight of the position waves that are added to feature maps."""


class PointHead(nn.Module):
    """Feature maps of four layers, brought to four resolutions and fused from coarse to fine."""

    def __init__(
        self, channels: int, *, features: int = 256, map_channels: Sequence[int] = (256, 512, 1024, 1024)
    ):
        super().__init__()
        first, second, _, fourth = map_channels
        self.norm = nn.LayerNorm(channels)
        self.projects = nn.ModuleList([nn.Conv2d(channels, width, 1) for width in map_channels])
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, 4, 4),
                nn.ConvTranspose2d(second, second, 2, 2),
                nn.Identity(),
                nn.Conv2d(fourth, fourth, 3, 2, 1),
            ]
        )
        self.scratch = _Fusion(features, map_channels)

    def forward(
        self, layers: Sequence[Float[Tensor, "B N L C"]], *, size: tuple[int, int], patch_px: int = 14
    ) -> tuple[Float[Tensor, "B N H W 3"], Float[Tensor, "B N H W"]]:
        """World positions and their confidence, above 1.

        Args:
            layers: Tokens of the aggregator's layers 4, 11, 17, 23; the patches are their last tokens.
            size: (width, height) of the images in pixels.
            patch_px: Edge of a patch.
        """
        width, height = size
        rows, columns = height // patch_px, width // patch_px
        aspect = width / height
        maps = []
        for tokens, project, resize in zip(layers, self.projects, self.resize_layers, strict=True):
            patches = self.norm(tokens.flatten(0, 1)[:, -rows * columns :])
            grid = _with_positions(project(patches.mT.unflatten(2, (rows, columns))), aspect)
            maps.append(resize(grid))
        fused = self.scratch.fuse(maps)
        full = functional.interpolate(
            fused, (rows * patch_px, columns * patch_px), mode="bilinear", align_corners=True
        )
        raw = self.scratch.output_conv2(_with_positions(full, aspect))
        raw = raw.permute(0, 2, 3, 1).unflatten(0, layers[0].shape[:2])
        points, confidence = raw[..., :3], raw[..., 3]
        return points.sign() * points.abs().expm1(), 1 + confidence.exp()


class _Fusion(nn.Module):
    def __init__(self, features: int, map_channels: Sequence[int]):
        super().__init__()
        self.layer1_rn, self.layer2_rn, self.layer3_rn, self.layer4_rn = (
            nn.Conv2d(width, features, 3, padding=1, bias=False) for width in map_channels
        )
        self.refinenet1, self.refinenet2, self.refinenet3 = (_FusionStep(features) for _ in range(3))
        self.refinenet4 = _FusionStep(features, has_skip=False)
        self.output_conv1 = nn.Conv2d(features, features // 2, 3, padding=1)
        self.output_conv2 = nn.Sequential(
            nn.Conv2d(features // 2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 4, 1),
        )  # fmt: skip

    def fuse(self, maps: Sequence[Tensor]) -> Tensor:
        """One feature map at twice the finest map's resolution."""
        l1, l2, l3, l4 = (
            convolve(grid)
            for convolve, grid in zip(
                (self.layer1_rn, self.layer2_rn, self.layer3_rn, self.layer4_rn), maps, strict=True
            )
        )
        fused = self.refinenet4(l4, None, l3.shape[2:])
        fused = self.refinenet3(fused, l3, l2.shape[2:])
        fused = self.refinenet2(fused, l2, l1.shape[2:])
        fused = self.refinenet1(fused, l1, torch.Size(2 * edge for edge in l1.shape[2:]))
        result: Tensor = self.output_conv1(fused)
        return result


class _FusionStep(nn.Module):
    def __init__(self, features: int, *, has_skip: bool = True):
        super().__init__()
        if has_skip:
            self.resConfUnit1 = _ResidualUnit(features)
        self.resConfUnit2 = _ResidualUnit(features)
        self.out_conv = nn.Conv2d(features, features, 1)

    def forward(self, coarse: Tensor, skip: Tensor | None, size: torch.Size) -> Tensor:
        fused = coarse if skip is None else coarse + self.resConfUnit1(skip)
        fused = self.resConfUnit2(fused)
        fused = functional.interpolate(fused, size, mode="bilinear", align_corners=True)
        result: Tensor = self.out_conv(fused)
        return result


class _ResidualUnit(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, grid: Tensor) -> Tensor:
        # The skip adds the rectified input: the weights were trained with an in-place ReLU before it.
        positive = grid.relu()
        result: Tensor = self.conv2(self.conv1(positive).relu()) + positive
        return result


def position_waves(columns: int, rows: int, channels: int, aspect: float) -> Float[Tensor, "R Q C"]:
    """Sines and cosines of the pixels' positions, x before y, as float32.

    Args:
        columns: Pixels across.
        rows: Pixels down.
        channels: Divisible by 4.
        aspect: Width over height of the image. Positions are scaled by its diagonal.
    """
    diagonal = (aspect**2 + 1) ** 0.5
    spans = [(aspect / diagonal, columns), (1 / diagonal, rows)]
    x, y = (
        torch.linspace(-span * (n - 1) / n, span * (n - 1) / n, n, dtype=torch.float64) for span, n in spans
    )
    count = channels // 4
    frequencies = 100.0 ** (-torch.arange(count, dtype=torch.float64) / count)
    waves = []
    for positions in (x.expand(rows, columns), y[:, None].expand(rows, columns)):
        angles = positions[..., None] * frequencies
        waves += [angles.sin(), angles.cos()]
    return torch.cat(waves, dim=-1).float()


def _with_positions(grid: Float[Tensor, "N C R Q"], aspect: float) -> Float[Tensor, "N C R Q"]:
    waves = position_waves(grid.shape[3], grid.shape[2], grid.shape[1], aspect)
    return grid + POSITION_SHARE * waves.permute(2, 0, 1).to(grid)
