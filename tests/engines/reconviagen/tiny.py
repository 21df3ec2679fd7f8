"""All nine networks in a few channels, with random weights in files: what the stages are tested with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from objectscan.engines.reconviagen import engine, network_source, weights
from objectscan.engines.reconviagen.catalogue import CATALOGUE
from objectscan.engines.reconviagen.network_source import StoredNetworks
from objectscan.engines.reconviagen.networks import published
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
from objectscan.engines.reconviagen.networks.structure_decoder import StructureDecoder, StructureDecoderConfig
from objectscan.engines.reconviagen.networks.structure_flow import StructureFlow, StructureFlowConfig
from objectscan.engines.reconviagen.networks.vggt import Vggt, VggtConfig
from objectscan.engines.reconviagen.networks.vit import DinoConfig, DinoTransformer
from objectscan.engines.reconviagen.pipeline import CutOut
from objectscan.engines.reconviagen.sampler import LATENT_SAMPLING, STRUCTURE_SAMPLING
from objectscan.engines.reconviagen.stages import GenerationOptions
from objectscan.weights.model import WeightFile
from objectscan.weights.tensors import TensorSpec

EDGE_PX = 56
WIDTH = 64
_DINO = DinoConfig(image_size_px=EDGE_PX, channels=WIDTH, depth=2, heads=4)
_CONDITION = ConditionConfig(channels=WIDTH, context_channels=3 * WIDTH, heads=4, tokens=27)
_DECODER = LatentDecoderConfig(channels=256, blocks=2, heads=4, mlp_ratio=1.0, window=4)
OPTIONS = GenerationOptions(
    structure=replace(STRUCTURE_SAMPLING, steps=4),
    latents=replace(LATENT_SAMPLING, steps=3),
    backbone_precision=torch.float32,
)


def tiny_shell(name: str, *, torso: torch.dtype) -> nn.Module:
    """As `network_shell`, with few channels."""
    small = {"channels": WIDTH, "context_channels": WIDTH, "blocks": 2, "heads": 4}
    builders = {
        published.DINOV2: lambda: DinoTransformer(_DINO),
        published.VGGT: lambda: Vggt(VggtConfig(depth=4, heads=4, patches=_DINO, kept=(0, 1, 2, 3))),
        published.STRUCTURE_CONDITION: lambda: StructureCondition(_CONDITION, torso=torso),
        published.LATENT_CONDITION: lambda: LatentCondition(_CONDITION, torso=torso),
        published.STRUCTURE_FLOW: lambda: StructureFlow(
            StructureFlowConfig(resolution=2, **small), torso=torso
        ),
        published.STRUCTURE_DECODER: lambda: StructureDecoder(
            StructureDecoderConfig(channels=(24, 16, 8), blocks=1, middle_blocks=1), torso=torso
        ),
        published.LATENT_FLOW: lambda: LatentFlow(LatentFlowConfig(outer_channels=16, **small), torso=torso),
        published.MESH_DECODER: lambda: MeshDecoder(_DECODER, torso=torso),
        published.GAUSSIAN_DECODER: lambda: GaussianDecoder(_DECODER, torso=torso, per_voxel=4),
    }
    with torch.device("meta"):
        return builders[name]().eval().requires_grad_(False)


def write_weights(folder: Path) -> None:
    """One safetensors file a network, random but the same each time."""
    for name, tensors in random_tensors().items():
        save_file(tensors, folder / f"{name}.safetensors")


def random_tensors() -> dict[str, dict[str, Tensor]]:
    """Tensors of each network, random but the same each time."""
    rng = torch.Generator().manual_seed(5)
    found = {}
    for name in published.NETWORKS:
        tensors = {}
        for key, shape in tiny_shell(name, torso=torch.float16).state_dict().items():
            gain = shape.shape[-1] ** -0.5 if shape.dim() > 1 else 0.3
            values = torch.randn(shape.shape, generator=rng) * gain
            if key.endswith(("norm.weight", "norm1.weight", "norm2.weight", "gamma")):
                values = 1 + values
            tensors[key] = values.to(shape.dtype)
        found[name] = tensors
    return found


def write_published(models: Path) -> None:
    """The same weights in the published layout: folders and file names of the hub, DINOv2's names there."""
    tensors = random_tensors()
    for model in CATALOGUE.models:
        for file in model.files:
            path = models / model.name / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            parts_of = file.tensors().parts_of
            stored = {}
            for key, values in tensors[file.network].items():
                parts = parts_of(key)
                pieces = values.chunk(len(parts)) if len(parts) > 1 else (values,)
                stored |= {part: piece.clone() for part, piece in zip(parts, pieces, strict=True)}
            save_file(stored, path)


def use_tiny_networks(patch: pytest.MonkeyPatch) -> None:
    """Make engine and catalogue expect the networks of `write_published`; all code stays the real one."""
    tensors = random_tensors()

    def small(file: WeightFile) -> WeightFile:
        shapes = {
            key: TensorSpec({torch.float16: "F16", torch.float32: "F32"}[values.dtype], tuple(values.shape))
            for key, values in tensors[file.network].items()
        }
        listed = replace(file.tensors(), network=shapes, types_confirmed=False)
        return replace(file, tensors=lambda: listed)

    collections = tuple(
        replace(
            collection,
            models=tuple(replace(model, files=tuple(map(small, model.files))) for model in collection.models),
        )
        for collection in CATALOGUE.collections
    )
    patch.setattr(weights, "CATALOGUE", replace(CATALOGUE, collections=collections))
    patch.setattr(network_source, "network_shell", tiny_shell)
    patch.setattr(engine, "EDGE_PX", EDGE_PX)


def tiny_networks(folder: Path) -> StoredNetworks:
    """The networks in `folder`, computed in float32."""

    def tensors_of(name: str) -> Mapping[str, Tensor]:
        return load_file(folder / f"{name}.safetensors")

    return StoredNetworks(tensors_of, torso=torch.float32, shell=tiny_shell)


def cut_outs(count: int) -> list[CutOut]:
    """Photos of a coloured disc, a little different each."""
    rows, columns = np.mgrid[:80, :100]
    photos = []
    for number in range(count):
        inside = (rows - 40) ** 2 + (columns - 45 - 5 * number) ** 2 < 30**2
        colour = np.stack([2 * rows, 2 * columns, np.full_like(rows, 60 * number)], axis=2)
        rgba = np.concatenate([colour, 255 * inside[..., None]], axis=2).astype(np.uint8)
        photos.append(CutOut(f"photo{number}.png", rgba))
    return photos
