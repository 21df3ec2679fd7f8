"""The nine networks in their published sizes, and what their files hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources

import torch
from torch import Tensor, nn

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
from objectscan.errors import InputError

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Names of element types in safetensors files and in the manifests."""

DINOV2 = "dinov2_vitl14_reg"
VGGT = "vggt"
STRUCTURE_CONDITION = "ss_vggt_cond"
LATENT_CONDITION = "slat_vggt_cond"
STRUCTURE_FLOW = "ss_flow_img_dit_L_16l8_fp16"
STRUCTURE_DECODER = "ss_dec_conv3d_16l8_fp16"
LATENT_FLOW = "slat_flow_img_dit_L_64l8p2_fp16"
MESH_DECODER = "slat_dec_mesh_swin8_B_64l8m256c_fp16"
GAUSSIAN_DECODER = "slat_dec_gs_swin8_B_64l8gs32_fp16"

NETWORKS: Mapping[str, Callable[[torch.dtype], nn.Module]] = {
    DINOV2: lambda torso: DinoTransformer(DinoConfig()),
    VGGT: lambda torso: Vggt(VggtConfig()),
    STRUCTURE_CONDITION: lambda torso: StructureCondition(ConditionConfig(), torso=torso),
    LATENT_CONDITION: lambda torso: LatentCondition(ConditionConfig(), torso=torso),
    STRUCTURE_FLOW: lambda torso: StructureFlow(StructureFlowConfig(), torso=torso),
    STRUCTURE_DECODER: lambda torso: StructureDecoder(StructureDecoderConfig(), torso=torso),
    LATENT_FLOW: lambda torso: LatentFlow(LatentFlowConfig(), torso=torso),
    MESH_DECODER: lambda torso: MeshDecoder(LatentDecoderConfig(), torso=torso),
    GAUSSIAN_DECODER: lambda torso: GaussianDecoder(LatentDecoderConfig(), torso=torso),
}
"""Builders by published name; the argument is the torso's precision. DINOv2 and VGGT are float32."""


UNUSED_PREFIXES = ("depth_head.", "track_head.", "fuse_blocks.")
"""Tensors that nothing here reads: two heads of VGGT, and what a fork of `slat_vggt_cond` kept."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Type and shape of one published tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]


def manifest(name: str) -> dict[str, TensorSpec]:
    """What the published file of a network holds, by tensor name.

    Raises:
        InputError: No such network.
    """
    _require_known(name)
    file = resources.files(__package__) / "manifests" / f"{name}.json"
    entries = json.loads(file.read_text("utf-8"))
    return {key: TensorSpec(DTYPES[dtype], tuple(shape)) for key, (dtype, shape) in entries.items()}


def is_used(key: str) -> bool:
    """Whether a network reads the tensor of this name."""
    return not key.startswith(UNUSED_PREFIXES)


def network_shell(name: str, *, torso: torch.dtype = torch.float16) -> nn.Module:
    """A network without memory for its weights (meta device), ready for `filled`.

    Raises:
        InputError: No such network.
    """
    _require_known(name)
    with torch.device("meta"):
        return NETWORKS[name](torso).eval().requires_grad_(False)


def filled(shell: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The shell with weights: every tensor that it needs, in the shell's types; unused ones are left out.

    Raises:
        InputError: Names a missing, an unknown or a wrongly shaped tensor.
    """
    wanted = shell.state_dict()
    given = {key: tensor for key, tensor in tensors.items() if is_used(key)}
    for key in [*wanted, *given]:
        if key not in given or key not in wanted:
            what = "is missing" if key not in given else "does not belong"
            raise InputError(
                f"Tensor '{key}' {what} in the weights of {type(shell).__name__}.",
                hint="Download the weights again, or check which network they belong to.",
            )
        if given[key].shape != wanted[key].shape:
            raise InputError(
                f"Tensor '{key}' has the shape {tuple(given[key].shape)}, but {type(shell).__name__} needs "
                f"{tuple(wanted[key].shape)}.",
                hint="Download the weights again, or check which network they belong to.",
            )
    shell.load_state_dict({key: given[key].to(spec.dtype) for key, spec in wanted.items()}, assign=True)
    return shell.requires_grad_(False)


def _require_known(name: str) -> None:
    if name not in NETWORKS:
        raise InputError(f"There is no network '{name}'.", hint=f"Known: {', '.join(sorted(NETWORKS))}.")
