"""Who is next: the highest priority, then the tenant that had least of the last hour, then the oldest.

A tenant's share is the number of its jobs that started in the last hour, plus the place of the job in the
tenant's own line. With only the running jobs in the share, one worker would serve A, A, A, B; with it
A, B, A, A.
"""

from __future__ import annotations

import sqlalchemy as sa

from objectscan.jobs.database import now
from objectscan.jobs.model import jobs

_RECENT_S = 3600.0


def next_waiting(connection: sa.Connection, limit: int) -> list[int]:
    """Numbers of jobs that a worker should try to take, best first; empty if none is due.

    Only the first of each tenant can be next: its place is 1, so nobody has to rank the whole line.
    """
    is_due = (jobs.c.state == "queued") & (jobs.c.not_before <= now())
    highest = sa.select(sa.func.max(jobs.c.priority)).where(is_due).scalar_subquery()
    first = sa.func.min(jobs.c.number).label("first")
    heads = (
        sa.select(jobs.c.tenant, first)
        .where(is_due, jobs.c.priority == highest)
        .group_by(jobs.c.tenant)
        .subquery("heads")
    )
    best = sa.select(heads.c.first).order_by(_started_recently(heads.c.tenant), heads.c.first).limit(limit)
    return list(connection.execute(best).scalars())


def queue_position(connection: sa.Connection, number: int) -> int | None:
    """1 for the job that is next, by the line as it stands; None if the job does not wait."""
    waiting = jobs.c.state == "queued"
    tenants = sa.select(jobs.c.tenant).where(waiting).distinct().subquery("tenants")
    started = sa.select(tenants.c.tenant, _started_recently(tenants.c.tenant).label("started")).subquery()
    place = sa.func.row_number().over(
        partition_by=jobs.c.tenant, order_by=(jobs.c.priority.desc(), jobs.c.number)
    )
    line = (
        sa.select(jobs.c.number, jobs.c.priority, (started.c.started + place).label("share"))
        .select_from(jobs.join(started, started.c.tenant == jobs.c.tenant))
        .where(waiting)
        .cte("line")
    )
    me = sa.select(line).where(line.c.number == number).subquery()
    is_ahead = (line.c.priority > me.c.priority) | (
        (line.c.priority == me.c.priority)
        & ((line.c.share < me.c.share) | ((line.c.share == me.c.share) & (line.c.number <= me.c.number)))
    )
    ahead = connection.execute(sa.select(sa.func.count()).select_from(line.join(me, is_ahead))).scalar()
    return ahead or None


def _started_recently(tenant: sa.ColumnElement[str]) -> sa.ScalarSelect[int]:
    """How many of a tenant's jobs started in the last hour: one range of an index, however old the table."""
    others = jobs.alias("others")
    is_recent = (others.c.tenant == tenant) & (others.c.started_at > now() - _RECENT_S)
    return sa.select(sa.func.count()).select_from(others).where(is_recent).scalar_subquery()
