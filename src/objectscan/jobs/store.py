"""A caller's side of jobs: submit, look, list, cancel, retry, delete. Everything is bound to a tenant."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from objectscan.errors import IdempotencyConflict, InputError, QuotaExceeded, UnknownJob, WrongState
from objectscan.jobs.database import Database, lock_tenant, now
from objectscan.jobs.events import append_event
from objectscan.jobs.model import FINISHED, Job, State, events, idempotency_keys, job_from, job_tags, jobs
from objectscan.jobs.plain import plain_text
from objectscan.jobs.ranking import queue_position
from objectscan.recipes import expanded, recipe_for
from objectscan.storage.names import require_key, require_tenant

IDEMPOTENCY_S = 86_400.0
"""How long the answer to an idempotency key is remembered."""
_MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a caller asks for."""

    tenant: str
    input: str
    """Storage folder of the photos, within the tenant's part."""
    preset: str = "standard"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    priority: int = 5
    external_id: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    retention_s: float | None = None
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's promise that two requests with the same key are the same."""

    key: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class Filters:
    """Which jobs a list shows; None and empty leave open."""

    states: tuple[State, ...] = ()
    tag: str | None = None
    external_id: str | None = None
    created_after: float | None = None
    created_before: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first."""

    jobs: Sequence[Job]
    next_cursor: str | None
    """Gives the jobs after these; None at the end."""


def submit(
    database: Database, new: NewJob, *, idempotency: Idempotency | None = None, max_waiting: int = 0
) -> tuple[Job, bool]:
    """Accept a job: when this returns, the job is on disk and will be run.

    Args:
        database: Where to.
        new: What to do.
        idempotency: Gives the job of an earlier, equal request instead of a second one, for 24 h.
        max_waiting: Jobs that the tenant may have waiting; 0 means no limit.

    Returns:
        The job, and whether it is new.

    Raises:
        BadRecipe: Preset or overrides do not exist.
        InputError: A number is out of range, or a text is too long.
        BadKey: Tenant or input is no name that the storage takes.
        IdempotencyConflict: The key came with another request before.
        QuotaExceeded: Too many wait already.
    """
    values = _values(new)
    if idempotency is not None:
        _require_text("idempotency key", idempotency.key, 255)
    with database.writing(durable=True) as connection:
        lock_tenant(connection, new.tenant)
        earlier = None if idempotency is None else _earlier(connection, new.tenant, idempotency)
        if earlier is not None:
            return earlier, False
        _require_room(connection, new.tenant, max_waiting)
        job = job_from(connection.execute(sa.insert(jobs).values(**values).returning(jobs)).one())
        if new.tags:
            tags = [{"number": job.number, "tag": tag} for tag in dict.fromkeys(new.tags)]
            connection.execute(sa.insert(job_tags), tags)
        if idempotency is not None:
            _remember(connection, job, idempotency)
        append_event(connection, job.tenant, job.id, "queued", {"reason": "submitted"})
    return job, True


def get_job(database: Database, tenant: str, job_id: str) -> Job:
    """One job.

    Raises:
        UnknownJob: There is none of this id, or it is another tenant's.
    """
    with database.reading() as connection:
        return _job(connection, tenant, job_id)


def tags_of(database: Database, numbers: Sequence[int]) -> Mapping[int, tuple[str, ...]]:
    """Tags by job number, for the jobs of a page."""
    with database.reading() as connection:
        found = sa.select(job_tags).where(job_tags.c.number.in_(numbers)).order_by(job_tags.c.tag)
        tags: dict[int, tuple[str, ...]] = dict.fromkeys(numbers, ())
        for number, tag in connection.execute(found):
            tags[number] = (*tags[number], tag)
    return tags


def position_of(database: Database, job: Job) -> int | None:
    """Place in the line, 1 for the next; None if the job does not wait."""
    with database.reading() as connection:
        return queue_position(connection, job.number)


def list_jobs(
    database: Database, tenant: str, filters: Filters | None = None, *,
    cursor: str | None = None, limit: int = 50,
) -> Page:  # fmt: skip
    """A tenant's jobs, newest first. Jobs that are accepted meanwhile shift no page.

    Raises:
        InputError: The cursor is not one of ours, or the limit is out of range.
    """
    if not 1 <= limit <= _MOST_LISTED:
        raise InputError(f"The limit is {limit}.", hint=f"Give 1 to {_MOST_LISTED}.")
    found = _filtered(sa.select(jobs).where(jobs.c.tenant == tenant), filters or Filters())
    if cursor is not None:
        found = found.where(jobs.c.number < _from_cursor(cursor))
    with database.reading() as connection:
        rows = connection.execute(found.order_by(jobs.c.number.desc()).limit(limit + 1)).all()
    shown = [job_from(row) for row in rows[:limit]]
    return Page(shown, _cursor(shown[-1].number) if len(rows) > limit else None)


def cancel(database: Database, tenant: str, job_id: str) -> Job:
    """Stop a job: at once if it waits, within seconds if it runs; a finished one stays as it is.

    Raises:
        UnknownJob: See `get_job`.
    """
    with database.writing(durable=True) as connection:
        job = _job(connection, tenant, job_id, lock=True)
        if job.state == "queued":
            _update(connection, job, state="cancelled", finished_at=now())
            append_event(connection, tenant, job_id, "cancelled", {"attempt": job.attempt})
        elif job.state == "running":
            _update(connection, job, cancel_requested=True)
        return _job(connection, tenant, job_id)


def retry(database: Database, tenant: str, job_id: str) -> Job:
    """Put a failed or cancelled job back into the line; it goes on after its last finished stage.

    With other options, submit a new job with the same input instead.

    Raises:
        UnknownJob: See `get_job`.
        WrongState: It did not fail.
    """
    with database.writing(durable=True) as connection:
        job = _job(connection, tenant, job_id, lock=True)
        if job.state not in ("failed", "cancelled"):
            raise WrongState(
                f"Job {job_id} is {job.state}.", hint="Only failed or cancelled jobs are retried."
            )
        _update(
            connection, job, state="queued", failures=0, not_before=0.0, finished_at=None, error=None,
            artifacts=None, summary=None, cancel_requested=False, fraction=0.0, stage="",
            stage_fraction=0.0,
        )  # fmt: skip
        append_event(connection, tenant, job_id, "queued", {"reason": "retried"})
        return _job(connection, tenant, job_id)


def delete(database: Database, tenant: str, job_id: str) -> Job:
    """Forget a finished job; its files are the caller's to remove after this (`sweep.remove_files`).

    Raises:
        UnknownJob: See `get_job`.
        WrongState: It waits or runs.
    """
    with database.writing(durable=True) as connection:
        job = _job(connection, tenant, job_id, lock=True)
        if job.state not in FINISHED:
            raise WrongState(f"Job {job_id} is {job.state}.", hint="Cancel it first.")
        connection.execute(sa.delete(events).where(events.c.job_id == job_id))
        connection.execute(sa.delete(idempotency_keys).where(idempotency_keys.c.job_id == job_id))
        connection.execute(sa.delete(jobs).where(jobs.c.number == job.number))
        append_event(connection, tenant, job_id, "deleted", {})
    return job


def _values(new: NewJob) -> dict[str, Any]:
    require_tenant(new.tenant)
    require_key(new.input)
    for name, value, most in (("priority", new.priority, 9), ("seed", new.seed, 2**63 - 1)):
        if not 0 <= value <= most:
            raise InputError(f"The {name} is {value}.", hint=f"Give 0 to {most}.")
    for name, texts, length in (
        ("input", [new.input], 200), ("external id", [new.external_id or ""], 200), ("tag", new.tags, 63),
    ):  # fmt: skip
        for text in texts:
            _require_text(name, text, length)
    recipe = expanded(recipe_for(new.preset, new.overrides))
    return {
        "id": str(uuid.uuid4()), "tenant": new.tenant, "state": "queued", "priority": new.priority,
        "not_before": 0.0, "created_at": now(), "retention_s": new.retention_s, "is_kept": new.is_kept,
        "preset": new.preset, "overrides": dict(new.overrides), "recipe": recipe, "seed": new.seed,
        "input": new.input, "external_id": new.external_id, "notes": dict(new.notes), "attempt": 0,
        "failures": 0, "cancel_requested": False, "stage": "", "stage_fraction": 0.0, "fraction": 0.0,
    }  # fmt: skip


def _require_text(name: str, text: str, length: int) -> None:
    if len(text) > length or text != plain_text(text):
        raise InputError(f"The {name} {text[:40]!r} can't be kept.", hint=f"Give up to {length} characters.")


def _earlier(connection: sa.Connection, tenant: str, idempotency: Idempotency) -> Job | None:
    keys = idempotency_keys.c
    is_same = (keys.tenant == tenant) & (keys.key == idempotency.key)
    fresh = sa.select(keys.body_hash, keys.job_id).where(is_same, keys.created_at > now() - IDEMPOTENCY_S)
    row = connection.execute(fresh).one_or_none()
    if row is None:
        connection.execute(sa.delete(idempotency_keys).where(is_same))
        return None
    if row.body_hash != idempotency.body_hash:
        raise IdempotencyConflict(
            f"The idempotency key '{idempotency.key}' came with another request before.",
            hint="Use a new key for a new request.", details={"job_id": row.job_id},
        )  # fmt: skip
    return _job(connection, tenant, row.job_id)


def _remember(connection: sa.Connection, job: Job, idempotency: Idempotency) -> None:
    connection.execute(
        sa.insert(idempotency_keys).values(
            tenant=job.tenant, key=idempotency.key, body_hash=idempotency.body_hash, job_id=job.id,
            created_at=now(),
        )
    )  # fmt: skip


def _require_room(connection: sa.Connection, tenant: str, max_waiting: int) -> None:
    if not max_waiting:
        return
    is_waiting = (jobs.c.tenant == tenant) & (jobs.c.state == "queued")
    waiting = connection.execute(sa.select(sa.func.count()).where(is_waiting)).scalar() or 0
    if waiting >= max_waiting:
        raise QuotaExceeded(
            f"{waiting} jobs wait already, and {max_waiting} may.", hint="Wait for some of them to finish.",
            details={"waiting": waiting, "limit": max_waiting},
        )  # fmt: skip


def _job(connection: sa.Connection, tenant: str, job_id: str, *, lock: bool = False) -> Job:
    found = sa.select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant)
    row = connection.execute(found.with_for_update() if lock else found).one_or_none()
    if row is None:
        raise UnknownJob(f"There is no job {job_id}.", hint="List your jobs to see their ids.")
    return job_from(row)


def _update(connection: sa.Connection, job: Job, **values: Any) -> None:
    connection.execute(sa.update(jobs).where(jobs.c.number == job.number).values(**values))


def _filtered(found: sa.Select[Any], filters: Filters) -> sa.Select[Any]:
    if filters.states:
        found = found.where(jobs.c.state.in_(filters.states))
    if filters.tag is not None:
        tagged = sa.select(job_tags.c.number).where(job_tags.c.tag == filters.tag)
        found = found.where(jobs.c.number.in_(tagged))
    if filters.external_id is not None:
        found = found.where(jobs.c.external_id == filters.external_id)
    if filters.created_after is not None:
        found = found.where(jobs.c.created_at >= filters.created_after)
    if filters.created_before is not None:
        found = found.where(jobs.c.created_at < filters.created_before)
    return found


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(f"n{number}".encode()).decode().rstrip("=")


def _from_cursor(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        if text[:1] == "n" and text[1:].isdecimal():
            return int(text[1:])
    except ValueError:
        pass
    raise InputError(f"The cursor '{cursor}' is not one of ours.", hint="Take it from the page before.")
