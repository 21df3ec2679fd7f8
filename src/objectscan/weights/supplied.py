"""A folder that somebody filled, as a source: for machines without a network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from objectscan.errors import BadWeights, InputError, MissingWeights
from objectscan.weights.folder import ModelFolder
from objectscan.weights.model import Model, WeightFile
from objectscan.weights.source import Interrupted, Offer

_BLOCK_BYTES = 1 << 20
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class SuppliedFolder:
    """Finds files as a snapshot of the repository, another models folder, or the hub's cache has them."""

    def __init__(self, folder: Path):
        """Look in `folder`.

        Raises:
            InputError: There is no such folder.
        """
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder}.", hint="Give the folder that holds the weights.")
        self.name, self._folder = str(folder.absolute()), folder.absolute()

    def offer(self, model: Model, file: WeightFile) -> Offer:
        """See `Source.offer`. A sum is known if the folder is a models folder with its lock file.

        Raises:
            MissingWeights: The file is not there.
            BadWeights: Only a pickle is there, or the file has another size than the catalogue says.
        """
        places = self._places(model)
        path = next((place / file.path for place in places if (place / file.path).is_file()), None)
        if path is None:
            _refuse_pickles(places, file)
            raise MissingWeights(
                f"{self.name} does not hold {file.path} of {model.repository}.",
                hint=f"It is looked for in {', '.join(str(place) for place in places)}.",
            )
        size = path.stat().st_size
        if file.size_bytes not in (None, size):
            raise BadWeights(f"{path} has {size} bytes, not {file.size_bytes}.", hint="Copy it again, whole.")
        return Offer(str(path), size, self._known_sum(model, file))

    @contextlib.contextmanager
    def stream(self, offer: Offer, start_bytes: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """See `Source.stream`."""
        try:
            with Path(offer.location).open("rb") as file:
                file.seek(start_bytes)
                yield start_bytes, iter(lambda: file.read(_BLOCK_BYTES), b"")
        except OSError as problem:
            raise Interrupted(f"{offer.location}: {problem.strerror}") from problem

    def _places(self, model: Model) -> tuple[Path, ...]:
        cached = f"models--{model.repository.replace('/', '--')}/snapshots/{model.revision}"
        return (self._folder / model.name, self._folder, self._folder / cached)

    def _known_sum(self, model: Model, file: WeightFile) -> str | None:
        lock = ModelFolder(self._folder, model).lock()
        record = lock.files.get(file.path) if lock.revision == model.revision else None
        return record.sha256 if record else None


def _refuse_pickles(places: tuple[Path, ...], file: WeightFile) -> None:
    stem = Path(file.path).with_suffix("")
    for place in places:
        for ending in _PICKLES:
            path = place / stem.with_suffix(ending)
            if path.is_file():
                raise BadWeights(
                    f"{path} is a pickle, which can run any code when it is opened; it is not used.",
                    hint=f"Get {Path(file.path).name}, or convert it: docs/generative-weights.md.",
                )
