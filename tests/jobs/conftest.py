from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from helpers.servers import Postgres
from helpers.service import Service
from objectscan.jobs.database import Database, now
from objectscan.jobs.model import jobs, metadata

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres") / "server") as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request, tmp_path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    return request.getfixturevalue("postgres").new_database(f"test{next(_NUMBERS)}")


@pytest.fixture(scope="session")
def migrated(postgres) -> Iterator[Database]:
    opened = Database(postgres.url)
    opened.upgrade()
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path) -> Iterator[Database]:
    """A database with empty tables. PostgreSQL's is emptied, not made anew: 20 ms, not a second."""
    if request.param == "postgres":
        opened = request.getfixturevalue("migrated")
        with opened.writing() as connection:
            connection.execute(sa.text(f"TRUNCATE {', '.join(metadata.tables)}"))
        yield opened
        return
    opened = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    opened.upgrade()
    yield opened
    opened.close()


@pytest.fixture
def service(tmp_path) -> Iterator[Service]:
    with Service(tmp_path) as made:
        yield made


def age(database: Database, job_id: str, column: str, seconds: float) -> None:
    """Let a time of a job lie so long ago."""
    with database.writing() as connection:
        changed = sa.update(jobs).where(jobs.c.id == job_id).values(**{column: now() - seconds})
        assert connection.execute(changed).rowcount == 1
