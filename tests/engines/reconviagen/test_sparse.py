from __future__ import annotations

import pytest
import torch
from tests.engines.reconviagen.vectors import Vector, assert_close, load_state, vector, within
from torch.nn import functional

from objectscan.engines.reconviagen.networks import convolution, windows
from objectscan.engines.reconviagen.networks.attention import CrossAttention, SelfAttention
from objectscan.engines.reconviagen.networks.blocks import ModulatedCrossBlock, WindowBlock
from objectscan.engines.reconviagen.networks.convolution import VoxelConvolution1, VoxelConvolution3
from objectscan.engines.reconviagen.networks.norms import VoxelGroupNorm32
from objectscan.engines.reconviagen.networks.sparse_blocks import VoxelResidualBlock
from objectscan.engines.reconviagen.networks.voxels import Voxels
from objectscan.errors import InputError


def voxels_of(v: Vector) -> Voxels:
    return Voxels(v.given["coords"])


def convolved(v: Vector) -> torch.Tensor:
    layer = load_state(VoxelConvolution3(10, 14), within(v.state, "k3."))
    return layer(v.given["feats"], voxels_of(v))


def test_convolution_gives_the_published_numbers():
    v = vector("sparse_conv3d")
    assert_close(convolved(v), v.expected["k3"], tolerance=1e-5)


def test_convolution_equals_a_dense_one_on_a_grid_of_zeros():
    v = vector("sparse_conv3d")
    coordinates = v.given["coords"].long()
    shape = (coordinates.amax(dim=0) + 1).tolist()
    dense = torch.zeros(*shape, 10)
    dense[tuple(coordinates.T)] = v.given["feats"]
    weight, bias = v.state["k3.conv.weight"].permute(0, 4, 1, 2, 3), v.state["k3.conv.bias"]
    result = functional.conv3d(dense.movedim(4, 1), weight, bias, padding=1).movedim(1, 4)
    assert_close(convolved(v), result[tuple(coordinates.T)], tolerance=1e-5)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch):
    v = vector("sparse_conv3d")
    whole = convolved(v)
    monkeypatch.setattr(convolution, "CHUNK_BYTES", 1000)
    assert torch.equal(convolved(v), whole)


def test_one_by_one_convolution_reads_the_weights_memory_the_published_way():
    v = vector("sparse_conv3d")
    layer = load_state(VoxelConvolution1(10, 14), within(v.state, "k1."))
    natural = v.given["feats"] @ v.state["k1.conv.weight"].flatten(1).T + v.state["k1.conv.bias"]
    assert_close(layer(v.given["feats"]), v.expected["k1"], tolerance=1e-5)
    assert (natural - v.expected["k1"]).abs().max() > 0.5


def test_a_lone_voxel_has_no_neighbours():
    voxels = Voxels(torch.tensor([[0, 3, 3, 3]], dtype=torch.int32))
    assert sum(len(pairs.rows) for pairs in voxels.pairs) == 0


def test_rows_of_different_items_are_no_neighbours():
    voxels = Voxels(torch.tensor([[0, 1, 1, 1], [1, 1, 1, 2]], dtype=torch.int32))
    assert sum(len(pairs.rows) for pairs in voxels.pairs) == 0


def test_items_that_are_not_contiguous_are_refused():
    with pytest.raises(InputError, match="not sorted"):
        Voxels(torch.tensor([[0, 1, 1, 1], [1, 1, 1, 2], [0, 1, 1, 3]], dtype=torch.int32))


def test_pooling_divides_by_one_more_than_the_children():
    v = vector("sparse_updown")
    voxels = voxels_of(v)
    pooled = voxels.halved.pooled(v.given["feats"])
    assert torch.equal(voxels.halved.voxels.coordinates, v.expected["down_coords"])
    assert_close(pooled, v.expected["down_feats"], tolerance=1e-6)
    assert_close((3 * pooled.tanh())[voxels.halved.parent], v.expected["up_feats"], tolerance=1e-6)
    assert torch.equal(voxels.coordinates, v.expected["down_tanh3_up_coords"])


def test_children_come_in_the_published_order():
    v = vector("sparse_updown")
    assert torch.equal(voxels_of(v).subdivided.coordinates, v.expected["subdivide_coords"])
    assert torch.equal(v.given["feats"].repeat_interleave(8, dim=0), v.expected["subdivide_feats"])


def test_group_norm_is_that_of_each_item():
    v = vector("sparse_groupnorm")
    norm = load_state(VoxelGroupNorm32(2, 10), v.state)
    assert_close(norm(v.given["feats"], voxels_of(v)), v.expected["y"], tolerance=1e-5)


def test_residual_blocks_give_the_published_numbers_down_and_up():
    v = vector("sparse_resblock")
    voxels = voxels_of(v)
    down = load_state(VoxelResidualBlock(16, 32, 24, resample="halve"), within(v.state, "down."))
    up = load_state(VoxelResidualBlock(32, 16, 24, resample="double"), within(v.state, "up."))
    coarse = down(v.given["feats"], voxels, v.given["emb"])
    assert torch.equal(voxels.halved.voxels.coordinates, v.expected["down_coords"])
    assert_close(coarse, v.expected["down"], tolerance=1e-5)
    assert_close(up(coarse, voxels, v.given["emb"]), v.expected["up"], tolerance=1e-5)


@pytest.mark.parametrize(("name", "size", "shift"), [("shift0", 8, 0), ("shift4", 8, 4), ("w3shift1", 3, 1)])
def test_windows_hold_the_published_rows(name: str, size: int, shift: int, monkeypatch: pytest.MonkeyPatch):
    v = vector("window_attention")
    monkeypatch.setattr(windows, "ROWS_AT_ONCE", 64)
    made = voxels_of(v).windows(size, shift)
    assert torch.equal(made.window_of_row.int(), v.expected[f"{name}.window_of_voxel"])
    assert torch.equal(made.lengths, v.expected[f"{name}.seq_lens"])
    queries, keys, values = v.given["qkv"].unbind(1)
    assert_close(made.attend(queries, keys, values), v.expected[f"{name}.attn"], tolerance=1e-5)


def test_windows_longer_than_the_longest_step_are_whole():
    label = torch.zeros(1100, dtype=torch.int64)
    label[:3] = 1
    queries, keys, values = torch.randn(3, 1100, 1, 4).unbind(0)
    mixed = windows.Windows(label).attend(queries, keys, values)
    weights = (queries[3:, 0] @ keys[3:, 0].T / 2).softmax(dim=1)
    assert_close(mixed[3:, 0], weights @ values[3:, 0], tolerance=1e-5)


def test_blocks_on_voxels_give_the_published_numbers():
    v = vector("sparse_blocks")
    voxels, x = voxels_of(v), v.given["feats"]
    attention = load_state(SelfAttention(32, 4, normalise_heads=True), within(v.state, "self_attn."))
    cross = load_state(CrossAttention(32, 24, 4), within(v.state, "cross_attn."))
    assert_close(attention(x, voxels), v.expected["self_attn"], tolerance=1e-5)
    assert_close(cross(x, v.given["ctx"], voxels), v.expected["cross_attn"], tolerance=1e-5)
    block = load_state(ModulatedCrossBlock(32, 24, heads=4, mlp_ratio=4.0), within(v.state, "mod."))
    views = [v.given[f"ctx_list.{i}"] for i in range(3)]
    time = v.given["mod"]
    assert_close(block(x, v.given["ctx"], time, voxels), v.expected["mod"], tolerance=1e-5)
    assert_close(block(x, views, time, voxels), v.expected["mod_list"], tolerance=1e-5)


@pytest.mark.parametrize("shift", [0, 4])
def test_window_blocks_give_the_published_numbers(shift: int):
    v = vector("sparse_blocks")
    block = load_state(WindowBlock(32, heads=4, mlp_ratio=4.0), within(v.state, f"swin{shift}."))
    result = block(v.given["feats"], voxels_of(v).windows(8, shift))
    assert_close(result, v.expected[f"swin{shift}"], tolerance=1e-5)
