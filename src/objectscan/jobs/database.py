"""The one door to the database: SQLite on a local disk, or PostgreSQL. The same statements run on both.

SQLite: write-ahead log, writers queue at BEGIN IMMEDIATE instead of failing halfway, and submitting syncs the
disk, since a job that was answered with 202 must outlive a power cut.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from objectscan.errors import BadServiceSetup, DatabaseFailed, MissingDependency
from objectscan.jobs.plain import to_json

_BUSY_S = 10
_TROUBLE = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)
_MIGRATION_LOCK = 0x6F626A73
"""'objs': which advisory lock of PostgreSQL keeps two processes from migrating at once."""


class now(FunctionElement[float]):
    """The database's clock: workers on several hosts must agree on it."""

    type = sa.Double()
    inherit_cache = True


@compiles(now, "postgresql")
def _now_of_postgresql(element: Any, compiler: Any, **_: Any) -> str:
    return "extract(epoch from statement_timestamp())::float8"


@compiles(now, "sqlite")
def _now_of_sqlite(element: Any, compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"  # unixepoch('subsec') needs SQLite 3.42


class Database:
    """Transactions. Every failure of the connection leaves as `DatabaseFailed`."""

    def __init__(self, url: str):
        """Connect lazily.

        Raises:
            BadServiceSetup: The address is of another database, or can't be read.
            MissingDependency: The driver is not installed.
        """
        self._engine = _engine(url)
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        self._durable = self._engine.execution_options(is_durable=True)
        self._reader = self._engine.execution_options(is_reader=True)

    @contextlib.contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sa.Connection]:
        """A transaction that writes. `durable`: what it wrote outlives a power cut of this machine."""
        engine = self._durable if durable else self._engine
        with _told(), engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads; no writer waits for it."""
        with _told(), self._reader.begin() as connection:
            yield connection

    def upgrade(self, revision: str = "head") -> None:
        """Bring the tables to a revision, or leave them if they are there. Processes may call it at once."""
        self._migrate("upgrade", revision)

    def downgrade(self, revision: str) -> None:
        """Take the tables back to an earlier revision; `base` removes them."""
        self._migrate("downgrade", revision)

    def has_tables(self) -> bool:
        """Whether the tables were made; which revision is not asked."""
        with self.reading() as connection:
            return sa.inspect(connection).has_table("jobs")

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def _migrate(self, direction: str, revision: str) -> None:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
        with self.writing() as connection:
            if not self.is_sqlite:  # SQLite's BEGIN IMMEDIATE lets one in already
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            getattr(command, direction)(config, revision)


def lock_tenant(connection: sa.Connection, tenant: str) -> None:
    """Let transactions of one tenant's events commit in the order of their ids.

    PostgreSQL draws ids before it commits: without this a listener that has seen id 5 would miss a 4 that
    commits later. SQLite has one writer at a time anyway. To be called after a transaction's row locks.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(tenant))))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _TROUBLE as problem:
        raise DatabaseFailed(
            f"The database does not answer: {str(problem.__cause__ or problem).strip()}.",
            hint="Check OBJECTSCAN_DATABASE_URL, the server, and the free space on its disk.",
        ) from problem


def _engine(text: str) -> sa.Engine:
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError as problem:
        raise BadServiceSetup(
            "The database's address can't be read.", hint="Example: sqlite:////var/lib/objectscan/jobs.db."
        ) from problem
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    if url.get_backend_name() != "postgresql":
        raise BadServiceSetup(
            f"There is no support for the database '{url.get_backend_name()}'.",
            hint="Use sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.",
        )
    try:
        return sa.create_engine(
            url, pool_pre_ping=True, json_serializer=to_json, connect_args={"connect_timeout": 5}
        )
    except ModuleNotFoundError as problem:
        raise MissingDependency(
            f"The driver of {url.drivername} is not installed.", hint="pip install 'objectscan[postgres]'"
        ) from problem


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise BadServiceSetup(
            "Jobs can't live in a database in memory: workers are other processes.",
            hint="Name a file: sqlite:///FOLDER/jobs.db.",
        )
    engine = sa.create_engine(url, json_serializer=to_json, connect_args={"timeout": _BUSY_S})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # transactions begin where we say
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", f"busy_timeout={_BUSY_S * 1000}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if options.get("is_reader"):
        connection.exec_driver_sql("BEGIN")
        return
    # NORMAL loses the last commits in a power cut (never in a crash of ours): enough for a heartbeat.
    connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options.get('is_durable') else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
