"""One model's folder on this machine: its files, and a lock file that says what they were when they came.

MODELS/<model>/objectscan-lock.json
MODELS/<model>/<path in the repository>
MODELS/<model>/<path in the repository>.<first digits of its sum>.part     while it comes
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from objectscan.errors import BadWeights, BadWorkspace, MissingWeights
from objectscan.settings import Settings
from objectscan.weights.model import Model, WeightFile

LOCK_NAME = "objectscan-lock.json"
Witness = Literal["catalogue", "hub", "nothing"]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a file was when it was put in place."""

    size_bytes: int
    sha256: str
    witness: Witness
    """Whose sum it was compared with. `nothing`: it came from a folder, and no sum of it is known."""


@dataclass(frozen=True, slots=True)
class Lock:
    """What `objectscan-lock.json` holds."""

    revision: str = ""
    origin: str = ""
    """Endpoint of the hub, or the folder that the files came from."""
    accepted_licence: str = ""
    accepted_on: str = ""
    """UTC, ISO 8601."""
    files: Mapping[str, FileRecord] = field(default_factory=dict)

    def with_file(self, path: str, record: FileRecord) -> Lock:
        """The same with one more file."""
        return replace(self, files={**self.files, path: record})


def models_folder(settings: Settings, environment: Mapping[str, str]) -> Path:
    """Where all models are kept."""
    if settings["models"]:
        return Path(str(settings["models"])).expanduser()
    cache = environment.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "objectscan" / "models"


class ModelFolder:
    """The folder of one model below the folder of all."""

    def __init__(self, root: Path, model: Model):
        """Nothing is created before something is written."""
        self.model, self.path = model, root / model.name

    def file(self, file: WeightFile) -> Path:
        """Where a file lies, or would."""
        return self.path / file.path

    def missing(self) -> tuple[WeightFile, ...]:
        """Files that are not there."""
        return tuple(file for file in self.model.files if not self.file(file).is_file())

    def require_all(self) -> None:
        """Refuse to go on without all files.

        Raises:
            MissingWeights: Names what is missing and the command that gets it.
        """
        missing = self.missing()
        if missing:
            names = ", ".join(file.path for file in missing[:3])
            names += f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise MissingWeights(
                f"{len(missing)} of {len(self.model.files)} weight files of '{self.model.name}' are not in "
                f"{self.path}: {names}.",
                hint=f"Get them with `objectscan models pull {self.model.name}`, or set OBJECTSCAN_MODELS to "
                "the folder that has them.",
                details={"model": self.model.name, "missing": [file.path for file in missing]},
            )

    def is_recorded(self, file: WeightFile, lock: Lock) -> bool:
        """Whether a file came the regular way, of this revision, and still has its size."""
        record, path = lock.files.get(file.path), self.file(file)
        if record is None or lock.revision != self.model.revision:
            return False
        return path.is_file() and path.stat().st_size == record.size_bytes

    def lock(self) -> Lock:
        """The lock file's content; an empty one if there is none.

        Raises:
            BadWeights: It is damaged.
        """
        path = self.path / LOCK_NAME
        try:
            values = json.loads(path.read_text("utf-8"))
            files = {name: FileRecord(**record) for name, record in values.pop("files").items()}
            return Lock(**values, files=files)
        except FileNotFoundError:
            return Lock()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
            raise BadWeights(
                f"{path} can't be read: {problem}.",
                hint="Remove it and pull again: files that are right are kept.",
            ) from problem

    def write_lock(self, lock: Lock) -> None:
        """Replace the lock file, whole or not at all."""
        part = self.path / f"{LOCK_NAME}.part"
        part.write_text(json.dumps(asdict(lock), indent=1, sort_keys=True) + "\n", "utf-8")
        os.replace(part, self.path / LOCK_NAME)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder; nobody else changes it meanwhile.

        Raises:
            BadWorkspace: Another process is at it, or it can't be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = (self.path / ".lock").open("w")
        except OSError as problem:
            raise BadWorkspace(
                f"{self.path} can't be written: {problem.strerror}.",
                hint="Set OBJECTSCAN_MODELS to a folder that can be written.",
            ) from problem
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as problem:
                raise BadWorkspace(
                    f"Another process is changing {self.path}.", hint="Wait for it, then try again."
                ) from problem
            yield
