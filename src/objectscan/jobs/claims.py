"""A worker's side of a job: claim it, keep it, end it. Each write is guarded by owner and attempt.

A guard that matches no row means that the lease was lost: somebody else has the job, and whoever asked must
stop its child and write nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from objectscan.errors import ObjectscanError, WorkerLost
from objectscan.jobs.database import Database, now
from objectscan.jobs.events import Kind, append_event
from objectscan.jobs.model import Job, job_from, jobs
from objectscan.jobs.ranking import next_waiting

_TRIES = 20
"""Claims that other workers may snatch away before one gives up until its next poll."""
_CANDIDATES = 8
_FREE: Mapping[str, Any] = {"owner": None, "lease_until": None}
_FIRST_BACKOFF_S = 2.0


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far a running job is."""

    stage: str
    stage_fraction: float
    fraction: float
    remaining_s: float | None


@dataclass(frozen=True, slots=True)
class Limits:
    """How often and how soon a job is tried again."""

    max_attempts: int
    backoff_cap_s: float

    def backoff_s(self, failures: int) -> float:
        """2, 4, 8 ... seconds, up to the cap."""
        return min(_FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 60), self.backoff_cap_s)


def claim(database: Database, owner: str, lease_s: float) -> Job | None:
    """Take the job whose turn it is, or None if none is due.

    Looking holds no lock. Of several workers that look at once each tries the best, then the next best.
    """
    for _ in range(_TRIES):
        with database.reading() as connection:
            numbers = next_waiting(connection, _CANDIDATES)
        if not numbers:
            return None
        with database.writing() as connection:
            for number in numbers:
                taken = _taken(connection, number, owner, lease_s)
                if taken is not None:
                    append_event(connection, taken.tenant, taken.id, "started", {"attempt": taken.attempt})
                    return taken
    return None


def _taken(connection: sa.Connection, number: int, owner: str, lease_s: float) -> Job | None:
    row = connection.execute(
        sa.update(jobs)
        .where(jobs.c.number == number, jobs.c.state == "queued", jobs.c.not_before <= now())
        .values(
            state="running", owner=owner, attempt=jobs.c.attempt + 1, started_at=now(),
            lease_until=now() + lease_s, stage="start", stage_fraction=0.0, fraction=0.0, remaining_s=None,
        )
        .returning(jobs)
    ).one_or_none()  # fmt: skip
    return None if row is None else job_from(row)


Beat = Literal["go on", "cancel", "lost"]


def beat(database: Database, job: Job, lease_s: float, progress: StageProgress | None, *, tell: bool) -> Beat:
    """Renew the lease, write the progress if there is any, and hear what is wanted. `tell`: as an event."""
    values: dict[str, Any] = {"lease_until": now() + lease_s}
    if progress is not None:
        values |= {
            "stage": progress.stage, "stage_fraction": progress.stage_fraction,
            "fraction": progress.fraction, "remaining_s": progress.remaining_s,
        }  # fmt: skip
    with database.writing() as connection:
        wanted = sa.update(jobs).where(_is_ours(job)).values(**values).returning(jobs.c.cancel_requested)
        row = connection.execute(wanted).one_or_none()
        if row is not None and tell and progress is not None:
            del values["lease_until"]
            append_event(connection, job.tenant, job.id, "progress", values)
    return _heard(row)


def listen(database: Database, job: Job) -> Beat:
    """Hear what is wanted without writing: cheap enough for once a second."""
    with database.reading() as connection:
        asked = sa.select(jobs.c.cancel_requested).where(_is_ours(job))
        return _heard(connection.execute(asked).one_or_none())


def succeed(
    database: Database, job: Job, *, artifacts: Mapping[str, Any], summary: Mapping[str, Any] | None
) -> bool:
    """The final write of a job that worked out: the pointer moves to this attempt's files.

    False if the lease was lost, or a cancellation came first: `listen` tells which.
    """
    values = {
        "state": "succeeded", "finished_at": now(), "fraction": 1.0, "stage_fraction": 1.0,
        "remaining_s": 0.0, "error": None, "artifacts": dict(artifacts), "summary": summary,
    }  # fmt: skip
    guard = _is_ours(job) & jobs.c.cancel_requested.is_(False)
    return _write(database, job, "succeeded", values, {"attempt": job.attempt, "summary": summary}, guard)


def fail(
    database: Database, job: Job, error: ObjectscanError, *, artifacts: Mapping[str, Any] | None = None
) -> bool:
    """The final write of a job that did not work out; what it left, such as a report, is kept."""
    values = {
        "state": "failed", "finished_at": now(), "remaining_s": None, "error": error_values(error),
        "artifacts": None if artifacts is None else dict(artifacts),
    }  # fmt: skip
    return _write(database, job, "failed", values, {"attempt": job.attempt, "error": error_values(error)})


def end_cancelled(database: Database, job: Job) -> bool:
    """The final write of a job that was stopped on request."""
    values = {"state": "cancelled", "finished_at": now(), "remaining_s": None}
    return _write(database, job, "cancelled", values, {"attempt": job.attempt})


def give_back(database: Database, job: Job) -> bool:
    """Put the job back into the line at once; this attempt does not count."""
    return _write(database, job, "queued", {"state": "queued"}, {"reason": "worker stopped"})


def try_again(
    database: Database, job: Job, error: ObjectscanError, limits: Limits, *,
    changes: Mapping[str, Any] | None = None,
) -> bool:  # fmt: skip
    """Count a failure: back into the line after a while, or failed for good if it was one too many.

    Args:
        database: Where the job is.
        job: As it was claimed.
        error: What went wrong.
        limits: How often, how soon.
        changes: Columns that the next attempt needs otherwise, such as a smaller recipe.
    """
    failures = job.failures + 1
    if failures >= limits.max_attempts:
        return fail(database, job, error)
    values = {
        "state": "queued", "failures": failures, "not_before": now() + limits.backoff_s(failures),
        "error": error_values(error), **(changes or {}),
    }  # fmt: skip
    data = {"reason": error.code, "failures": failures, "is_smaller": changes is not None}
    return _write(database, job, "queued", values, data)


def reap(database: Database, limits: Limits) -> Sequence[str]:
    """Take jobs from workers that are not heard of any more; ids of those that wait again. Safe to repeat."""
    with database.reading() as connection:
        is_over = (jobs.c.state == "running") & (jobs.c.lease_until < now())
        lost = [job_from(row) for row in connection.execute(sa.select(jobs).where(is_over)).all()]
    error = WorkerLost("The worker was not heard of any more.", hint="The job is tried again by itself.")
    waiting = []
    for job in lost:
        if _reap_one(database, job, error, limits):
            waiting.append(job.id)
    return waiting


def error_values(error: ObjectscanError) -> dict[str, Any]:
    """An error as it stands in the job's record."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "details": error.details}


def _reap_one(database: Database, job: Job, error: ObjectscanError, limits: Limits) -> bool:
    """Whether the job waits again. A worker that wakes up in between keeps it: its beat moved the lease."""
    is_over = _is_ours(job) & (jobs.c.lease_until < now())
    failures = job.failures + 1
    if job.cancel_requested:
        values: dict[str, Any] = {"state": "cancelled", "finished_at": now(), "failures": failures}
    elif failures >= limits.max_attempts:
        values = {"state": "failed", "finished_at": now(), "failures": failures, "error": error_values(error)}
    else:
        not_before = now() + limits.backoff_s(failures)
        values = {"state": "queued", "failures": failures, "not_before": not_before}
    data = {"reason": error.code, "failures": failures}
    is_done = _write(database, job, values["state"], values, data, is_over)
    return is_done and values["state"] == "queued"


def _is_ours(job: Job) -> sa.ColumnElement[bool]:
    return (
        (jobs.c.number == job.number)
        & (jobs.c.owner == job.owner)
        & (jobs.c.attempt == job.attempt)
        & (jobs.c.state == "running")
    )


def _heard(row: sa.Row[Any] | None) -> Beat:
    if row is None:
        return "lost"
    return "cancel" if row.cancel_requested else "go on"


def _write(
    database: Database, job: Job, kind: Kind, values: Mapping[str, Any], data: Mapping[str, Any],
    guard: sa.ColumnElement[bool] | None = None,
) -> bool:  # fmt: skip
    where = _is_ours(job) if guard is None else guard
    with database.writing(durable=True) as connection:
        ended = connection.execute(sa.update(jobs).where(where).values(**{**_FREE, **values}))
        if ended.rowcount != 1:
            return False
        append_event(connection, job.tenant, job.id, kind, data)
        return True
