from __future__ import annotations

import torch
from tests.engines.reconviagen.vectors import assert_close, load_state, vector, within

from objectscan.engines.reconviagen.networks.attention import CrossAttention, SelfAttention
from objectscan.engines.reconviagen.networks.blocks import CrossBlock, ModulatedCrossBlock
from objectscan.engines.reconviagen.networks.embeddings import TimeEmbedding, position_embedding, time_waves
from objectscan.engines.reconviagen.networks.grids import to_patches, to_voxels
from objectscan.engines.reconviagen.networks.norms import ChannelLayerNorm32, HeadRmsNorm
from objectscan.engines.reconviagen.networks.rotary import rotate_2d, rotate_3d


def test_channels_of_volumes_are_normalised_with_the_published_eps():
    v = vector("channel_layernorm")
    norm = load_state(ChannelLayerNorm32(12), v.state)
    assert_close(norm(v.given["x"]), v.expected["y"], tolerance=1e-6)


def test_attention_gives_the_published_numbers():
    v = vector("dense_attention")
    attention = load_state(SelfAttention(64, 4, normalise_heads=True), within(v.state, "self_attn."))
    cross = load_state(CrossAttention(64, 48, 4), within(v.state, "cross_attn."))
    norm = load_state(HeadRmsNorm(4, 16), within(v.state, "rms."))
    assert_close(attention(v.given["x"]), v.expected["self"], tolerance=1e-5)
    assert_close(cross(v.given["x"], v.given["ctx"]), v.expected["cross"], tolerance=1e-5)
    assert_close(norm(v.given["q"]), v.expected["rms"], tolerance=1e-6)


def test_no_context_is_the_same_as_a_context_of_zeros():
    v = vector("dense_attention")
    cross = load_state(CrossAttention(64, 48, 4), within(v.state, "cross_attn."))
    zeros = cross(v.given["x"], torch.zeros_like(v.given["ctx"]))
    assert_close(cross(v.given["x"], None), zeros, tolerance=1e-6)


def test_blocks_give_the_published_numbers():
    v = vector("dense_blocks")
    sizes = {"heads": 4, "mlp_ratio": 4.0}
    modulated = load_state(ModulatedCrossBlock(64, 48, **sizes), within(v.state, "mod."))
    plain = load_state(CrossBlock(64, 48, **sizes), within(v.state, "woT."))
    views = [v.given[f"ctx_list.{i}"] for i in range(3)]
    x, context, time = v.given["x"], v.given["ctx"], v.given["mod"]
    assert_close(modulated(x, context, time), v.expected["modulated"], tolerance=1e-5)
    assert_close(modulated(x, views, time), v.expected["modulated_list"], tolerance=1e-5)
    assert_close(plain(x, context), v.expected["woT"], tolerance=1e-5)


def test_embeddings_give_the_published_numbers():
    v = vector("embeddings")
    embedding = load_state(TimeEmbedding(64), v.state)
    assert_close(time_waves(v.given["t"]), v.expected["t_freq"])
    assert_close(embedding(v.given["t"]), v.expected["t_emb"])
    for channels in (32, 64):
        waves = position_embedding(v.given["coords"], channels)
        assert_close(waves, v.expected[f"abs_pos_{channels}"])


def test_volumes_are_rearranged_as_published_and_back():
    v = vector("spatial_dense")
    patches = to_patches(v.given["patch"], 2)
    assert torch.equal(patches, v.expected["patchify"])
    assert torch.equal(to_voxels(patches, 2), v.expected["unpatchify"])
    assert torch.equal(to_voxels(v.given["shuffle"], 2), v.expected["pixel_shuffle_3d"])


def test_rotation_by_two_coordinates_gives_the_published_numbers():
    v = vector("vggt_rope2d")
    assert_close(rotate_2d(v.given["tokens"], v.given["positions"]), v.expected["y"], tolerance=1e-5)


def test_rotation_by_three_coordinates_gives_the_published_numbers():
    v = vector("rope3d_trellis_unused")
    for name in ("q", "k", "q32"):
        turned = rotate_3d(v.given[name], v.given["indices"])
        assert_close(turned, v.expected[name], tolerance=1e-5)
