"""The list of workers: who is there, with what job. A row that is not renewed is a dead worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from objectscan.errors import BadServiceSetup
from objectscan.jobs.database import Database, now
from objectscan.jobs.model import workers

WorkerState = Literal["starting", "idle", "busy", "stopping"]
SEEN_S = 60.0
"""A worker that was not seen for so long is not there."""
_FORGOTTEN_S = 3600.0


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker as it last said."""

    id: str
    host: str
    pid: int
    state: WorkerState
    job_id: str | None
    facts: Mapping[str, Any]
    """jobs_done, children, memory_bytes, fragmentation."""
    started_at: float
    seen_at: float


def enter(database: Database, worker_id: str, host: str, pid: int) -> None:
    """Add a worker.

    Raises:
        BadServiceSetup: The database is a file, and a worker of another host uses it: its locks do not hold
            across hosts.
    """
    with database.writing() as connection:
        is_old = workers.c.seen_at < now() - _FORGOTTEN_S
        connection.execute(sa.delete(workers).where(is_old))
        elsewhere = sa.select(workers.c.host).where(
            workers.c.host != host, workers.c.seen_at > now() - SEEN_S, workers.c.state != "stopping"
        )
        other = connection.execute(elsewhere).scalar() if database.is_sqlite else None
        if other is not None:
            raise BadServiceSetup(
                f"A worker on {other} uses the same SQLite file; this one is on {host}.",
                hint="Use PostgreSQL for more than one host: OBJECTSCAN_DATABASE_URL=postgresql+psycopg://...",
            )
        connection.execute(
            sa.insert(workers).values(
                id=worker_id, host=host, pid=pid, state="starting", facts={}, started_at=now(), seen_at=now()
            )
        )


def renew(
    database: Database, worker_id: str, state: WorkerState, job_id: str | None, facts: Mapping[str, Any]
) -> None:
    """Say that a worker is there, and what it does."""
    with database.writing() as connection:
        is_it = sa.update(workers).where(workers.c.id == worker_id)
        connection.execute(is_it.values(state=state, job_id=job_id, facts=dict(facts), seen_at=now()))


def leave(database: Database, worker_id: str) -> None:
    """Remove a worker that ended."""
    with database.writing() as connection:
        connection.execute(sa.delete(workers).where(workers.c.id == worker_id))


def present(database: Database, *, host: str | None = None) -> Sequence[WorkerRow]:
    """Workers that are there, on one host or on all."""
    found = sa.select(workers).where(workers.c.seen_at > now() - SEEN_S)
    if host is not None:
        found = found.where(workers.c.host == host)
    with database.reading() as connection:
        rows = connection.execute(found.order_by(workers.c.started_at)).all()
    return [WorkerRow(**row._mapping) for row in rows]
