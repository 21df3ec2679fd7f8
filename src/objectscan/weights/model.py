"""What can be fetched: models, their files and licences, as frozen values. An engine lists its own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from objectscan.errors import InputError
from objectscan.weights.tensors import TensorList

Permission = Literal["allowed", "forbidden", "unclear"]


@dataclass(frozen=True, slots=True)
class Licence:
    """Terms that a user accepts by name before a download."""

    name: str
    """What the user types after `--accept`."""
    url: str
    """Where its text stands."""
    commercial_use: Permission
    summary: str
    """What it permits, in one or two sentences; no legal advice."""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One safetensors file of a hub repository."""

    path: str
    """Inside the repository, and inside the model's folder on this machine."""
    network: str
    """Published name of the network whose tensors it holds."""
    tensors: Callable[[], TensorList]
    """What the file must hold. Read only when needed: the largest list has 1797 rows."""
    size_bytes: int | None = None
    """None: not known before the hub says it."""
    sha256: str | None = None
    """Only where several public records agree. None: the hub's own sum is taken at the first download."""


@dataclass(frozen=True, slots=True)
class Model:
    """The files of one hub repository at one pinned revision."""

    name: str
    repository: str
    """`owner/name` on the hub."""
    revision: str
    """Full commit, never a branch."""
    licence: Licence
    files: tuple[WeightFile, ...]
    purpose: str

    @property
    def page(self) -> str:
        """The model card."""
        return f"https://huggingface.co/{self.repository}/tree/{self.revision}"

    def expected_bytes(self) -> int:
        """Size on disk: exact where it is known, else that of the tensors (within a share of 0.001)."""
        return sum(file.size_bytes or file.tensors().size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Collection:
    """Models that are needed together for one way of working."""

    name: str
    models: tuple[Model, ...]
    purpose: str

    @property
    def commercial_use(self) -> Permission:
        """The strictest answer of its models."""
        answers = {model.licence.commercial_use for model in self.models}
        return "forbidden" if "forbidden" in answers else "unclear" if "unclear" in answers else "allowed"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that can be fetched."""

    collections: tuple[Collection, ...]

    @property
    def models(self) -> tuple[Model, ...]:
        """Each model once."""
        return tuple({m.name: m for collection in self.collections for m in collection.models}.values())

    def chosen(self, names: Iterable[str]) -> tuple[Model, ...]:
        """Models by their names or those of collections, each once; all if there are no names.

        Raises:
            InputError: There is no such model or collection.
        """
        by_name: dict[str, tuple[Model, ...]] = {model.name: (model,) for model in self.models}
        by_name |= {collection.name: collection.models for collection in self.collections}
        found: dict[str, Model] = {}
        for name in names:
            if name not in by_name:
                raise InputError(f"There is no model or collection '{name}'.", hint=_hint(name, by_name))
            found |= {model.name: model for model in by_name[name]}
        return tuple(found.values()) or self.models

    def collection(self, name: str) -> Collection:
        """A collection by its name.

        Raises:
            InputError: There is none.
        """
        by_name = {collection.name: collection for collection in self.collections}
        if name not in by_name:
            raise InputError(f"There is no collection '{name}'.", hint=_hint(name, by_name))
        return by_name[name]


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    listed = f"Known: {', '.join(known)}."
    return f"Did you mean '{close[0]}'? {listed}" if close else listed
