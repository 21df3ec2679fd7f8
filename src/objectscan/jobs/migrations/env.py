"""Alembic's entry: runs on the connection that `Database` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from objectscan.jobs.model import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
