from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from objectscan.errors import BadWeights
from objectscan.weights.tensors import TensorList, TensorSpec, read_header, require_tensors
from weights import samples


def test_the_header_tells_names_types_and_shapes(tmp_path):
    save_file(samples.tensors(), tmp_path / "a.safetensors")
    assert read_header(tmp_path / "a.safetensors") == samples.NETWORK


def test_an_unconfirmed_type_may_be_any_floating_one_but_not_an_integer():
    wanted = samples.tensor_list(types_confirmed=False)
    present = {**samples.NETWORK, "head.bias": TensorSpec("BF16", (4,))}
    assert wanted.mismatches(present) == []
    assert wanted.mismatches({**present, "head.bias": TensorSpec("I32", (4,))}) == [
        "'head.bias' is I32 [4], not F32 [4]"
    ]


def test_optional_tensors_may_be_there_or_not():
    wanted = samples.tensor_list(optional=("head.", "fork."))
    torso = {"torso.weight": samples.NETWORK["torso.weight"]}
    assert wanted.mismatches(torso) == []
    assert wanted.mismatches({**torso, "fork.weight": TensorSpec("F32", (1,))}) == []
    assert wanted.mismatches({"head.bias": samples.NETWORK["head.bias"]}) == ["'torso.weight' is missing"]


def test_joined_tensors_are_expected_in_parts():
    wanted = TensorList(
        {"qkv": TensorSpec("F32", (12, 5))}, parts_of=lambda name: tuple(f"{name}.{part}" for part in "abc")
    )
    assert wanted.stored() == {f"qkv.{part}": TensorSpec("F32", (4, 5)) for part in "abc"}


def test_a_message_names_the_first_mismatches_and_counts_the_rest(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({f"t{i}": np.zeros(1, np.float32) for i in range(5)}, path)
    with pytest.raises(BadWeights, match=r"'torso.weight' is missing.*and 5 more") as caught:
        require_tensors(path, samples.tensor_list(), shown="a")
    assert len(caught.value.details["mismatches"]) == 8
