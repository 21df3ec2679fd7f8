"""Are the weights that lie here the ones that came? Every byte is read again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from objectscan.errors import BadWeights
from objectscan.types import Progress, ProgressFn, ignore_progress
from objectscan.weights.folder import FileRecord, Lock, ModelFolder
from objectscan.weights.model import WeightFile
from objectscan.weights.part import sha256_of
from objectscan.weights.tensors import require_tensors

State = Literal["right", "missing", "wrong", "unrecorded"]
_AGAINST = {
    "catalogue": "as the catalogue of Objectscan says",
    "hub": "as the hub said when it came",
    "nothing": "as it was when it came from a folder; no published sum was known",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found about one file."""

    model: str
    path: str
    state: State
    words: str


def verify(folder: ModelFolder, *, report: ProgressFn = ignore_progress) -> Iterator[Verdict]:
    """Check every file of a model: there, sum, tensors. Costs one reading of all bytes."""
    lock = folder.lock()
    for file in folder.model.files:
        name = f"{folder.model.name}/{file.path}"
        report(Progress(name, 0.0))
        state, words = _judged(folder, file, lock, name)
        report(Progress(name, 1.0))
        yield Verdict(folder.model.name, file.path, state, words)


def _judged(folder: ModelFolder, file: WeightFile, lock: Lock, name: str) -> tuple[State, str]:
    path, record = folder.file(file), lock.files.get(file.path)
    if not path.is_file():
        return "missing", f"{path} is not there"
    try:
        require_tensors(path, file.tensors(), shown=name)
    except BadWeights as problem:
        return "wrong", problem.message
    known = file.sha256 or (record.sha256 if record and lock.revision == folder.model.revision else None)
    if known is None:
        return "unrecorded", "its tensors fit, but nothing tells its sum: pull it to have one"
    found = sha256_of(path)
    if found != known:
        return "wrong", f"its SHA-256 is {found}, not {known}"
    return "right", _against(file, record)


def _against(file: WeightFile, record: FileRecord | None) -> str:
    witness = "catalogue" if file.sha256 else record.witness if record else "nothing"
    return f"sum {_AGAINST[witness]}; tensors fit"
