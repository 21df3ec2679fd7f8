"""What happened to jobs, in the order in which it happened: the source of live updates and of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from objectscan.jobs.database import Database, lock_tenant, now
from objectscan.jobs.model import events

Kind = Literal["queued", "started", "progress", "succeeded", "failed", "cancelled", "deleted"]

_TENANTS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a job."""

    id: int
    """Grows; whoever has seen an id has seen all of this tenant below it."""
    tenant: str
    job_id: str
    kind: Kind
    data: Mapping[str, Any]
    at: float


def append_event(
    connection: sa.Connection, tenant: str, job_id: str, kind: Kind, data: Mapping[str, Any]
) -> None:
    """Tell an event in the transaction that makes it true. To be called last in it."""
    lock_tenant(connection, tenant)
    connection.execute(
        sa.insert(events).values(tenant=tenant, job_id=job_id, kind=kind, data=dict(data), at=now())
    )


def events_after(
    database: Database, tenant: str, last_id: int, *, job_id: str | None = None, limit: int = 500
) -> Sequence[Event]:
    """A tenant's events after `last_id`, oldest first; of one job if it is named."""
    found = sa.select(events).where(events.c.tenant == tenant, events.c.id > last_id)
    if job_id is not None:
        found = found.where(events.c.job_id == job_id)
    with database.reading() as connection:
        return [Event(**row._mapping) for row in connection.execute(found.order_by(events.c.id).limit(limit))]


def events_of_many(database: Database, places: Mapping[str, int], *, limit: int = 2000) -> Sequence[Event]:
    """Events of several tenants, each after its own id, in the order of ids; one query for 200 tenants."""
    tenants, found = sorted(places), list[Event]()
    for first in range(0, len(tenants), _TENANTS_AT_ONCE):
        some = tenants[first : first + _TENANTS_AT_ONCE]
        wanted = [(events.c.tenant == tenant) & (events.c.id > places[tenant]) for tenant in some]
        query = sa.select(events).where(sa.or_(*wanted)).order_by(events.c.id).limit(limit)
        with database.reading() as connection:
            found += [Event(**row._mapping) for row in connection.execute(query)]
    return found


def last_event_id(database: Database, tenant: str) -> int:
    """Where a listener begins that wants no history; 0 if nothing ever happened."""
    with database.reading() as connection:
        newest = sa.select(sa.func.max(events.c.id)).where(events.c.tenant == tenant)
        return connection.execute(newest).scalar() or 0
