"""Where weight files come from: what a source tells of a file, and how it gives its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from objectscan.weights.model import Model, WeightFile


class Interrupted(Exception):
    """A transfer stopped for a reason that may pass; what arrived is kept. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One file as its source describes it."""

    location: str
    """URL or path."""
    size_bytes: int
    sha256: str | None
    """None if the source does not know it."""


class Source(Protocol):
    """A hub, or a folder that somebody filled."""

    name: str
    """As messages and lock files name it."""

    def offer(self, model: Model, file: WeightFile) -> Offer:
        """Look a file up, without its bytes.

        Raises:
            Interrupted: It did not work out this time.
            DownloadFailed: It is not to be had; the message says why.
            MissingWeights: The folder lacks it.
        """

    def stream(self, offer: Offer, start_bytes: int) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
        """Open a file; gives the position of the first byte (0 or `start_bytes`) and its blocks.

        Raises:
            Interrupted: The connection broke; also while iterating.
            DownloadFailed: The file is not to be had.
        """
