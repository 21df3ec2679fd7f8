"""Put the tensors of a file into a module, strictly and one after another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import safetensors
import torch
from torch import Tensor, nn

from objectscan.errors import BadWeights, MissingWeights
from objectscan.weights.tensors import TensorList, require_tensors

_SHOWN = 3


def load_weights(
    module: nn.Module,
    path: Path,
    expected: TensorList,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Fill every parameter and buffer of a module from a safetensors file; nothing is left out or over.

    The file is mapped into memory and each tensor goes to the device on its own: the host never holds more
    than one besides the file's pages, which the kernel drops when it needs them. The module may be on the
    `meta` device: it gets memory only for what is loaded.

    Args:
        module: Named like `expected.network`; it may lack what `expected.optional` covers.
        path: The file.
        expected: What the file must hold.
        dtype: Type of floating tensors in the module; None: the type that each has in the module now.
        device: Where the tensors go.

    Returns:
        `module`, without gradients.

    Raises:
        MissingWeights: There is no such file.
        BadWeights: File or module differ from `expected`, or a value is not finite; names the first tensors.
    """
    if not path.is_file():
        raise MissingWeights(f"There is no weight file {path}.", hint="Get it with `objectscan models pull`.")
    require_tensors(path, expected, shown=path.name)
    places = module.state_dict(keep_vars=True)
    _require_places(module, places, expected, path)
    with safetensors.safe_open(path, framework="pt") as file:
        for name, place in places.items():
            parts = [file.get_tensor(part) for part in expected.parts_of(name)]
            given = parts[0] if len(parts) == 1 else torch.cat(parts)
            wanted = dtype if dtype is not None and place.is_floating_point() else place.dtype
            # copy: a tensor that needs no conversion would otherwise keep the mapped file open.
            tensor = given.to(device=device, dtype=wanted, copy=True)
            _require_finite(tensor, name, path)
            _put(module, name, tensor)
    return module.requires_grad_(False)


def _require_places(module: nn.Module, places: dict[str, Tensor], expected: TensorList, path: Path) -> None:
    """The module has a place for every tensor that it must use, of the right shape."""
    needed = [name for name in expected.network if not name.startswith(expected.optional)]
    wrong = [f"'{name}' has no place in it" for name in needed if name not in places]
    for name, place in places.items():
        if name not in expected.network:
            wrong.append(f"'{name}' is not in the file")
        elif tuple(place.shape) != expected.network[name].shape:
            wrong.append(f"'{name}' is {list(place.shape)}, not {list(expected.network[name].shape)}")
    if wrong:
        raise BadWeights(
            f"{type(module).__name__} does not take the tensors of {path.name}: {_few(wrong)}.",
            hint="The weights belong to another network or version of Objectscan.",
            details={"file": str(path), "mismatches": wrong},
        )


def _require_finite(tensor: Tensor, name: str, path: Path) -> None:
    # Extremes carry NaN and infinity along; 10 times faster than isfinite and without a second tensor.
    if (
        tensor.is_floating_point()
        and tensor.numel()
        and not bool(torch.stack(tensor.aminmax()).isfinite().all())
    ):
        raise BadWeights(
            f"'{name}' of {path.name} holds NaN or infinity as {tensor.dtype}.",
            hint="Run `objectscan models verify`. If the file is right, load it in float32 or bfloat16.",
        )


def _put(module: nn.Module, name: str, tensor: Tensor) -> None:
    owner_name, _, leaf = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor


def _few(wrong: Iterable[str]) -> str:
    listed = list(wrong)
    more = f", and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return "; ".join(listed[:_SHOWN]) + more
