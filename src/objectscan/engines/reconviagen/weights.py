"""The engine's networks filled with published weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from objectscan.engines.reconviagen.catalogue import CATALOGUE
from objectscan.errors import InputError
from objectscan.weights.folder import ModelFolder
from objectscan.weights.load import load_weights


def require_collection(collection: str, folder: Path) -> None:
    """Refuse to start without every file of a collection; reads no tensor.

    Args:
        collection: `reconviagen` or `trellis`.
        folder: The models folder.

    Raises:
        MissingWeights: Names the first missing files and the command that gets them.
    """
    for model in CATALOGUE.collection(collection).models:
        ModelFolder(folder, model).require_all()


def load_network(
    module: nn.Module,
    network: str,
    folder: Path,
    *,
    collection: str = "reconviagen",
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Fill one network, see `objectscan.weights.load.load_weights`.

    Args:
        module: With the published tensor names, e.g. on the meta device.
        network: Its published name, e.g. `ss_flow_img_dit_L_16l8_fp16`, `vggt` or `dinov2_vitl14_reg`.
        folder: The models folder.
        collection: Whose weights: both collections have flows and decoders.
        dtype: For floating tensors; None keeps the types that the module has.
        device: Where the tensors go.

    Raises:
        InputError: The collection has no such network.
        MissingWeights, BadWeights: The file is not there, or does not fit.
    """
    models = CATALOGUE.collection(collection).models
    found = {file.network: (model, file) for model in models for file in model.files}
    if network not in found:
        raise InputError(
            f"The weights '{collection}' have no network '{network}'.", hint=f"They have {', '.join(found)}."
        )
    model, file = found[network]
    at = ModelFolder(folder, model)
    if not at.file(file).is_file():
        at.require_all()
    return load_weights(module, at.file(file), file.tensors(), dtype=dtype, device=device)
