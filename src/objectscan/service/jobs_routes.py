"""Look at jobs, stop them, try them again, forget them."""

from __future__ import annotations

import datetime
import re
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query
from pydantic import BeforeValidator

from objectscan.errors import InputError
from objectscan.jobs import model, store
from objectscan.jobs.model import State
from objectscan.jobs.queue import publish_wake
from objectscan.jobs.sweep import remove_files
from objectscan.service import schemas
from objectscan.service.answers import problems
from objectscan.service.auth import Reader, Shared, Writer
from objectscan.service.context import Context
from objectscan.service.job_view import shown_job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


def _written_out(value: object) -> object:
    """Let numbers through to nobody: pydantic would take `0.5` for a time in 1970."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", value, re.ASCII):
        raise ValueError("is no time in RFC 3339, such as 2026-11-24T12:00:00Z")
    return value


When = Annotated[
    datetime.datetime | None,
    BeforeValidator(_written_out),
    Query(description="RFC 3339, such as 2026-11-24T12:00:00Z."),
]
NamedText = Annotated[str | None, Query(max_length=200)]


@router.get("", responses=problems(401, 403, 422), summary="List jobs")
def list_jobs(
    context: Shared, key: Reader,
    state: Annotated[list[State] | None, Query(description="Repeat it for several.")] = None,
    tag: NamedText = None, external_id: NamedText = None, created_after: When = None,
    created_before: When = None, cursor: NamedText = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> schemas.JobPage:  # fmt: skip
    """The tenant's jobs, newest first. Jobs that are accepted meanwhile shift no page."""
    filters = store.Filters(
        tuple(state or ()), tag, external_id, _seconds(created_after), _seconds(created_before)
    )
    page = store.list_jobs(context.database, key.tenant, filters, cursor=cursor, limit=limit)
    tags = store.tags_of(context.database, [job.number for job in page.jobs])
    retention_s = context.setup.seconds("retention_s")
    shown = [shown_job(job, tags=tags[job.number], retention_s=retention_s) for job in page.jobs]
    return schemas.JobPage(jobs=shown, next_cursor=page.next_cursor)


@router.get("/{job_id}", responses=problems(401, 403, 404), summary="See a job")
def get_job(context: Shared, key: Reader, job_id: str) -> schemas.Job:
    """State, stage, progress and remaining time; the place in the line while it waits."""
    return full_view(context, store.get_job(context.database, key.tenant, job_id))


@router.post("/{job_id}/cancel", status_code=202, responses=problems(401, 403, 404), summary="Stop a job")
def cancel_job(context: Shared, key: Writer, job_id: str) -> schemas.Job:
    """At once if it waits, within seconds if it runs; a finished job stays as it is."""
    return full_view(context, store.cancel(context.database, key.tenant, job_id))


@router.post("/{job_id}/retry", status_code=202, responses=problems(401, 403, 404, 409), summary="Try again")
def retry_job(context: Shared, key: Writer, job_id: str, later: BackgroundTasks) -> schemas.Job:
    """Put a failed or cancelled job back into the line; it goes on after its last finished stage."""
    job = store.retry(context.database, key.tenant, job_id)
    later.add_task(publish_wake, context.wake, job.id)
    return full_view(context, job)


@router.delete("/{job_id}", status_code=204, responses=problems(401, 403, 404, 409), summary="Delete a job")
def delete_job(context: Shared, key: Writer, job_id: str) -> None:
    """Forget a finished job, with its photos and results."""
    job = store.delete(context.database, key.tenant, job_id)
    remove_files(context.database, context.storage, job)


def full_view(context: Context, job: model.Job) -> schemas.Job:
    """A job with its tags and its place in the line."""
    position = store.position_of(context.database, job) if job.state == "queued" else None
    tags = store.tags_of(context.database, [job.number])[job.number]
    return shown_job(job, tags=tags, retention_s=context.setup.seconds("retention_s"), position=position)


def _seconds(when: datetime.datetime | None) -> float | None:
    """A time without a zone is UTC.

    Raises:
        InputError: It lies outside the calendar once it is in UTC.
    """
    if when is None:
        return None
    try:
        return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    except (OverflowError, ValueError) as problem:
        raise InputError(
            f"The time {when} is out of range.", hint="Give a time of this century."
        ) from problem
