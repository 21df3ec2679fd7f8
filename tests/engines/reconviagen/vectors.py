"""The published networks' numbers on small random weights: state, inputs and outputs to compare with."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

FOLDER = Path(os.environ.get("OBJECTSCAN_VECTORS", Path(__file__).parent / "vectors"))
"""The variable leads to a folder with all vectors unreduced; see `reduce_vectors.py`."""


@dataclass(frozen=True)
class Vector:
    """One file. Names come without their prefix; float16 is widened, the values are the same."""

    config: dict[str, Any]
    state: dict[str, Tensor]
    given: dict[str, Tensor]
    expected: dict[str, Tensor]


def vector(name: str) -> Vector:
    """The vector `name`."""
    parts: dict[str, dict[str, Tensor]] = {"state": {}, "in": {}, "out": {}}
    with safe_open(FOLDER / f"{name}.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
        for key in file.keys():  # noqa: SIM118 - not a dictionary
            prefix, _, rest = key.partition(".")
            tensor = file.get_tensor(key)
            parts[prefix][rest] = tensor.float() if tensor.dtype == torch.float16 else tensor
    return Vector(config, parts["state"], parts["in"], parts["out"])


def within(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below `prefix`, without it."""
    return {key[len(prefix) :]: tensor for key, tensor in state.items() if key.startswith(prefix)}


def load_state(network: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """Load every tensor, none too many and none too few, and stop training."""
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False)


def assert_close(actual: Tensor, expected: Tensor, *, tolerance: float = 1e-4) -> None:
    """Equal within an absolute or relative tolerance."""
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance, check_dtype=False)
