"""The line in numbers: what an operator watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from objectscan.jobs.database import Database, now
from objectscan.jobs.model import FINISHED, jobs


@dataclass(frozen=True, slots=True)
class Overview:
    """All tenants together."""

    states: Mapping[str, int]
    stages: Mapping[str, int]
    """Of running jobs."""
    oldest_waiting_s: float
    """0 if none waits."""


def overview(database: Database) -> Overview:
    """Count the jobs; 2 ms for 10,000."""
    with database.reading() as connection:
        by_state = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
        states: dict[str, int] = {state: 0 for state in ("queued", "running", *FINISHED)}
        states |= {state: count for state, count in connection.execute(by_state)}
        running = jobs.c.state == "running"
        by_stage = sa.select(jobs.c.stage, sa.func.count()).where(running).group_by(jobs.c.stage)
        stages = {stage: count for stage, count in connection.execute(by_stage)}
        age = sa.select(now() - sa.func.min(jobs.c.created_at)).where(jobs.c.state == "queued")
        oldest = connection.execute(age).scalar()
    return Overview(states, stages, max(float(oldest or 0.0), 0.0))
