from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.engines.reconviagen.vectors import assert_close, load_state, vector

from objectscan.engines.reconviagen.networks.conditions import (
    ConditionConfig,
    LatentCondition,
    StructureCondition,
)
from objectscan.engines.reconviagen.networks.latent_decoder import (
    GaussianDecoder,
    LatentDecoderConfig,
    MeshDecoder,
)
from objectscan.engines.reconviagen.networks.latent_flow import LatentFlow, LatentFlowConfig
from objectscan.engines.reconviagen.networks.structure_decoder import (
    StructureDecoder,
    StructureDecoderConfig,
    occupied_voxels,
)
from objectscan.engines.reconviagen.networks.structure_flow import StructureFlow, StructureFlowConfig
from objectscan.engines.reconviagen.networks.vggt import VggtConfig
from objectscan.engines.reconviagen.networks.voxels import Voxels


def test_the_structures_condition_gives_the_published_numbers():
    v = vector("ss_vggt_cond")
    context_channels = v.given["vggt_layer_4"].shape[-1] + v.given["dino_patch_tokens"].shape[-1]
    config = ConditionConfig(channels=32, context_channels=context_channels, heads=2, tokens=20)
    network = StructureCondition(config)
    load_state(network, v.state)
    geometry = [v.given[f"vggt_layer_{layer}"][:, :, 5:] for layer in VggtConfig().kept]
    condition = network(geometry, v.given["dino_patch_tokens"])
    assert_close(condition, v.expected["cond"], tolerance=2e-5)


def test_the_latents_condition_gives_the_published_numbers():
    v = vector("slat_vggt_cond")
    state = {key: tensor for key, tensor in v.state.items() if key.endswith("bias")}
    for level in range(4):
        low_rank = [v.state[f"linear_blocks.{level}.0.weight_{half}"] for half in "AB"]
        state[f"linear_blocks.{level}.0.weight"] = low_rank[0] @ low_rank[1]
    network = load_state(LatentCondition(ConditionConfig()), state)
    geometry = [v.given[f"vggt_layer_{layer}"][0] for layer in VggtConfig().kept]
    condition = network(geometry, v.given["dino_tokens"][0])
    assert_close(condition, v.expected["cond"], tolerance=2e-5)


def structure_flow(config: dict[str, Any]) -> StructureFlow:
    sizes = StructureFlowConfig(
        resolution=config["resolution"],
        channels=config["model_channels"],
        context_channels=config["cond_channels"],
        blocks=config["num_blocks"],
        heads=config["num_heads"],
        patch=config["patch_size"],
    )
    return StructureFlow(sizes)


@pytest.mark.parametrize("name", ["ss_flow", "ss_flow_patch2"])
def test_the_structures_flow_gives_the_published_velocity(name: str):
    v = vector(name)
    network = load_state(structure_flow(v.config), v.state)
    velocity = network(v.given["x"], v.given["t"], v.given["cond"])
    assert_close(velocity, v.expected["v"])
    if "v_zero_cond" in v.expected:
        unguided = network(v.given["x"], v.given["t"], None)
        assert_close(unguided, v.expected["v_zero_cond"])


def test_positions_in_the_structures_flow_are_made_as_published():
    v = vector("ss_flow")
    assert_close(structure_flow(v.config).pos_emb, v.state["pos_emb"], tolerance=1e-5)


def test_the_structures_decoder_gives_the_published_voxels():
    v = vector("ss_decoder")
    config = StructureDecoderConfig(channels=(24, 16, 8), blocks=1, middle_blocks=1)
    network = load_state(StructureDecoder(config), v.state)
    logits = network(v.given["z"])
    assert_close(logits, v.expected["logits"])
    assert torch.equal(occupied_voxels(logits), v.expected["coords"])


def test_the_latents_flow_gives_the_published_velocity():
    v = vector("slat_flow")
    config = LatentFlowConfig(outer_channels=16, channels=48, context_channels=24, blocks=2, heads=4)
    network = load_state(LatentFlow(config), v.state)
    batch = Voxels(v.given["coords"])
    assert_close(network(v.given["feats"], batch, v.given["t"], v.given["cond"]), v.expected["v"])
    one = Voxels(v.given["coords_b1"])
    views = [v.given[f"cond_list.{view}"] for view in range(3)]
    assert_close(network(v.given["feats_b1"], one, v.given["t_b1"], views), v.expected["v_list"])
    unguided = network(v.given["feats_b1"], one, v.given["t_b1"], None)
    assert_close(unguided, v.expected["v_list_zero"])


def test_the_mesh_decoder_gives_the_published_features():
    v = vector("slat_mesh_decoder")
    config = LatentDecoderConfig(channels=256, blocks=2, heads=8, mlp_ratio=1.0, window=4)
    network = load_state(MeshDecoder(config), v.state)
    features, voxels = network(v.given["feats"], Voxels(v.given["coords"]))
    assert torch.equal(voxels.coordinates, v.expected["feat_coords"])
    rows = v.expected.get("feature_rows", torch.arange(len(features)))
    assert_close(features[rows], v.expected["features"])


def test_the_gaussian_decoder_gives_the_published_features():
    v = vector("slat_gs_decoder")
    config = LatentDecoderConfig(channels=32, blocks=2, heads=4, window=4)
    network = load_state(GaussianDecoder(config, per_voxel=8), v.state)
    assert_close(network(v.given["feats"], Voxels(v.given["coords"])), v.expected["features"])
