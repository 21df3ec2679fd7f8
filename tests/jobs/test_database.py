from __future__ import annotations

import re
import threading
import time

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from objectscan.errors import BadServiceSetup, DatabaseFailed
from objectscan.jobs import store
from objectscan.jobs.database import Database, now
from objectscan.jobs.model import metadata


def tables(database):
    with database.reading() as connection:
        return set(sa.inspect(connection).get_table_names()) - {"alembic_version"}


def test_migrations_make_the_tables_of_the_model_and_take_them_away_again(database_url):
    database = Database(database_url)
    database.upgrade()
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert tables(database) == set(metadata.tables)
    database.downgrade("base")
    assert tables(database) == set()
    database.upgrade()
    store.submit(database, store.NewJob("a", "uploads/1"))
    database.close()


def test_processes_that_start_at_once_migrate_once(database_url):
    databases = [Database(database_url) for _ in range(4)]
    threads = [threading.Thread(target=database.upgrade) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tables(databases[0]) == set(metadata.tables)
    for database in databases:
        database.close()


def test_the_databases_clock_is_that_of_the_wall(database):
    with database.reading() as connection:
        told = connection.execute(sa.select(now())).scalar()
    assert told == pytest.approx(time.time(), abs=0.5)


def test_a_failed_transaction_leaves_nothing(database):
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.execute(sa.insert(metadata.tables["workers"]).values(
            id="w", host="h", pid=1, state="idle", facts={}, started_at=0, seen_at=0))  # fmt: skip
        raise ZeroDivisionError
    with database.reading() as connection:
        assert connection.execute(sa.select(metadata.tables["workers"])).all() == []


def test_sqlite_syncs_the_disk_for_what_must_outlive_a_power_cut_only(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    database.upgrade()

    def pragma(connection, name):
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

    with database.writing(durable=True) as connection:
        assert pragma(connection, "synchronous") == 2  # FULL
        assert pragma(connection, "journal_mode") == "wal" and pragma(connection, "foreign_keys") == 1
    with database.writing() as connection:
        assert pragma(connection, "synchronous") == 1  # NORMAL
    database.close()


def test_a_reader_does_not_wait_for_a_writer(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    database.upgrade()
    with database.writing():
        began = time.monotonic()
        assert store.list_jobs(database, "a").jobs == []
        assert time.monotonic() - began < 2.0  # the writer holds its lock all the while
    database.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://host/db", "mysql"), ("nonsense", "can't be read"), ("sqlite://", "memory"),
        ("sqlite:///:memory:", "memory"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_hold_jobs_is_refused(url, words):
    with pytest.raises(BadServiceSetup, match=words):
        Database(url)


@pytest.mark.parametrize("url", ["sqlite:////nonexistent/x.db", "postgresql+psycopg://x@127.0.0.1:1/x"])
def test_a_database_that_does_not_answer_is_told_without_its_password(url):
    database = Database(url.replace("x@", "x:secret@"))
    with pytest.raises(DatabaseFailed, match="does not answer") as told, database.reading():
        pass
    assert not re.search("secret", str(told.value))
    database.close()
