"""The tables, and a job as the rest of the software sees it. docs/architecture/06-jobs.md draws the states.

Times are seconds since 1970 by the database's clock. `attempt` counts claims and, with `owner`, guards every
write of a worker: who was claimed from can't write any more. `failures` counts attempts that went wrong by no
fault of the photos; a worker that is stopped gives its job back without raising it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import sqlalchemy as sa

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FINISHED: tuple[State, ...] = ("succeeded", "failed", "cancelled")

metadata = sa.MetaData(naming_convention={"ix": "%(table_name)s_%(column_0_N_name)s"})
_Json = sa.JSON(none_as_null=True)
_Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")

jobs = sa.Table(
    "jobs", metadata,
    sa.Column("number", _Serial, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("tenant", sa.String(63), nullable=False),
    sa.Column("state", sa.String(9), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("not_before", sa.Double, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    sa.Column("retention_s", sa.Double),
    sa.Column("is_kept", sa.Boolean, nullable=False),
    sa.Column("preset", sa.String(63), nullable=False),
    sa.Column("overrides", _Json, nullable=False),
    sa.Column("recipe", _Json, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("input", sa.String(200), nullable=False),
    sa.Column("external_id", sa.String(200)),
    sa.Column("notes", _Json, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(36)),
    sa.Column("lease_until", sa.Double),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("stage", sa.String(63), nullable=False),
    sa.Column("stage_fraction", sa.Double, nullable=False),
    sa.Column("fraction", sa.Double, nullable=False),
    sa.Column("remaining_s", sa.Double),
    sa.Column("error", _Json),
    sa.Column("artifacts", _Json),
    sa.Column("summary", _Json),
    # The claim reads the first alone, fairness the second, lists the third and fourth, the reaper the fifth.
    sa.Index(None, "state", "priority", "tenant", "number", "not_before"),
    sa.Index(None, "tenant", "started_at"),
    sa.Index(None, "tenant", "number"),
    sa.Index(None, "tenant", "state", "number"),
    sa.Index(None, "state", "lease_until"),
    sa.Index(None, "state", "finished_at"),
    sa.Index(None, "tenant", "input"),
    sqlite_autoincrement=True,
)  # fmt: skip

job_tags = sa.Table(
    "job_tags", metadata,
    sa.Column("number", _Serial, sa.ForeignKey("jobs.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("tag", sa.String(63), primary_key=True),
    sa.Index(None, "tag", "number"),
)  # fmt: skip

idempotency_keys = sa.Table(
    "idempotency_keys", metadata,
    sa.Column("tenant", sa.String(63), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("body_hash", sa.String(64), nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Index(None, "created_at"),
)  # fmt: skip

events = sa.Table(
    "events", metadata,
    sa.Column("id", _Serial, primary_key=True, autoincrement=True),
    sa.Column("tenant", sa.String(63), nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("kind", sa.String(15), nullable=False),
    sa.Column("data", _Json, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Index(None, "tenant", "id"),
    sa.Index(None, "job_id", "id"),
    sa.Index(None, "at"),
    sqlite_autoincrement=True,
)  # fmt: skip

workers = sa.Table(
    "workers", metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("state", sa.String(9), nullable=False),
    sa.Column("job_id", sa.String(36)),
    sa.Column("facts", _Json, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
)  # fmt: skip

api_keys = sa.Table(
    "api_keys", metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("tenant", sa.String(63), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("scopes", _Json, nullable=False),
    sa.Column("limits", _Json, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double),
    sa.Column("last_used_at", sa.Double),
    sa.Column("revoked_at", sa.Double),
    sa.Index(None, "tenant"),
)  # fmt: skip


webhooks = sa.Table(
    "webhooks", metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("tenant", sa.String(63), nullable=False),
    sa.Column("url", sa.String(2000), nullable=False),
    sa.Column("kinds", _Json, nullable=False),
    sa.Column("seen_event", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("stopped_at", sa.Double),
    sa.Index(None, "tenant"),
)  # fmt: skip

webhook_deliveries = sa.Table(
    "webhook_deliveries", metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("webhook_id", sa.String(36), sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    sa.Column("kind", sa.String(15), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("state", sa.String(9), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", sa.Double, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.String(500), nullable=False),
    sa.Index(None, "state", "next_at"),
    sa.Index(None, "webhook_id", "created_at"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stands."""

    number: int
    """Grows with every job that is accepted; lists run along it."""
    id: str
    tenant: str
    state: State
    priority: int
    """0 to 9; 9 goes first."""
    not_before: float
    created_at: float
    started_at: float | None
    finished_at: float | None
    retention_s: float | None
    """Kept so long after it finished; None: as the operator's setting says."""
    is_kept: bool
    """Never deleted by the sweep."""
    preset: str
    overrides: Mapping[str, Any]
    """Dotted option names and values, over the preset's."""
    recipe: Mapping[str, Any]
    """Fully expanded."""
    seed: int
    input: str
    """Storage folder of the photos, within the tenant's part."""
    external_id: str | None
    notes: Mapping[str, Any]
    """The caller's own JSON."""
    attempt: int
    failures: int
    owner: str | None
    lease_until: float | None
    cancel_requested: bool
    stage: str
    stage_fraction: float
    fraction: float
    """Share of the whole job."""
    remaining_s: float | None
    error: Mapping[str, Any] | None
    """code, message, hint and details of the last attempt that went wrong."""
    artifacts: Mapping[str, Any] | None
    """`folder` in the storage, and `files`: name, size_bytes, sha256. Moves in the final write only."""
    summary: Mapping[str, Any] | None
    """grade, score and reason of the verdict."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing will happen to it by itself."""
        return self.state in FINISHED


_NAMES = tuple(field.name for field in fields(Job))


def job_from(row: sa.Row[Any]) -> Job:
    """A row of `jobs` as a value."""
    values = row._mapping
    return Job(**{name: values[name] for name in _NAMES})
