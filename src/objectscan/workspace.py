"""The output folder of one job: what it was made from, which stages are done, and their results.

A stage counts as done when its file lies in `stages`: files appear whole or not at all, and each carries the
key of the job that wrote it. The key covers everything that decides a result, so a killed run goes on after
its last finished stage, and a run with another recipe, seed or code starts anew. docs/cli.md lists the files.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from objectscan.archive import reconstruction_from
from objectscan.errors import BadWorkspace
from objectscan.types import Reconstruction

JOB_FILE = "job.json"
RESULT = "result"
"""Stage file of the engine's finished reconstruction."""
CAPTURE_FOLDER = "capture"
"""Cameras and masks that were found from plain photos; it may be there before the job is."""
_LOCK_FILE = ".lock"
_SOFTWARE = "objectscan"
_UNFINISHED = ("stages/*.part", "previews/*.part", "*.part", ".*.part")
_OWN = (
    "model.glb",
    "report.json",
    "report.html",
    "progress.webp",
    "error.log",
    "previews/*.webp",
    "stages/*.npz",
)
_IN_WORDS = {"recipe": "preset or options", "seed": "seed", "capture_hash": "photos"}
"""What a user chooses. The same choices with newer code replace a result without a question."""
_KEY_PARTS = (*_IN_WORDS, "version", "source")
"""What decides a result."""
_DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


class Workspace:
    """An output folder that belongs to one job; its `Checkpoints`. Nothing is written outside it."""

    def __init__(self, folder: Path, key: str):
        """Use `open_workspace`."""
        self.folder, self._key = folder, key

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Arrays of a finished stage of this very job, or None."""
        try:
            # Opened here: numpy leaves a file open that turns out to be damaged.
            with (
                (self.folder / "stages" / f"{name}.npz").open("rb") as file,
                np.load(file, allow_pickle=False) as arrays,
            ):
                if str(arrays["job_key"]) != self._key:
                    return None
                return {key: arrays[key] for key in arrays.files if key != "job_key"}
        except _DAMAGED:
            return None

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under a name, whole or not at all.

        Raises:
            BadWorkspace: The disk is full, or the folder can't be written any more.
        """
        self._replace(
            f"stages/{name}.npz",
            lambda file: np.savez(file, job_key=np.array(self._key), **arrays),  # type: ignore[arg-type]
        )

    def write(self, name: str, content: bytes) -> Path:
        """Put a file into the folder, whole or not at all.

        Raises:
            BadWorkspace: The disk is full, or the folder can't be written any more.
        """
        return self._replace(name, lambda file: file.write(content))

    def _replace(self, name: str, fill: Callable[[BinaryIO], object]) -> Path:
        path = self.folder / name
        part = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(exist_ok=True)
            with part.open("wb") as file:
                fill(file)
            os.replace(part, path)
        except OSError as problem:
            part.unlink(missing_ok=True)
            raise BadWorkspace(
                f"{path} can't be written: {problem.strerror or problem}.",
                hint="Check the free space on the disk, then run the same command again to go on.",
            ) from problem
        return path


def require_usable(folder: Path) -> None:
    """Refuse an output folder before any work is done.

    Raises:
        BadWorkspace: It is a file, or holds things without being the folder of an earlier job.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BadWorkspace(f"{folder} is a file.", hint="Choose a folder.")
    ours = {_LOCK_FILE, CAPTURE_FOLDER} if _is_of_plain_photos(folder / CAPTURE_FOLDER) else {_LOCK_FILE}
    others = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    if others and not _is_job(folder):
        raise BadWorkspace(
            f"{folder} holds other files, such as '{others[0]}'.",
            hint="Choose a new folder, or one of an earlier run.",
        )


@contextlib.contextmanager
def open_workspace(folder: Path, job: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[Workspace]:
    """Make or reopen the output folder of a job, alone.

    If it holds an earlier run of the same job, finished stages are used again. An unfinished run of another
    job (other photos, recipe or seed) is replaced; a finished one only on request.
    The same job of another version of the code starts anew.

    Args:
        folder: The output folder.
        job: JSON values: recipe, seed, capture (path), capture_hash, version, source.
        overwrite: Whether another job's finished result may be replaced.

    Raises:
        BadWorkspace: The folder holds other things or another job's result, is in use, or can't be written.
    """
    require_usable(folder)
    with locked(folder):
        if _is_job(folder):
            _give_way(folder, read_job(folder), job, overwrite=overwrite)
        workspace = Workspace(folder, _key(job))
        text = json.dumps({"software": _SOFTWARE, **job}, indent=1, sort_keys=True)
        workspace.write(JOB_FILE, (text + "\n").encode())
        yield workspace


def read_job(folder: Path) -> dict[str, Any]:
    """What the job of an output folder was.

    Raises:
        BadWorkspace: It is no output folder.
    """
    if not _is_job(folder):
        raise BadWorkspace(
            f"{folder} is no output folder: it has no readable {JOB_FILE}.",
            hint="Make one with `objectscan reconstruct CAPTURE -o FOLDER`.",
        )
    job: dict[str, Any] = json.loads((folder / JOB_FILE).read_text("utf-8"))
    return job


def load_result(folder: Path) -> Reconstruction:
    """The finished reconstruction of an output folder.

    Raises:
        BadWorkspace: There is none.
    """
    arrays = Workspace(folder, _key(read_job(folder))).load(RESULT)
    if arrays is None:
        raise BadWorkspace(
            f"{folder} holds no finished reconstruction.",
            hint="Run `objectscan reconstruct CAPTURE -o` on it first; it goes on where it stopped.",
        )
    try:
        return reconstruction_from(arrays)
    except _DAMAGED as problem:
        raise BadWorkspace(
            f"The reconstruction in {folder} is damaged: {problem}.", hint="Run it again."
        ) from problem


def _key(job: Mapping[str, Any]) -> str:
    text = json.dumps({name: job.get(name) for name in _KEY_PARTS}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """As it comes back from JSON: a live recipe's tuples become lists."""
    return json.loads(json.dumps(value))


def _is_of_plain_photos(capture: Path) -> bool:
    """Whether a capture was made there, or is being made: nobody else's folder looks like that."""
    made = ("solve.json", "findings.json")
    return any((capture / name).is_file() for name in made) or (capture / "work" / "photos").is_dir()


def _is_job(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / JOB_FILE).read_text("utf-8"))["software"] == _SOFTWARE)
    except _DAMAGED:
        return False


def _give_way(folder: Path, earlier: Mapping[str, Any], job: Mapping[str, Any], *, overwrite: bool) -> None:
    """Remove what can't be used for this job: unfinished files, and all of another job's."""
    differing = [name for name in _KEY_PARTS if _plain(earlier.get(name)) != _plain(job.get(name))]
    chosen = [name for name in differing if name in _IN_WORDS]
    if chosen and (folder / "model.glb").exists() and not overwrite:
        words = ", ".join(_IN_WORDS[name] for name in chosen)
        raise BadWorkspace(
            f"{folder} holds a finished result of another job (different: {words}).",
            hint="Choose a new folder, or replace that result with --overwrite.",
            details={"different": chosen},
        )
    patterns = (*_UNFINISHED, *_OWN) if differing else _UNFINISHED
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and keep other runs out of it.

    Raises:
        BadWorkspace: Another run is in it, or it can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK_FILE).open("w")
    except OSError as problem:
        raise BadWorkspace(
            f"{folder} can't be written: {problem.strerror}.", hint="Choose another folder."
        ) from problem
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise BadWorkspace(
                f"Another run is using {folder}.", hint="Wait for it, or choose another folder."
            ) from problem
        yield
