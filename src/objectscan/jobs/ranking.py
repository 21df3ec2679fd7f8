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


def next_waiting(connection: sa.Connection) -> int | None:
    """Number of the job that a worker should take, or None if none is due.

    Only the first of each tenant and priority can be next: its place is 1, so the shares need no ranking.
    10,000 waiting jobs take one scan of an index (docs/experiments.md has the times).
    """
    due = (jobs.c.state == "queued") & (jobs.c.not_before <= now())
    first = sa.func.min(jobs.c.number)
    heads = (
        sa.select(jobs.c.priority, jobs.c.tenant, first).where(due).group_by(jobs.c.priority, jobs.c.tenant)
    )
    candidates = connection.execute(heads).all()
    if not candidates:
        return None
    started: dict[str, int] = {row.tenant: row.started for row in connection.execute(_started_recently())}
    best = min(candidates, key=lambda head: (-head[0], started.get(head[1], 0), head[2]))
    return int(best[2])


def queue_position(connection: sa.Connection, number: int) -> int | None:
    """1 for the job that is next, by the line as it stands; None if the job does not wait."""
    started = _started_recently().subquery()
    place = sa.func.row_number().over(
        partition_by=jobs.c.tenant, order_by=(jobs.c.priority.desc(), jobs.c.number)
    )
    line = (
        sa.select(
            jobs.c.number, jobs.c.priority, (sa.func.coalesce(started.c.started, 0) + place).label("share")
        )
        .select_from(jobs.outerjoin(started, started.c.tenant == jobs.c.tenant))
        .where(jobs.c.state == "queued")
        .cte("line")
    )
    me = sa.select(line).where(line.c.number == number).subquery()
    is_ahead = (line.c.priority > me.c.priority) | (
        (line.c.priority == me.c.priority)
        & ((line.c.share < me.c.share) | ((line.c.share == me.c.share) & (line.c.number <= me.c.number)))
    )
    ahead = connection.execute(sa.select(sa.func.count()).select_from(line.join(me, is_ahead))).scalar()
    return ahead or None


def _started_recently() -> sa.Select[tuple[str, int]]:
    counted = sa.select(jobs.c.tenant, sa.func.count().label("started"))
    return counted.where(jobs.c.started_at > now() - _RECENT_S).group_by(jobs.c.tenant)
