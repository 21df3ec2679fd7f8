from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from objectscan.errors import BadWeights, MissingWeights
from objectscan.weights.load import load_weights
from objectscan.weights.tensors import TensorList, TensorSpec
from weights import samples


class Network(nn.Module):
    def __init__(self, head: int = 4):
        super().__init__()
        self.torso = nn.Linear(500, 300, bias=False, dtype=torch.float16)
        self.head = nn.Linear(300, head)


@pytest.fixture
def path(tmp_path) -> Path:
    save_file(samples.tensors(), tmp_path / "flow.safetensors")
    return tmp_path / "flow.safetensors"


def on_meta() -> Network:
    with torch.device("meta"):
        return Network()


def test_a_module_without_memory_gets_exactly_the_files_values_in_its_own_types(path):
    network = load_weights(on_meta(), path, samples.tensor_list())
    given = samples.tensors()
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), given[name])
        assert not value.requires_grad
    assert network.torso.weight.dtype == torch.float16 and network.head.weight.dtype == torch.float32


def test_a_type_that_is_asked_for_holds_for_all_floating_tensors(path):
    network = load_weights(on_meta(), path, samples.tensor_list(), dtype=torch.bfloat16)
    assert {value.dtype for value in network.state_dict().values()} == {torch.bfloat16}


def test_loaded_tensors_outlive_the_file(path):
    network = load_weights(on_meta(), path, samples.tensor_list())
    path.write_bytes(bytes(path.stat().st_size))
    np.testing.assert_array_equal(network.head.bias.numpy(), samples.tensors()["head.bias"])


def test_buffers_are_filled_too(tmp_path):
    class Buffered(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("position", torch.zeros(3, device="meta"))

    save_file({"position": np.arange(3, dtype=np.float32)}, tmp_path / "a.safetensors")
    wanted = TensorList({"position": TensorSpec("F32", (3,))})
    module = load_weights(Buffered(), tmp_path / "a.safetensors", wanted)
    assert module.position.tolist() == [0, 1, 2] and not isinstance(module.position, nn.Parameter)


def test_parts_are_joined_in_order(tmp_path):
    parts = {f"qkv.{part}": np.full((2, 3), i, np.float32) for i, part in enumerate("abc")}
    save_file(parts, tmp_path / "a.safetensors")

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Parameter(torch.zeros(6, 3))

    wanted = TensorList(
        {"qkv": TensorSpec("F32", (6, 3))}, parts_of=lambda name: tuple(f"{name}.{part}" for part in "abc")
    )
    module = load_weights(Joined(), tmp_path / "a.safetensors", wanted)
    assert module.qkv[:, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_a_module_of_another_shape_is_refused_before_anything_is_loaded(path):
    with pytest.raises(BadWeights, match=r"'head.weight' is \[5, 300\], not \[4, 300\]"):
        load_weights(Network(head=5), path, samples.tensor_list())


def test_a_tensor_without_a_place_is_refused(path):
    module = Network()
    module.head.bias = None
    with pytest.raises(BadWeights, match=r"'head.bias' has no place"):
        load_weights(module, path, samples.tensor_list())


def test_a_place_without_a_tensor_is_refused(path):
    module = Network()
    module.extra = nn.Parameter(torch.zeros(1))
    with pytest.raises(BadWeights, match="'extra' is not in the file"):
        load_weights(module, path, samples.tensor_list())


def test_what_nothing_reads_needs_no_place(path):
    module = nn.Module()
    module.torso = nn.Linear(500, 300, bias=False, dtype=torch.float16)
    loaded = load_weights(module, path, samples.tensor_list(optional=("head.",)))
    assert loaded.torso.weight.shape == (300, 500)


def test_a_value_that_is_not_finite_is_named(tmp_path):
    tensors = samples.tensors()
    tensors["head.bias"][2] = np.nan
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(BadWeights, match=r"'head.bias' of a.safetensors holds NaN"):
        load_weights(on_meta(), tmp_path / "a.safetensors", samples.tensor_list())


def test_a_conversion_that_overflows_is_named(tmp_path):
    tensors = samples.tensors()
    tensors["head.bias"][2] = 1e6
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(BadWeights, match=r"infinity as torch.float16"):
        load_weights(on_meta(), tmp_path / "a.safetensors", samples.tensor_list(), dtype=torch.float16)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(MissingWeights, match="There is no weight file"):
        load_weights(on_meta(), tmp_path / "none.safetensors", samples.tensor_list())


MEASURE = """
import pathlib, sys, torch
from torch import nn
from objectscan.weights import load
from objectscan.weights.tensors import TensorList, TensorSpec
torch.set_num_threads(1)
names = [f"{i}.weight" for i in range(24)]
wanted = TensorList({name: TensorSpec("F32", (1024, 1024)) for name in names})
with torch.device("meta"):
    module = nn.Sequential(*[nn.Linear(1024, 1024, bias=False) for _ in names])
def anonymous():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
seen, put, before = [], load._put, anonymous()
def watched(*arguments):  # what was read, and what it became, are both alive here
    seen.append(anonymous())
    put(*arguments)
load._put = watched
load.load_weights(module, pathlib.Path(sys.argv[1]), wanted, dtype=torch.bfloat16)
print(max(seen) - before)
"""


def test_loading_takes_no_more_memory_than_the_module_and_few_tensors(tmp_path):
    """96 MB on disk become 48 MB; a loader that read the file first would hold 144 MB."""
    rng = np.random.default_rng(0)
    tensors = {f"{i}.weight": rng.normal(size=(1024, 1024)).astype(np.float32) for i in range(24)}
    save_file(tensors, tmp_path / "a.safetensors")
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "a.safetensors")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert 48e6 < int(answer.stdout) < 48e6 + 40e6
