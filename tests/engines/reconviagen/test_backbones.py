from __future__ import annotations

import torch
from tests.engines.reconviagen.vectors import assert_close, load_state, vector
from torch import nn

from objectscan.engines.reconviagen.networks.camera_head import (
    CameraHead,
    camera_matrices,
    rotation_from_quaternion,
)
from objectscan.engines.reconviagen.networks.point_head import PointHead, position_waves
from objectscan.engines.reconviagen.networks.vggt import Aggregator, VggtConfig
from objectscan.engines.reconviagen.networks.vit import (
    DinoConfig,
    DinoTransformer,
    VitBlock,
    normalised_images,
)

TINY = DinoConfig(image_size_px=56, channels=48, depth=2, heads=4)


def test_dinov2_gives_the_published_condition():
    v = vector("dinov2_cond")
    network = load_state(DinoTransformer(TINY), v.state)
    images = v.given["images"]
    assert_close(network.prenorm_tokens(normalised_images(images)), v.expected["x_prenorm"], tolerance=1e-5)
    assert_close(network.condition(images), v.expected["cond"], tolerance=2e-5)
    patches = network.patch_tokens(normalised_images(images))
    assert_close(patches, v.expected["x_norm_patchtokens"], tolerance=2e-5)


def test_dinov2_resamples_its_positions_for_other_sizes():
    v = vector("dinov2_cond")
    network = load_state(DinoTransformer(TINY), v.state)
    patches = network.patch_tokens(normalised_images(v.given["images_other_size"]))
    assert_close(patches, v.expected["other_size_x_norm_patchtokens"], tolerance=2e-5)


def test_a_block_of_vggt_gives_the_published_numbers():
    v = vector("vggt_block")
    block = load_state(VitBlock(64, 4, eps=1e-5, normalise_heads=True), v.state)
    assert_close(block(v.given["x"], v.given["positions"]), v.expected["y"], tolerance=1e-5)


def test_the_aggregator_gives_the_published_tokens():
    v = vector("vggt_aggregator")
    network = load_state(Aggregator(VggtConfig(depth=3, heads=4, patches=TINY, kept=(0, 1, 2))), v.state)
    kept = network(v.given["images"])
    assert network.special_tokens == int(v.expected["patch_start_idx"])
    for layer in range(3):
        assert_close(kept[layer], v.expected[f"tokens.{layer}"], tolerance=2e-5)


def test_only_the_layers_that_are_read_are_kept():
    v = vector("vggt_aggregator")
    network = load_state(Aggregator(VggtConfig(depth=3, heads=4, patches=TINY, kept=(1,))), v.state)
    (kept,) = network(v.given["images"])
    assert_close(kept, v.expected["tokens.1"], tolerance=2e-5)


def test_patches_are_numbered_in_rows_as_published():
    v = vector("vggt_rope2d")
    network = Aggregator(VggtConfig(depth=0, heads=4, patches=TINY))
    positions = network._positions(3, 4, torch.device("cpu"))
    assert torch.equal(positions[0, :5], torch.zeros(5, 2, dtype=torch.int64))
    assert torch.equal(positions[0, 5:] - 1, v.given["grid_positions"][0].long())


def test_the_camera_head_gives_the_published_cameras_of_each_round():
    v = vector("vggt_camera_head")
    network = load_state(CameraHead(96, heads=4, depth=2), v.state)
    rounds = network(v.given["tokens_last"])
    for number, encoded in enumerate(rounds):
        assert_close(encoded, v.expected[f"pose_enc.{number}"], tolerance=2e-5)
    camera_from_world, intrinsics = camera_matrices(rounds[-1], size=(56, 56))
    assert_close(camera_from_world, v.expected["extrinsics"], tolerance=2e-5)
    assert_close(intrinsics, v.expected["intrinsics"])


def test_quaternions_of_any_length_give_rotations():
    v = vector("vggt_camera_head")
    rotations = rotation_from_quaternion(v.given["quat"])
    assert_close(rotations, v.expected["quat_to_mat"], tolerance=1e-5)
    assert_close(rotations @ rotations.mT, torch.eye(3).expand_as(rotations), tolerance=1e-5)


def test_the_point_head_gives_the_published_points():
    v = vector("vggt_point_head")
    network = PointHead(96, features=16, map_channels=(8, 12, 16, 16))
    load_state(network, v.state)
    layers = [v.given[f"tokens.{layer}"] for layer in (0, 1, 2, 2)]
    points, confidence = network(layers, size=(56, 56))
    assert_close(points[:, :2], v.expected["points"], tolerance=2e-5)
    assert_close(confidence[:, :2], v.expected["conf"], tolerance=2e-5)
    assert_close(points[:, 2].sum(dim=(1, 2)), v.expected["points_sum_view2"])


def test_positions_of_pixels_are_those_published():
    v = vector("vggt_point_head")
    expected = v.expected["uv_embed_4x5"]
    assert_close(position_waves(5, 4, 16, 5 / 4), expected, tolerance=1e-6)


def test_the_skip_of_the_point_head_adds_rectified_values():
    v = vector("vggt_point_head")
    network = PointHead(96, features=16, map_channels=(8, 12, 16, 16))
    load_state(network, v.state)
    unit = network.scratch.refinenet4.resConfUnit2
    for convolution in (unit.conv1, unit.conv2):
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    grid = torch.randn(1, 16, 3, 3)
    assert torch.equal(unit(grid), grid.relu())
