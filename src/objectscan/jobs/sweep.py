"""Takes away what nobody needs any more: expired jobs with their files, and files that belong to no job.

Everything here may run at once in several processes, and may be stopped anywhere: the next sweep goes on.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from objectscan.errors import QuotaExceeded, UnknownJob, WrongState
from objectscan.jobs.database import Database, now
from objectscan.jobs.model import FINISHED, Job, events, idempotency_keys, job_from, jobs
from objectscan.jobs.store import IDEMPOTENCY_S, delete
from objectscan.storage import Storage, TenantStorage

log = logging.getLogger(__name__)

_BATCH = 200
_EVENTS_S = 86_400.0
"""Events are kept so long after their job has gone."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is kept."""

    finished_s: float
    leftover_s: float


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep took away."""

    jobs: int
    files: int
    folders: int


def sweep(database: Database, storage: Storage, work_folder: Path, retention: Retention) -> Swept:
    """Remove all that is over."""
    expired = 0
    for job in _expired(database, retention):
        try:
            delete(database, job.tenant, job.id)
        except (UnknownJob, WrongState):
            continue  # somebody else deleted or retried it meanwhile
        remove_files(database, storage, job)
        expired += 1
    files = sum(_sweep_tenant(database, storage.tenant(name), retention) for name in list(storage.tenants()))
    _sweep_tables(database, retention)
    return Swept(expired, files, _sweep_work(database, work_folder, retention))


def remove_files(database: Database, storage: Storage, job: Job) -> None:
    """Remove a deleted job's results, and its photos if no other job uses them."""
    part = storage.tenant(job.tenant)
    part.delete_folder(f"jobs/{job.id}")
    with database.reading() as connection:
        others = (
            sa.select(jobs.c.number).where(jobs.c.tenant == job.tenant, jobs.c.input == job.input).limit(1)
        )
        is_used = connection.execute(others).first() is not None
    if not is_used:
        part.delete_folder(_folder_of(job.input))


def require_room(used: int, more_bytes: int, quota_bytes: int) -> None:
    """Refuse files for which a tenant that keeps `used` bytes has no room.

    Raises:
        QuotaExceeded: States all three numbers.
    """
    if not quota_bytes:
        return
    if used + more_bytes > quota_bytes:
        raise QuotaExceeded(
            f"{used / 1e6:.1f} MB are stored and {more_bytes / 1e6:.1f} MB come, but "
            f"{quota_bytes / 1e6:.1f} MB may be kept.",
            hint="Delete jobs that are not needed any more.",
            details={"used_bytes": used, "more_bytes": more_bytes, "quota_bytes": quota_bytes},
        )


def _expired(database: Database, retention: Retention) -> Iterator[Job]:
    is_over = jobs.c.finished_at < now() - sa.func.coalesce(jobs.c.retention_s, retention.finished_s)
    found = sa.select(jobs).where(jobs.c.state.in_(FINISHED), jobs.c.is_kept.is_(False), is_over)
    last = 0
    while True:
        batch = found.where(jobs.c.number > last).order_by(jobs.c.number).limit(_BATCH)
        with database.reading() as connection:
            rows = [job_from(row) for row in connection.execute(batch)]
        if not rows:
            return
        yield from rows
        last = rows[-1].number


def _sweep_tenant(database: Database, storage: TenantStorage, retention: Retention) -> int:
    """Remove old files that no job points at: of lost attempts, of deleted jobs, of uploads without a job."""
    limit = time.time() - retention.leftover_s
    removed = 0
    needed: dict[str, bool] = {}
    for stored in storage.list():
        if stored.modified_at > limit:
            continue
        folder = _folder_of(stored.key)
        if folder not in needed:
            needed[folder] = _is_needed(database, storage.tenant, folder)
        if not needed[folder]:
            storage.delete(stored.key)
            removed += 1
    return removed


def _folder_of(key: str) -> str:
    """What is kept or removed as a whole: an attempt of a job, or an upload."""
    parts = key.split("/")
    return "/".join(parts[: 3 if parts[0] == "jobs" else 2])


def _is_needed(database: Database, tenant: str, folder: str) -> bool:
    parts = folder.split("/")
    own = jobs.c.tenant == tenant
    if parts[0] != "jobs":
        is_it = own & ((jobs.c.input == folder) | jobs.c.input.startswith(f"{folder}/", autoescape=True))
    else:
        is_it = own & (jobs.c.id == parts[1])
    with database.reading() as connection:
        found = [job_from(row) for row in connection.execute(sa.select(jobs).where(is_it).limit(1))]
    if not found or parts[0] != "jobs":
        return bool(found)
    job = found[0]
    pointed = job.artifacts is not None and job.artifacts["folder"] == folder
    return pointed or not job.is_finished


def _sweep_tables(database: Database, retention: Retention) -> None:
    with database.writing() as connection:
        old = idempotency_keys.c.created_at < now() - IDEMPOTENCY_S
        connection.execute(sa.delete(idempotency_keys).where(old))
        gone = events.c.job_id.not_in(sa.select(jobs.c.id))
        connection.execute(sa.delete(events).where(events.c.at < now() - _EVENTS_S, gone))


def _sweep_work(database: Database, work_folder: Path, retention: Retention) -> int:
    """Remove work folders of this machine whose job neither waits nor runs, after a while for a retry."""
    limit = time.time() - retention.leftover_s
    folders = [path for path in work_folder.iterdir() if path.is_dir() and path.stat().st_mtime < limit]
    removed = 0
    for folder in folders:
        with database.reading() as connection:
            is_active = (jobs.c.id == folder.name) & jobs.c.state.in_(("queued", "running"))
            if connection.execute(sa.select(jobs.c.number).where(is_active)).first() is not None:
                continue
        shutil.rmtree(folder, ignore_errors=True)
        removed += 1
    return removed
