"""The published weights of the generative engine: repositories, pinned revisions, files, licences.

Where each number comes from, and what could not be checked, is in docs/generative-weights.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import resources
from pathlib import Path

from objectscan.engines.reconviagen.dino_names import transformers_names
from objectscan.weights.folder import ModelFolder
from objectscan.weights.model import Catalogue, Collection, Licence, Model, WeightFile
from objectscan.weights.tensors import TensorList, TensorSpec, read_list

_UNUSED = {"vggt": ("depth_head.", "track_head."), "slat_vggt_cond": ("fuse_blocks.",)}
"""Tensors that nothing here reads: two heads of VGGT, and what a fork of `slat_vggt_cond` kept."""

_MIT = Licence(
    "MIT", "https://github.com/microsoft/TRELLIS/blob/main/LICENSE", "allowed",
    "Any use, also commercial, if the copyright notice stays.",
)  # fmt: skip
_APACHE = Licence(
    "Apache-2.0", "https://github.com/facebookresearch/dinov2/blob/main/LICENSE", "allowed",
    "Any use, also commercial, if notices stay and changes are stated.",
)  # fmt: skip
_RECONVIAGEN = Licence(
    "ReconViaGen-model-card", "https://huggingface.co/Stable-X/trellis-vggt-v0-2", "unclear",
    "Its model card decides; read it. The TRELLIS part is MIT, but it was tuned on features of a VGGT whose "
    "weights forbid commercial use.",
)  # fmt: skip
_VGGT = Licence(
    "VGGT-non-commercial", "https://huggingface.co/Stable-X/vggt-object-v0-1", "forbidden",
    "Made from facebook/VGGT-1B, whose weights are for non-commercial research. Treat it as non-commercial "
    "unless its authors tell you otherwise.",
)  # fmt: skip


def tensor_list(network: str, *, types_confirmed: bool = False) -> TensorList:
    """What the file of a network holds, from the lists that come with the package.

    Args:
        network: Published name, e.g. `vggt`.
        types_confirmed: Whether the types on disk are known too.
    """
    return TensorList(
        _rows(network), optional=_UNUSED.get(network, ()), types_confirmed=types_confirmed,
        **({"parts_of": transformers_names} if network == "dinov2_vitl14_reg" else {}),
    )  # fmt: skip


@cache
def _rows(network: str) -> dict[str, TensorSpec]:
    return read_list(resources.files(__package__) / "networks" / "manifests" / f"{network}.json")


def _trellis_file(network: str, size_bytes: int, sha256: str | None) -> WeightFile:
    """Types and sizes of these are confirmed: the listed tensors add up to the published file size."""
    tensors: Callable[[], TensorList] = partial(tensor_list, network, types_confirmed=True)
    return WeightFile(f"ckpts/{network}.safetensors", network, tensors, size_bytes, sha256)


def _file(network: str, path: str) -> WeightFile:
    return WeightFile(path, network, partial(tensor_list, network))


_SS_FLOW, _SLAT_FLOW = "ss_flow_img_dit_L_16l8_fp16", "slat_flow_img_dit_L_64l8p2_fp16"
_SS_DECODER, _MESH_DECODER = "ss_dec_conv3d_16l8_fp16", "slat_dec_mesh_swin8_B_64l8m256c_fp16"
_GAUSSIANS = "slat_dec_gs_swin8_B_64l8gs32_fp16"

TRELLIS_VGGT = Model(
    "trellis-vggt",
    "Stable-X/trellis-vggt-v0-2",
    "647659a5ad5fbf67e22793e7b5e2cee4b30c5d13",
    _RECONVIAGEN,
    tuple(
        _file(network, f"ckpts/{network}.safetensors")
        for network in (
            _SS_FLOW, _SLAT_FLOW, _SS_DECODER, _MESH_DECODER, _GAUSSIANS, "ss_vggt_cond", "slat_vggt_cond",
        )
    ),
    "the two flows, tuned for several photos, their fusers and the decoders",
)  # fmt: skip
VGGT_OBJECT = Model(
    "vggt-object",
    "Stable-X/vggt-object-v0-1",
    "aac569c280b52ccda1c84a81cd0e27e947bc2cf5",
    _VGGT,
    (_file("vggt", "model.safetensors"),),
    "what the photos tell about shape and cameras",
)
TRELLIS = Model(
    "trellis-image-large",
    "microsoft/TRELLIS-image-large",
    "25e0d31ffbebe4b5a97464dd851910efc3002d96",
    _MIT,
    (
        _trellis_file(
            _SS_FLOW, 1_130_770_840, "96dc6bfd4136fd950af564dd16b4ae533c9ba6af8f26c670646b2a9f2789b1db"
        ),
        _trellis_file(
            _SLAT_FLOW, 1_203_755_136, "693fb2a58ad497bd222007301eeec49d14d60f8c12d2f2f00c221fa747b4c66c"
        ),
        _trellis_file(
            _SS_DECODER, 147_591_972, "1c76d4a40519aa2d711cc263a8404105231ac26db31d946bed48b84fee79009a"
        ),
        _trellis_file(
            _MESH_DECODER, 181_903_412, "3e87aba94b5786407eb06d0502c1ed0885a0027a3f2b8537bfe15b0a92c01859"
        ),
        _trellis_file(_GAUSSIANS, 171_450_952, None),
    ),
    "the two flows and the decoders for single photos",
)
DINOV2 = Model(
    "dinov2-large",
    "facebook/dinov2-with-registers-large",
    "e4c89a4e05589de9b3e188688a303d0f3c04d0f3",
    _APACHE,
    (_file("dinov2_vitl14_reg", "model.safetensors"),),
    "what the photos look like",
)

CATALOGUE = Catalogue(
    (
        Collection("reconviagen", (TRELLIS_VGGT, VGGT_OBJECT, DINOV2), "several photos, best consistency"),
        Collection("trellis", (TRELLIS, DINOV2), "permissive fallback without VGGT, weaker consistency"),
    )
)


def collections_here(folder: Path) -> tuple[Collection, ...]:
    """Collections of which every file lies in the models folder, best first. Reads no file."""
    return tuple(
        collection
        for collection in CATALOGUE.collections
        if not any(ModelFolder(folder, model).missing() for model in collection.models)
    )
