"""Where the stages get their networks from: one at a time, on the device only while it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from objectscan.engines.reconviagen.networks.published import filled, network_shell
from objectscan.engines.reconviagen.weights import load_network

TensorsOf = Callable[[str], Mapping[str, Tensor]]
"""The published tensors of a network by its name, preferably mapped from the file and not yet read."""


@runtime_checkable
class NetworkSource(Protocol):
    """Hands out networks by their published names (`networks.published`)."""

    def open(self, name: str, device: torch.device, *, part: str = "") -> AbstractContextManager[Any]:
        """The network, or a part of it, on the device for as long as the context lasts."""


class StoredNetworks:
    """Networks that are read anew for each stage, so that two never share the device's memory."""

    def __init__(
        self,
        tensors_of: TensorsOf,
        *,
        torso: torch.dtype = torch.float16,
        shell: Callable[..., nn.Module] = network_shell,
    ):
        """Read nothing yet.

        Args:
            tensors_of: See `TensorsOf`.
            torso: Precision of the large matrices; the published one is float16.
            shell: Builds a network without memory, as `network_shell` does.
        """
        self._tensors_of, self._torso, self._shell = tensors_of, torso, shell

    @contextmanager
    def open(self, name: str, device: torch.device, *, part: str = "") -> Iterator[Any]:
        """See `NetworkSource.open`."""
        network = filled(self._shell(name, torso=self._torso), self._tensors_of(name))
        try:
            yield network.get_submodule(part).to(device)
        finally:
            del network
            if device.type == "cuda":
                torch.cuda.empty_cache()


class FolderNetworks:
    """Networks of a collection in the models folder: checked strictly, read straight to the device."""

    def __init__(self, models: Path, *, collection: str, torso: torch.dtype = torch.float16):
        """Read nothing yet.

        Args:
            models: The models folder.
            collection: Whose weights, see `catalogue.CATALOGUE`.
            torso: Precision of the large matrices; the published one is float16.
        """
        self._models, self._collection, self._torso = models, collection, torso

    @contextmanager
    def open(self, name: str, device: torch.device, *, part: str = "") -> Iterator[Any]:
        """See `NetworkSource.open`.

        Raises:
            MissingWeights, BadWeights: The file is not there, or does not fit.
        """
        shell = network_shell(name, torso=self._torso)
        network = load_network(shell, name, self._models, collection=self._collection, device=device)
        try:
            yield network.get_submodule(part)
        finally:
            del network, shell
            if device.type == "cuda":
                torch.cuda.empty_cache()
