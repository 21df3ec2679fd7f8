from __future__ import annotations

import pytest
import torch
from torch import nn

from objectscan.engines.reconviagen.networks import published
from objectscan.engines.reconviagen.networks.published import (
    NETWORKS,
    TensorSpec,
    filled,
    is_used,
    manifest,
    network_shell,
)
from objectscan.errors import InputError

PARAMETERS = {
    "dinov2_vitl14_reg": 304_372_736,
    "vggt": 1_256_537_516,
    "ss_vggt_cond": 88_150_016,
    "slat_vggt_cond": 12_587_008,
    "ss_flow_img_dit_L_16l8_fp16": 559_737_864,
    "ss_dec_conv3d_16l8_fp16": 73_671_201,
    "slat_flow_img_dit_L_64l8p2_fp16": 600_432_520,
    "slat_dec_mesh_swin8_B_64l8m256c_fp16": 90_926_693,
    "slat_dec_gs_swin8_B_64l8gs32_fp16": 85_369_120,
}
"""As published, all tensors of the file."""


def specs(network: nn.Module) -> dict[str, TensorSpec]:
    return {key: TensorSpec(t.dtype, tuple(t.shape)) for key, t in network.state_dict().items()}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_each_network_has_exactly_the_published_tensors(name: str):
    published = manifest(name)
    assert specs(network_shell(name)) == {key: spec for key, spec in published.items() if is_used(key)}
    # Buffers of 4096 x 1024 positions and 32 x 3 offsets are stored too, but are no parameters.
    buffers = {"pos_emb": 4096 * 1024, "offset_perturbation": 96}
    total = sum(torch.Size(spec.shape).numel() for spec in published.values())
    stored = sum(size for key, size in buffers.items() if key in published)
    assert PARAMETERS[name] in (total, total - stored)


def test_every_network_is_published():
    assert set(NETWORKS) == set(PARAMETERS)


def test_only_two_heads_of_vggt_are_left_out():
    unused = {key.split(".")[0] for key in manifest("vggt") if not is_used(key)}
    assert unused == {"depth_head", "track_head"}


def test_another_precision_changes_the_matrices_only():
    half, brain = (
        specs(network_shell("slat_flow_img_dit_L_64l8p2_fp16", torso=t))
        for t in (torch.float16, torch.bfloat16)
    )
    changed = {key for key in half if half[key] != brain[key]}
    assert changed == {key for key, spec in half.items() if spec.dtype == torch.float16}


def weights(name: str) -> dict[str, torch.Tensor]:
    return {key: torch.zeros(spec.shape, dtype=spec.dtype) for key, spec in manifest(name).items()}


def test_a_shell_takes_its_weights_in_its_own_types():
    given = {key: tensor.float() for key, tensor in weights("slat_vggt_cond").items()}
    given["fuse_blocks.0.bias"] = torch.zeros(1)  # kept by a fork, never read
    network = filled(network_shell("slat_vggt_cond"), given)
    assert specs(network) == manifest("slat_vggt_cond")
    assert not any(parameter.is_meta or parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("remove", "'linear_blocks.0.0.bias' is missing"),
        ("add", "'linear_blocks.4.0.bias' does not belong"),
        ("reshape", r"'linear_blocks.0.0.bias' has the shape \(7,\)"),
    ],
)
def test_wrong_weights_are_refused_by_name(change: str, words: str):
    given = weights("slat_vggt_cond")
    if change == "remove":
        del given["linear_blocks.0.0.bias"]
    elif change == "add":
        given["linear_blocks.4.0.bias"] = torch.zeros(1)
    else:
        given["linear_blocks.0.0.bias"] = torch.zeros(7)
    with pytest.raises(InputError, match=words):
        filled(network_shell("slat_vggt_cond"), given)


def test_an_unknown_network_is_refused_with_the_known_names():
    with pytest.raises(InputError, match="slat_vggt_cond"):
        network_shell("slat_vgg_cond")


def test_dense_networks_fit_together_in_their_published_sizes():
    with torch.device("meta"):
        images = torch.zeros(2, 3, 518, 518)
        times = torch.zeros(1)
        grid = torch.zeros(1, 8, 16, 16, 16)
    appearance = network_shell(published.DINOV2).condition(images)
    assert appearance.shape == (2, 1374, 1024)
    vggt = network_shell(published.VGGT)
    geometry = vggt.aggregator(images[None])
    assert [layer.shape for layer in geometry] == [(1, 2, 1374, 2048)] * 4
    assert vggt.camera_head(geometry[-1])[-1].shape == (1, 2, 9)
    points, confidence = vggt.point_head(geometry, size=(518, 518))
    assert (points.shape, confidence.shape) == ((1, 2, 518, 518, 3), (1, 2, 518, 518))
    patches = [layer[:, :, 5:] for layer in geometry]
    tokens = network_shell(published.STRUCTURE_CONDITION)(patches, appearance[None, :, 5:])
    assert tokens.shape == (1, 4096, 1024)
    views = network_shell(published.LATENT_CONDITION)([layer[0] for layer in geometry], appearance)
    assert views.shape == (2, 1374, 1024)
    velocity = network_shell(published.STRUCTURE_FLOW)(grid, times, tokens)
    assert (velocity.shape, velocity.dtype) == (grid.shape, torch.float32)
    logits = network_shell(published.STRUCTURE_DECODER)(velocity)
    assert (logits.shape, logits.dtype) == ((1, 1, 64, 64, 64), torch.float32)
