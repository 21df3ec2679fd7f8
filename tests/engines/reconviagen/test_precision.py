"""Half precision inside, float32 outside: close to the published float32 numbers, and never in the norms."""

from __future__ import annotations

import pytest
import torch
from tests.engines.reconviagen.vectors import load_state, vector
from torch import Tensor

from objectscan.engines.reconviagen.networks.convolution import VoxelConvolution3
from objectscan.engines.reconviagen.networks.latent_decoder import LatentDecoderConfig, MeshDecoder
from objectscan.engines.reconviagen.networks.latent_flow import LatentFlow, LatentFlowConfig
from objectscan.engines.reconviagen.networks.norms import HeadRmsNorm, LayerNorm32, VoxelGroupNorm32
from objectscan.engines.reconviagen.networks.structure_decoder import StructureDecoder, StructureDecoderConfig
from objectscan.engines.reconviagen.networks.structure_flow import StructureFlow, StructureFlowConfig
from objectscan.engines.reconviagen.networks.voxels import Voxels

HALVES = [(torch.float16, 0.004), (torch.bfloat16, 0.03)]
"""Precision, and the error allowed as a share of the result's deviation (measured: .0012 and .0097)."""


def assert_near(actual: Tensor, expected: Tensor, share: float) -> None:
    error = float((actual - expected).square().mean().sqrt() / expected.std())
    assert actual.dtype == torch.float32
    assert 0 < error < share, error


@pytest.mark.parametrize(("half", "share"), HALVES)
def test_flows_and_decoders_in_half_precision_stay_near_the_published_numbers(
    half: torch.dtype, share: float
):
    v = vector("ss_flow")
    sizes = StructureFlowConfig(resolution=6, channels=64, context_channels=48, blocks=2, heads=4)
    flow = load_state(StructureFlow(sizes, torso=half), v.state)
    assert_near(flow(v.given["x"], v.given["t"], v.given["cond"]), v.expected["v"], share)
    v = vector("ss_decoder")
    config = StructureDecoderConfig(channels=(24, 16, 8), blocks=1, middle_blocks=1)
    decoder = load_state(StructureDecoder(config, torso=half), v.state)
    assert_near(decoder(v.given["z"]), v.expected["logits"], share)


@pytest.mark.parametrize(("half", "share"), HALVES)
def test_sparse_networks_in_half_precision_stay_near_the_published_numbers(half: torch.dtype, share: float):
    v = vector("slat_flow")
    config = LatentFlowConfig(outer_channels=16, channels=48, context_channels=24, blocks=2, heads=4)
    flow = load_state(LatentFlow(config, torso=half), v.state)
    velocity = flow(v.given["feats"], Voxels(v.given["coords"]), v.given["t"], v.given["cond"])
    assert_near(velocity, v.expected["v"], share)
    v = vector("slat_mesh_decoder")
    sizes = LatentDecoderConfig(channels=256, blocks=2, heads=8, mlp_ratio=1.0, window=4)
    decoder = load_state(MeshDecoder(sizes, torso=half), v.state)
    features, _ = decoder(v.given["feats"], Voxels(v.given["coords"]))
    rows = v.expected.get("feature_rows", torch.arange(len(features)))
    assert_near(features[rows], v.expected["features"], share)


def test_norms_of_large_half_numbers_do_not_overflow():
    large = torch.full((6, 32), 60000.0, dtype=torch.float16)
    large[:, ::2] = -60000.0
    voxels = Voxels(torch.tensor([[0, 0, 0, z] for z in range(6)], dtype=torch.int32))
    for result in (
        LayerNorm32(32, affine=False)(large),
        VoxelGroupNorm32(4, 32)(large, voxels),
        HeadRmsNorm(4, 8)(large.unflatten(1, (4, 8))).flatten(1),
    ):
        assert result.dtype == torch.float16
        assert torch.equal(result.abs().round(), torch.ones(6, 32, dtype=torch.float16))


def test_convolution_sums_in_float32():
    """Products 2048, 1, 1, ...: in float16 each 1 would be lost."""
    layer = VoxelConvolution3(1, 1).half()
    torch.nn.init.ones_(layer.conv.weight)
    torch.nn.init.zeros_(layer.conv.bias)
    line = Voxels(torch.tensor([[0, x, y, 1] for x in range(3) for y in range(3)], dtype=torch.int32))
    features = torch.ones(9, 1, dtype=torch.float16)
    features[4] = 2048.0
    assert float(layer(features, line).detach()[4]) == 2056.0
