"""The sparse convolution on a GPU equals the one in plain torch."""

from __future__ import annotations

import pytest
import torch

from objectscan.engines.reconviagen.networks import implicit_product
from objectscan.engines.reconviagen.networks.convolution import VoxelConvolution3
from objectscan.engines.reconviagen.networks.voxels import Voxels


def scattered(count: int, edge: int) -> Voxels:
    """About `count` voxels of a grid in two batch items, in order."""
    generator = torch.Generator().manual_seed(count)
    cells = torch.randint(0, edge, (count, 4), generator=generator)
    cells[:, 0] %= 2
    cells[0, 0] = 0
    return Voxels(torch.unique(cells, dim=0).int().cuda())


@pytest.mark.parametrize("kind", implicit_product.HALF_TYPES)
@pytest.mark.parametrize(("inner", "outer"), [(32, 32), (96, 96), (40, 130), (768, 192)])
@pytest.mark.parametrize("count", [1, 300, 5000])
def test_it_is_the_sum_over_neighbours(kind: torch.dtype, inner: int, outer: int, count: int) -> None:
    voxels = scattered(count, 14)
    layer = VoxelConvolution3(inner, outer).cuda().to(kind)
    torch.nn.init.normal_(layer.conv.bias)
    features = torch.randn(len(voxels), inner, device="cuda").to(kind)
    with torch.no_grad():
        assert implicit_product.is_available(features)
        fast = layer(features, voxels)
        exact = layer.double()(features.double(), voxels)
    error = (fast.double() - exact).norm() / exact.norm()
    assert fast.dtype == kind and error < (1e-3 if kind == torch.float16 else 6e-3)


def test_no_voxels_give_no_rows() -> None:
    features = torch.zeros(0, 32, device="cuda", dtype=torch.float16)
    table = torch.zeros(27, 0, device="cuda", dtype=torch.int32)
    result = implicit_product.gathered_product(
        features,
        table,
        torch.zeros(27, 32, 48, device="cuda", dtype=torch.float16),
        torch.zeros(48, device="cuda"),
    )
    assert result.shape == (0, 48)
