"""The catalogue of published weights, and loading in the published layout with random numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from objectscan.engines.reconviagen import catalogue, weights
from objectscan.engines.reconviagen.catalogue import CATALOGUE
from objectscan.engines.reconviagen.dino_names import transformers_names
from objectscan.errors import BadWeights, InputError, MissingWeights
from objectscan.weights.tensors import TensorList, TensorSpec

COUNTS = {
    "dinov2_vitl14_reg": (344, 304_372_736, 1_217_490_944),
    "slat_dec_gs_swin8_B_64l8gs32_fp16": (101, 85_369_120, 171_441_280),
    "slat_dec_mesh_swin8_B_64l8m256c_fp16": (120, 90_926_693, 181_891_796),
    "slat_flow_img_dit_L_64l8p2_fp16": (526, 600_432_520, 1_203_701_792),
    "slat_vggt_cond": (8, 12_587_008, 25_174_016),
    "ss_dec_conv3d_16l8_fp16": (74, 73_671_201, 147_585_412),
    "ss_flow_img_dit_L_16l8_fp16": (489, 559_737_864, 1_130_721_312),
    "ss_vggt_cond": (73, 88_150_016, 176_332_800),
    "vggt": (1797, 1_256_537_516, 5_026_150_064),
}
"""(tensors, parameters, bytes) of each published network."""


@pytest.mark.parametrize("network", COUNTS)
def test_the_lists_have_the_published_number_of_tensors_parameters_and_bytes(network):
    listed = catalogue.tensor_list(network)
    parameters = sum(int(np.prod(spec.shape)) for spec in listed.network.values())
    assert (len(listed.network), parameters, listed.size_bytes) == COUNTS[network]


def test_both_collections_have_what_their_way_of_working_needs():
    files = {c.name: {file.network for m in c.models for file in m.files} for c in CATALOGUE.collections}
    assert files["reconviagen"] == set(COUNTS)
    assert files["trellis"] == set(COUNTS) - {"vggt", "ss_vggt_cond", "slat_vggt_cond"}


def test_commercial_use_is_allowed_for_the_fallback_only():
    assert CATALOGUE.collection("trellis").commercial_use == "allowed"
    assert CATALOGUE.collection("reconviagen").commercial_use == "forbidden"


def test_every_model_is_pinned_and_holds_safetensors_only():
    for model in CATALOGUE.models:
        assert re.fullmatch(r"[0-9a-f]{40}", model.revision)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.repository)
        for file in model.files:
            assert file.path.endswith(".safetensors") and ".." not in file.path
            assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)


def test_a_known_size_is_that_of_the_tensors_and_a_header():
    for model in CATALOGUE.models:
        for file in model.files:
            if file.size_bytes is not None:
                header_bytes = file.size_bytes - file.tensors().size_bytes
                assert 60 < header_bytes / len(file.tensors().network) < 130


def test_unknown_names_get_the_nearest_one():
    with pytest.raises(InputError, match="Did you mean 'vggt-object'"):
        CATALOGUE.chosen(["vgt-object"])
    with pytest.raises(InputError, match="There is no collection 'vggt-object'"):
        CATALOGUE.collection("vggt-object")


def test_a_collection_and_its_models_are_fetched_once():
    assert [m.name for m in CATALOGUE.chosen(["trellis", "dinov2-large", "reconviagen"])] == [
        "trellis-image-large", "dinov2-large", "trellis-vggt", "vggt-object",
    ]  # fmt: skip


def test_each_tensor_of_dinov2_has_its_own_place_in_the_file():
    listed = catalogue.tensor_list("dinov2_vitl14_reg")
    parts = [part for name in listed.network for part in transformers_names(name)]
    assert len(parts) == len(set(parts)) == 344 + 24 * 2 * 2  # three for each of 24 weights and 24 biases
    assert transformers_names("blocks.7.attn.qkv.bias") == (
        "encoder.layer.7.attention.attention.query.bias",
        "encoder.layer.7.attention.attention.key.bias",
        "encoder.layer.7.attention.attention.value.bias",
    )
    assert transformers_names("blocks.0.ls2.gamma") == ("encoder.layer.0.layer_scale2.lambda1",)
    assert transformers_names("blocks.23.mlp.fc1.weight") == ("encoder.layer.23.mlp.fc1.weight",)
    assert transformers_names("patch_embed.proj.weight") == ("embeddings.patch_embeddings.projection.weight",)
    assert listed.stored()["encoder.layer.0.attention.attention.key.weight"] == TensorSpec(
        "F32", (1024, 1024)
    )


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(4, 12)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = Attention()


class Dino(nn.Module):
    """The part of DINOv2's names where hub file and network differ most, tiny."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.blocks = nn.ModuleList([Block()])


def tiny(model_name: str, network: str, monkeypatch, tensors: dict[str, tuple[int, ...]]) -> None:
    """Make the catalogue's file of a network hold a few small tensors instead."""
    model = {m.name: m for m in CATALOGUE.models}[model_name]
    real = catalogue.tensor_list(network)
    small = replace(real, network={name: TensorSpec("F32", shape) for name, shape in tensors.items()})
    files = tuple(
        replace(file, tensors=lambda: small) if file.network == network else file for file in model.files
    )
    others = tuple(m for m in CATALOGUE.collection("reconviagen").models if m.name != model_name)
    collection = replace(CATALOGUE.collections[0], models=(*others, replace(model, files=files)))
    monkeypatch.setattr(weights, "CATALOGUE", replace(CATALOGUE, collections=(collection,)))


def test_dinov2_is_loaded_from_the_layout_of_the_hub(tmp_path, monkeypatch):
    shapes = {"cls_token": (1, 1, 4), "blocks.0.attn.qkv.weight": (12, 4), "blocks.0.attn.qkv.bias": (12,)}
    tiny("dinov2-large", "dinov2_vitl14_reg", monkeypatch, shapes)
    rng = np.random.default_rng(1)
    stem = "encoder.layer.0.attention.attention"
    names = {f"{stem}.{part}.{what}" for part in ("query", "key", "value") for what in ("weight", "bias")}
    stored = {
        name: rng.normal(size=(4, 4) if name.endswith("weight") else (4,)).astype(np.float32)
        for name in names
    } | {"embeddings.cls_token": rng.normal(size=(1, 1, 4)).astype(np.float32)}
    (tmp_path / "dinov2-large").mkdir()
    save_file(stored, tmp_path / "dinov2-large/model.safetensors")
    network = weights.load_network(Dino(), "dinov2_vitl14_reg", tmp_path)
    joined = network.blocks[0].attn.qkv.weight.numpy()
    np.testing.assert_array_equal(joined[4:8], stored[f"{stem}.key.weight"])
    np.testing.assert_array_equal(network.cls_token.numpy(), stored["embeddings.cls_token"])


@pytest.mark.parametrize("has_unused", [True, False])
def test_the_heads_of_vggt_that_nothing_reads_may_be_there_or_not(tmp_path, monkeypatch, has_unused):
    tiny("vggt-object", "vggt", monkeypatch, {"weight": (2, 2), "depth_head.weight": (9,)})
    stored = {"weight": np.eye(2, dtype=np.float32)}
    if has_unused:
        stored["depth_head.weight"] = np.zeros(9, np.float32)
    (tmp_path / "vggt-object").mkdir()
    save_file(stored, tmp_path / "vggt-object/model.safetensors")
    network = weights.load_network(nn.Linear(2, 2, bias=False), "vggt", tmp_path)
    assert network.weight.tolist() == [[1, 0], [0, 1]]


def test_a_missing_network_and_missing_files_are_told(tmp_path):
    with pytest.raises(InputError, match="'trellis' have no network 'vggt'"):
        weights.load_network(nn.Linear(1, 1), "vggt", tmp_path, collection="trellis")
    with pytest.raises(MissingWeights, match=r"1 of 1 weight files of 'vggt-object'.*model.safetensors"):
        weights.load_network(nn.Linear(1, 1), "vggt", tmp_path)
    with pytest.raises(MissingWeights, match="models pull trellis-vggt"):
        weights.require_collection("reconviagen", tmp_path)


def test_a_file_of_another_network_is_refused(tmp_path):
    (tmp_path / "vggt-object").mkdir()
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "vggt-object/model.safetensors")
    with pytest.raises(BadWeights, match=r"'aggregator.camera_token' is missing"):
        weights.load_network(nn.Linear(1, 1), "vggt", tmp_path)


def test_types_on_disk_are_strict_only_where_they_are_confirmed():
    lists: dict[str, TensorList] = {
        f"{m.name}/{file.network}": file.tensors() for m in CATALOGUE.models for file in m.files
    }
    strict = {name for name, listed in lists.items() if listed.types_confirmed}
    assert strict == {name for name in lists if name.startswith("trellis-image-large/")}
