"""One claimed job on one child, from its photos to its final write.

claim -> photos -> child (progress, lease) -> results -> final write
                    | cancel: asked, then killed, cancelled
                    | lease lost: killed, nothing written
                    | time limit: killed, failed
                    | worker stops: asked, then killed, given back uncounted
                    | child dies, machine at fault: counted, tried again later
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from objectscan.errors import (
    BadWorkspace,
    DatabaseFailed,
    InputError,
    ObjectscanError,
    StorageFailed,
    TimeLimitReached,
    WorkerLost,
)
from objectscan.jobs import claims
from objectscan.jobs.child_process import ChildProcess
from objectscan.jobs.claims import Limits, StageProgress
from objectscan.jobs.database import Database
from objectscan.jobs.files import JobFolder, fetch_photos, picture_key, store_results
from objectscan.jobs.lease import LeaseKeeper
from objectscan.jobs.model import Job
from objectscan.jobs.setup import Setup
from objectscan.recipes import expanded, recipe_for
from objectscan.storage import Storage

log = logging.getLogger(__name__)

_LISTEN_S = 0.2
_PICTURE_S = 2.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 5.0
_SMALLER = {"high": "standard", "standard": "preview"}

Reason = Literal["cancel", "lost", "time", "stop"]


@dataclass(frozen=True, slots=True)
class Tools:
    """What every job of a worker uses."""

    setup: Setup
    database: Database
    storage: Storage
    stop: threading.Event
    """Set when the worker has to end."""

    @property
    def limits(self) -> Limits:
        """How often and how soon a job is tried again."""
        return self.setup.limits


_UNTOUCHED: dict[str, Any] = {"is_clean": True, "memory_bytes": 0, "fragmentation": None}


@dataclass
class JobRun:
    """One attempt."""

    job: Job
    tools: Tools
    child: ChildProcess
    facts: dict[str, Any] = field(default_factory=lambda: dict(_UNTOUCHED))
    """What the child said of its memory at the end; `is_clean` if it can go on."""

    def __post_init__(self) -> None:
        """The time limit counts from here."""
        setup = self.tools.setup
        self._folder = JobFolder(setup.work_folder / self.job.id)
        self._storage = self.tools.storage.tenant(self.job.tenant)
        self._deadline = time.monotonic() + setup.seconds("job_time_limit_s")
        self._picture_time, self._picture_checked = 0.0, 0.0
        self._extra = {"job_id": self.job.id, "attempt": self.job.attempt}

    def carry_out(self) -> None:
        """Run the job and write how it ended. Every failure ends in the job's record, none is raised."""
        setup = self.tools.setup
        lease_s, heartbeat_s = setup.seconds("lease_s"), setup.seconds("heartbeat_s")
        log.info("The job starts.", extra=self._extra)
        with LeaseKeeper(self.tools.database, self.job, lease_s=lease_s, heartbeat_s=heartbeat_s) as keeper:
            try:
                end = self._attempt(keeper)
            except ObjectscanError as error:
                end = self._after_error(error, "machine" if _is_of_machine(error) else "photos")
            except Exception as error:
                log.exception("A defect of the worker.", extra=self._extra)
                end = self._after_error(WorkerLost(f"The worker failed: {error!r}."), "machine")
            # The lease is kept while the final write waits for a database that restarts.
            is_written = self._write_end(end, keeper)
        log.info("The attempt ended.", extra={**self._extra, "is_written": is_written})

    def _attempt(self, keeper: LeaseKeeper) -> Callable[[], bool]:
        """The final write that the attempt calls for."""
        fetch_photos(self._storage, self.job, self._folder, lambda: self._reason(keeper) is None)
        answer: dict[str, Any] | None = None
        reason = self._reason(keeper)
        if reason is None:
            self._give_order()
            answer, reason = self._follow(keeper)
        # A job that finished while it was asked to stop is finished, unless the lease has gone.
        if answer is not None and answer["event"] == "done" and reason != "lost":
            return self._after_success(answer, keeper)
        if reason is not None:
            return self._after_interruption(reason)
        assert answer is not None
        return self._after_failure(answer, keeper)

    def _give_order(self) -> None:
        self._folder.out.mkdir(parents=True, exist_ok=True)
        self.child.job_id = self.job.id
        order = {
            "id": self.job.id, "photos": str(self._folder.photos), "out": str(self._folder.out),
            "recipe": self.job.recipe, "seed": self.job.seed,
        }  # fmt: skip
        self.facts["is_clean"] = False  # until it answers
        self.child.send({"job": order})

    def _follow(self, keeper: LeaseKeeper) -> tuple[dict[str, Any] | None, Reason | None]:
        """The child's last message and why it was stopped; None for what there was not."""
        while True:
            message = self.child.next_message(_LISTEN_S)
            if message is not None and message["event"] != "progress":
                self._note(message)
                return message, None
            if message is not None:
                keeper.update(_progress(message))
                self._show_picture()
            reason = self._reason(keeper)
            if reason is not None:
                log.info("The job is stopped: %s.", reason, extra=self._extra)
                answer = self._stop_child(reason)
                return answer, reason

    def _stop_child(self, reason: Reason) -> dict[str, Any] | None:
        if reason == "stop":
            answer = self.child.stop_job(self.tools.setup.seconds("stop_grace_s"))
        else:
            answer = self.child.stop_job()
        if answer is not None:
            self._note(answer)
        return answer

    def _note(self, message: dict[str, Any]) -> None:
        is_clean = message["event"] in ("done", "stopped") or message.get("kind") == "photos"
        self.facts = {
            "is_clean": is_clean, "memory_bytes": message.get("memory_bytes", 0),
            "fragmentation": message.get("fragmentation"),
        }  # fmt: skip

    def _reason(self, keeper: LeaseKeeper) -> Reason | None:
        wanted = keeper.wanted
        if wanted != "go on":
            return wanted
        if time.monotonic() > self._deadline:
            return "time"
        return "stop" if self.tools.stop.is_set() else None

    def _after_success(self, answer: dict[str, Any], keeper: LeaseKeeper) -> Callable[[], bool]:
        artifacts = store_results(self._storage, self.job, self._folder, lambda: keeper.wanted == "go on")

        def write() -> bool:
            job, database = self.job, self.tools.database
            is_done = claims.succeed(database, job, artifacts=artifacts, summary=answer["summary"])
            if is_done:
                self._tidy()
            # The guard also refuses a job whose cancellation came first.
            return is_done or claims.end_cancelled(database, job)

        return write

    def _after_interruption(self, reason: Reason) -> Callable[[], bool]:
        job, database = self.job, self.tools.database
        if reason == "cancel":
            return lambda: claims.end_cancelled(database, job)
        if reason == "stop":
            return lambda: claims.give_back(database, job)
        if reason == "time":
            limit_s = self.tools.setup.seconds("job_time_limit_s")
            error = TimeLimitReached(
                f"The job ran longer than {limit_s:g} s.", hint="Use a smaller preset or fewer photos."
            )
            return lambda: claims.fail(database, job, error)
        return lambda: False

    def _after_failure(self, answer: dict[str, Any], keeper: LeaseKeeper) -> Callable[[], bool]:
        values = answer["error"]
        error = ObjectscanError(values["message"], hint=values["hint"], details=values["details"])
        error.code = values["code"]
        if answer["kind"] != "photos" or not (self._folder.out / "report.json").is_file():
            return self._after_error(error, answer["kind"])
        artifacts = store_results(self._storage, self.job, self._folder, lambda: keeper.wanted == "go on")
        return lambda: claims.fail(self.tools.database, self.job, error, artifacts=artifacts)

    def _after_error(self, error: ObjectscanError, kind: str) -> Callable[[], bool]:
        """`kind`: see `child._kind`."""
        log.warning("%s", error, extra={**self._extra, "code": error.code})
        job, database = self.job, self.tools.database
        if kind == "photos":
            return lambda: claims.fail(database, job, error)
        changes = None
        if kind == "memory":
            changes = _smaller(job)
            if changes is None:
                return lambda: claims.fail(database, job, error)
        return lambda: claims.try_again(database, job, error, self.tools.limits, changes=changes)

    def _write_end(self, write: Callable[[], bool], keeper: LeaseKeeper) -> bool:
        """Make the final write; while the database does not answer, again and again, as long as it may."""
        stop, wait_s = self.tools.stop, _FIRST_WAIT_S
        give_up = float("inf")
        while keeper.wanted != "lost" and time.monotonic() < give_up:
            try:
                return write()
            except DatabaseFailed as problem:
                log.warning("The end of the job can't be written yet: %s", problem, extra=self._extra)
            if stop.is_set() and give_up == float("inf"):
                give_up = time.monotonic() + self.tools.setup.seconds("stop_grace_s")
            time.sleep(wait_s)
            wait_s = min(2.0 * wait_s, _LONGEST_WAIT_S)
        return False

    def _tidy(self) -> None:
        """Remove what a finished job does not need any more; what stays is swept later."""
        self._folder.remove()
        try:
            self._storage.delete(picture_key(self.job))
        except StorageFailed as problem:
            log.warning("%s", problem, extra=self._extra)

    def _show_picture(self) -> None:
        """Keep the picture of the growing model in the storage up to date, every two seconds at most."""
        now = time.monotonic()
        if now - self._picture_checked < _PICTURE_S:
            return
        self._picture_checked = now
        try:
            changed = self._folder.picture.stat().st_mtime
            if changed != self._picture_time:
                self._picture_time = changed
                self._storage.put_file(picture_key(self.job), self._folder.picture)
        except FileNotFoundError:
            return
        except (StorageFailed, OSError) as problem:
            log.warning("The picture of the model was not stored: %s", problem, extra=self._extra)


def _progress(message: dict[str, Any]) -> StageProgress:
    return StageProgress(
        message["stage"], message["stage_fraction"], message["fraction"], message["remaining_s"]
    )


def _is_of_machine(error: ObjectscanError) -> bool:
    return isinstance(error, BadWorkspace) or not isinstance(error, InputError)


def _smaller(job: Job) -> dict[str, Any] | None:
    """Columns for one more try with less memory; None if the job is as small as it gets or had its try."""
    is_lowered = job.recipe["preset"] != job.preset
    smaller = _SMALLER.get(job.preset)
    if is_lowered or smaller is None:
        return None
    return {"recipe": expanded(recipe_for(smaller, job.overrides))}
