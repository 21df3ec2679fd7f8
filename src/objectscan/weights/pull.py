"""Get weights: licences first, then what is missing is planned, comes, is checked and put in place."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from objectscan.errors import BadWeights, DownloadFailed, LicenceNotAccepted, NotEnoughSpace
from objectscan.types import Progress, ProgressFn, ignore_progress
from objectscan.weights.folder import FileRecord, ModelFolder, Witness
from objectscan.weights.model import Model, WeightFile
from objectscan.weights.part import PartFile, sha256_of
from objectscan.weights.source import Interrupted, Offer, Source
from objectscan.weights.tensors import require_tensors

Wait = Callable[[float], None]
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Between tries that bring nothing; 30 s in all, enough for a router to come back."""
_FIRST_PAUSES_S = _PAUSES_S[:3]
"""While files are looked up, before anything has come: who has no network should not wait long to hear it."""
_SPARE_BYTES = 50_000_000
"""Left free on the disk, for whatever else runs there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One file to get."""

    folder: ModelFolder
    file: WeightFile
    offer: Offer

    @property
    def name(self) -> str:
        """Model and path, as progress and messages name it."""
        return f"{self.folder.model.name}/{self.file.path}"

    @property
    def expected_sha256(self) -> str | None:
        """The sum it must have, if anybody knows it."""
        return self.file.sha256 or self.offer.sha256

    @property
    def witness(self) -> Witness:
        """Whose sum that is."""
        return "catalogue" if self.file.sha256 else "hub" if self.offer.sha256 else "nothing"

    def part(self) -> Path:
        """Where it grows. Its name changes with the file, so that two are never spliced."""
        whole = self.folder.file(self.file)
        return whole.with_name(
            f"{whole.name}.{(self.expected_sha256 or self.folder.model.revision)[:12]}.part"
        )

    def remaining_bytes(self) -> int:
        """What an earlier try did not bring."""
        part = self.part()
        return max(0, self.offer.size_bytes - (part.stat().st_size if part.is_file() else 0))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pull is going to do."""

    folders: tuple[ModelFolder, ...]
    steps: tuple[Step, ...]
    origin: str

    def shares(self) -> tuple[tuple[str, float], ...]:
        """(name, bytes) of each step, for a progress bar."""
        return tuple((step.name, float(step.offer.size_bytes)) for step in self.steps)

    def remaining_bytes(self) -> int:
        """What is still to come."""
        return sum(step.remaining_bytes() for step in self.steps)


def require_licences(models: Sequence[Model], root: Path, accepted: Collection[str]) -> None:
    """Refuse to fetch anything under terms that nobody agreed to.

    Args:
        models: What is wanted.
        root: The models folder: a licence accepted there earlier counts.
        accepted: Names of licences that are accepted now.

    Raises:
        LicenceNotAccepted: Names each licence, where it stands and how to accept it.
    """
    open_models = [
        model
        for model in models
        if model.licence.name not in accepted
        and ModelFolder(root, model).lock().accepted_licence != model.licence.name
    ]
    if not open_models:
        return
    told = "; ".join(
        f"'{m.licence.name}' of {m.name} (commercial use {m.licence.commercial_use}; {m.licence.url})"
        for m in open_models
    )
    names = dict.fromkeys(model.licence.name for model in open_models)
    raise LicenceNotAccepted(
        f"Not accepted yet: {told}.",
        hint="Read them, then repeat the command with "
        + " ".join(f"--accept {name}" for name in names)
        + ".",
        details={"licences": list(names)},
    )


def plan_pull(models: Sequence[Model], root: Path, source: Source, *, wait: Wait = time.sleep) -> Plan:
    """Ask the source about every file that is not here yet, and the disk whether they fit.

    Raises:
        DownloadFailed, MissingWeights, BadWeights: A file is not to be had, or is another one.
        NotEnoughSpace: States both numbers.
    """
    folders = tuple(ModelFolder(root, model) for model in models)
    steps = []
    for folder in folders:
        lock = folder.lock()
        for file in folder.model.files:
            if not folder.is_recorded(file, lock):
                steps.append(Step(folder, file, _offered(source, folder.model, file, wait)))
    plan = Plan(folders, tuple(steps), source.name)
    _require_space(plan, root)
    return plan


def carry_out(
    plan: Plan, source: Source, *, now: str, report: ProgressFn = ignore_progress, wait: Wait = time.sleep
) -> None:
    """Get the planned files. A stopped pull goes on where it was.

    Args:
        plan: From `plan_pull`, after `require_licences`.
        source: The one that was asked.
        now: UTC, ISO 8601, for the record of the licence.
        report: Told at least once a block; may raise `Cancelled`.
        wait: Sleeps between tries.

    Raises:
        DownloadFailed: The source stayed silent.
        BadWeights: A file has another sum, or other tensors, than it must have; it is not put in place.
        NotEnoughSpace: The disk became full.
        BadWorkspace: The folder can't be written, or another process is at it.
    """
    with ExitStack() as stack:
        for folder in plan.folders:
            stack.enter_context(folder.alone())
            _record_licence(folder, plan.origin, now)
        for step in plan.steps:
            if not _adopted(step):
                _fetch(step, source, report, wait)
            report(Progress(step.name, 1.0))


def _offered(source: Source, model: Model, file: WeightFile, wait: Wait) -> Offer:
    for pause_s in (*_FIRST_PAUSES_S, None):
        try:
            return source.offer(model, file)
        except Interrupted as problem:
            _pause(pause_s, problem, source, wait)
    raise AssertionError("the last pause raises")


def _fetch(step: Step, source: Source, report: ProgressFn, wait: Wait) -> None:
    pauses = iter(_PAUSES_S)
    with PartFile(step.part(), step.offer.size_bytes) as part:
        while part.size_bytes < step.offer.size_bytes:
            before = part.size_bytes
            try:
                _take(part, step, source, report)
                problem = Interrupted("the connection was closed early")
            except Interrupted as interruption:
                problem = interruption
            if part.size_bytes > before:
                pauses = iter(_PAUSES_S)
            if part.size_bytes < step.offer.size_bytes:
                _pause(next(pauses, None), problem, source, wait)
        part.settle()
        found = part.sha256()
    _put_in_place(step, found)


def _take(part: PartFile, step: Step, source: Source, report: ProgressFn) -> None:
    with source.stream(step.offer, part.size_bytes) as (start_bytes, blocks):
        if start_bytes != part.size_bytes:
            part.restart()
        for block in blocks:
            part.append(block)
            whole = step.offer.size_bytes
            words = f"{part.size_bytes / 1e6:.0f} of {whole / 1e6:.0f} MB"
            report(Progress(step.name, part.size_bytes / whole, words))


def _pause(pause_s: float | None, problem: Interrupted, source: Source, wait: Wait) -> None:
    if pause_s is None:
        raise DownloadFailed(
            f"{source.name} does not deliver, try after try: {problem}.",
            hint="What arrived is kept: run the same command again to go on. Behind a proxy set HTTPS_PROXY; "
            "for a mirror HF_ENDPOINT; without a network use --from FOLDER.",
        ) from problem
    wait(pause_s)


def _put_in_place(step: Step, found: str) -> None:
    part = step.part()
    try:
        if step.expected_sha256 not in (None, found):
            raise BadWeights(
                f"{step.name} arrived with SHA-256 {found}, but {step.expected_sha256} is right.",
                hint="Damaged on the way, or the mirror is wrong; it was removed. Run the command again.",
                details={"found": found, "expected": step.expected_sha256},
            )
        require_tensors(part, step.file.tensors(), shown=step.name)
    except BadWeights:
        part.unlink()
        raise
    whole = step.folder.file(step.file)
    os.replace(part, whole)
    for stale in whole.parent.glob(f"{whole.name}.*.part"):
        stale.unlink()
    _record(step, found)


def _adopted(step: Step) -> bool:
    """Whether the file is there already and right, without a record: copied by hand, or of an older pull."""
    path = step.folder.file(step.file)
    if not path.is_file() or step.expected_sha256 is None or path.stat().st_size != step.offer.size_bytes:
        return False
    if sha256_of(path) != step.expected_sha256:
        return False
    require_tensors(path, step.file.tensors(), shown=step.name)
    _record(step, step.expected_sha256)
    return True


def _record(step: Step, found: str) -> None:
    record = FileRecord(step.offer.size_bytes, found, step.witness)
    step.folder.write_lock(step.folder.lock().with_file(step.file.path, record))


def _record_licence(folder: ModelFolder, origin: str, now: str) -> None:
    lock, model = folder.lock(), folder.model
    if lock.revision != model.revision:
        lock = replace(lock, revision=model.revision, files={})
    if lock.accepted_licence != model.licence.name:
        lock = replace(lock, accepted_licence=model.licence.name, accepted_on=now)
    folder.write_lock(replace(lock, origin=origin))


def _require_space(plan: Plan, root: Path) -> None:
    existing = next(folder for folder in (root, *root.absolute().parents) if folder.is_dir())
    free_bytes, needed_bytes = shutil.disk_usage(existing).free, plan.remaining_bytes() + _SPARE_BYTES
    if plan.steps and needed_bytes > free_bytes:
        raise NotEnoughSpace(
            f"{root} needs {needed_bytes / 1e9:.2f} GB, and {free_bytes / 1e9:.2f} GB are free there.",
            hint="Free some space, or set OBJECTSCAN_MODELS to a folder on another disk.",
            details={"needed_bytes": needed_bytes, "free_bytes": free_bytes},
        )
