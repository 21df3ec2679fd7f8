"""The first tables: jobs, their tags and events, idempotency keys, workers, API keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("last_used_at", sa.Double()),
        sa.Column("revoked_at", sa.Double()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("api_keys_tenant", "api_keys", ["tenant"])
    op.create_table(
        "events",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=15), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_at", "events", ["at"])
    op.create_index("events_job_id_id", "events", ["job_id", "id"])
    op.create_index("events_tenant_id", "events", ["tenant", "id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    op.create_index("idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "jobs",
        sa.Column("number", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("finished_at", sa.Double()),
        sa.Column("retention_s", sa.Double()),
        sa.Column("is_kept", sa.Boolean(), nullable=False),
        sa.Column("preset", sa.String(length=63), nullable=False),
        sa.Column("overrides", sa.JSON(), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("input", sa.String(length=200), nullable=False),
        sa.Column("external_id", sa.String(length=200)),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=36)),
        sa.Column("lease_until", sa.Double()),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("stage", sa.String(length=63), nullable=False),
        sa.Column("stage_fraction", sa.Double(), nullable=False),
        sa.Column("fraction", sa.Double(), nullable=False),
        sa.Column("remaining_s", sa.Double()),
        sa.Column("error", sa.JSON()),
        sa.Column("artifacts", sa.JSON()),
        sa.Column("summary", sa.JSON()),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_tenant_started_at", "jobs", ["tenant", "started_at"])
    op.create_index("jobs_state_finished_at", "jobs", ["state", "finished_at"])
    op.create_index("jobs_state_lease_until", "jobs", ["state", "lease_until"])
    op.create_index(
        "jobs_state_priority_tenant_number_not_before",
        "jobs",
        ["state", "priority", "tenant", "number", "not_before"],
    )
    op.create_index("jobs_tenant_input", "jobs", ["tenant", "input"])
    op.create_index("jobs_tenant_number", "jobs", ["tenant", "number"])
    op.create_index("jobs_tenant_state_number", "jobs", ["tenant", "state", "number"])
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("job_id", sa.String(length=36)),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "job_tags",
        sa.Column("number", _SERIAL, nullable=False),
        sa.Column("tag", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["jobs.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", "tag"),
    )
    op.create_index("job_tags_tag_number", "job_tags", ["tag", "number"])


def downgrade() -> None:
    """Remove the tables."""
    op.drop_index("job_tags_tag_number", table_name="job_tags")
    op.drop_table("job_tags")
    op.drop_table("workers")
    op.drop_index("jobs_tenant_state_number", table_name="jobs")
    op.drop_index("jobs_tenant_number", table_name="jobs")
    op.drop_index("jobs_tenant_input", table_name="jobs")
    op.drop_index("jobs_state_priority_tenant_number_not_before", table_name="jobs")
    op.drop_index("jobs_state_lease_until", table_name="jobs")
    op.drop_index("jobs_state_finished_at", table_name="jobs")
    op.drop_index("jobs_tenant_started_at", table_name="jobs")
    op.drop_table("jobs")
    op.drop_index("idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("events_tenant_id", table_name="events")
    op.drop_index("events_job_id_id", table_name="events")
    op.drop_index("events_at", table_name="events")
    op.drop_table("events")
    op.drop_index("api_keys_tenant", table_name="api_keys")
    op.drop_table("api_keys")
