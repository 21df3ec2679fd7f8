"""Tiny models in the published layout: repositories of safetensors files with random tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from objectscan.weights.model import Catalogue, Collection, Licence, Model, WeightFile
from objectscan.weights.tensors import TensorList, TensorSpec

REVISION = "0123456789abcdef0123456789abcdef01234567"
FREE = Licence("MIT", "https://example.org/mit", "allowed", "Any use.")
STRICT = Licence("No-Trade", "https://example.org/strict", "forbidden", "Research only.")
NETWORK = {"torso.weight": TensorSpec("F16", (300, 500)), "head.weight": TensorSpec("F32", (4, 300)),
           "head.bias": TensorSpec("F32", (4,))}  # fmt: skip
NUMPY = {"F16": np.float16, "F32": np.float32}


def tensor_list(**options) -> TensorList:
    return TensorList(NETWORK, **{"types_confirmed": True, **options})


def tensors(seed: int = 0, network=NETWORK) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=spec.shape).astype(NUMPY[spec.dtype]) for name, spec in network.items()}


def content(seed: int = 0) -> bytes:
    return save(tensors(seed))


def weight_file(path: str = "ckpts/flow.safetensors", network: str = "flow", **facts) -> WeightFile:
    return WeightFile(path, network, tensor_list, **facts)


def model(name: str = "small", licence: Licence = FREE, files: tuple[WeightFile, ...] = ()) -> Model:
    return Model(name, f"someone/{name}", REVISION, licence, files or (weight_file(),), "a test")


def two_models() -> tuple[Model, Model]:
    several = (weight_file(), weight_file("ckpts/decoder.safetensors", "decoder"))
    return model("small", FREE, several), model("strict", STRICT)


def catalogue() -> Catalogue:
    small, strict = two_models()
    return Catalogue((Collection("all", (small, strict), "both"), Collection("free", (small,), "one")))


def published(*models: Model) -> dict[tuple[str, str, str], bytes]:
    """Content of a hub that has the models; each file another seed."""
    files = [(m.repository, m.revision, file.path) for m in models for file in m.files]
    return {key: content(seed) for seed, key in enumerate(files)}


def write(folder: Path, models: tuple[Model, ...], *, layout: str = "{name}") -> Path:
    """Lay the files of models out on disk, e.g. as somebody copied them."""
    for (repository, revision, path), data in published(*models).items():
        name = repository.split("/")[1]
        place = folder / layout.format(name=name, repository=repository.replace("/", "--"), revision=revision)
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data)
    return folder
