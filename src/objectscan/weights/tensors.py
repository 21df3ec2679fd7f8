"""Names, types and shapes of the tensors in a safetensors file, without reading the tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path

import safetensors

from objectscan.errors import BadWeights

FLOATS = ("F16", "BF16", "F32")
"""Types that a floating tensor may have on disk where the published type is not confirmed."""
_ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
_SHOWN = 3
"""Mismatches that a message names; the rest is counted."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Type and shape of one tensor."""

    dtype: str
    """As safetensors writes it: F16, BF16, F32 ..."""
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Without the header."""
        return _ITEM_BYTES[self.dtype] * math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class TensorList:
    """What a file must hold for a network."""

    network: Mapping[str, TensorSpec]
    """By the network's own tensor names."""
    parts_of: Callable[[str], tuple[str, ...]] = field(default=lambda name: (name,))
    """Names in the file of one tensor of the network; several are joined along their first axis."""
    optional: tuple[str, ...] = ()
    """Beginnings of names that the file may hold or lack: nothing reads them."""
    types_confirmed: bool = False
    """Whether the types on disk are known. If not, any of `FLOATS` will do; loading converts."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors in their listed types."""
        return sum(spec.size_bytes for spec in self.network.values())

    def stored(self) -> dict[str, TensorSpec]:
        """The tensors as the file names them."""
        found: dict[str, TensorSpec] = {}
        for name, spec in self.network.items():
            parts = self.parts_of(name)
            shape = spec.shape if len(parts) == 1 else (spec.shape[0] // len(parts), *spec.shape[1:])
            found |= {part: TensorSpec(spec.dtype, shape) for part in parts}
        return found

    def mismatches(self, present: Mapping[str, TensorSpec]) -> list[str]:
        """In words: tensors of a file that are missing, unexpected, or of another type or shape."""
        wanted = self.stored()
        is_needed = {name for name in wanted if not name.startswith(self.optional)}
        wrong = [f"'{name}' is missing" for name in wanted if name in is_needed and name not in present]
        for name, spec in present.items():
            if name not in wanted:
                if not name.startswith(self.optional):
                    wrong.append(f"'{name}' is not expected")
            elif spec.shape != wanted[name].shape or not self._fits(spec.dtype, wanted[name].dtype):
                wrong.append(f"'{name}' is {spec}, not {wanted[name]}")
        return wrong

    def _fits(self, dtype: str, wanted: str) -> bool:
        return dtype == wanted or (not self.types_confirmed and dtype in FLOATS and wanted in FLOATS)


def read_list(file: Traversable) -> dict[str, TensorSpec]:
    """A list from JSON: `{"name": ["F16", [2, 3]], ...}`."""
    rows = json.loads(file.read_text("utf-8"))
    return {name: TensorSpec(dtype, tuple(shape)) for name, (dtype, shape) in rows.items()}


def read_header(path: Path) -> dict[str, TensorSpec]:
    """What a safetensors file says that it holds; reads its header only.

    Raises:
        BadWeights: It is no whole safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return {name: TensorSpec(s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()}
    except (safetensors.SafetensorError, OSError) as problem:
        raise BadWeights(
            f"{path} is no whole safetensors file: {problem}.",
            hint="It was cut off, or is of another kind. Remove it and get it again.",
        ) from problem


def require_tensors(path: Path, expected: TensorList, *, shown: str) -> None:
    """Compare a file's header with what a network needs, strictly.

    Args:
        path: The file.
        expected: What it must hold.
        shown: How messages name the file.

    Raises:
        BadWeights: Names the first few tensors that differ.
    """
    wrong = expected.mismatches(read_header(path))
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise BadWeights(
            f"{shown} does not hold the tensors of its network: {'; '.join(wrong[:_SHOWN])}{more}.",
            hint="It belongs to another network or revision. Get it again with `objectscan models pull`.",
            details={"file": str(path), "mismatches": wrong},
        )
