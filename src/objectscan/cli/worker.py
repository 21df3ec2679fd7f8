"""`objectscan worker`: runs jobs of the service until it is stopped."""

from __future__ import annotations

import socket

from objectscan.cli.output import Output
from objectscan.errors import MissingDependency, ResourceError
from objectscan.settings import Settings


def run(*, settings: Settings) -> int:
    """Work until SIGTERM; the exit code.

    Raises:
        BadServiceSetup: An address can't be used.
        DatabaseFailed: The database does not answer.
        MissingDependency: The service's packages are not installed.
    """
    try:
        from objectscan.jobs.logs import log_as_json
        from objectscan.jobs.setup import setup_from
        from objectscan.jobs.worker import Worker
    except ModuleNotFoundError as problem:
        raise _missing(problem) from problem
    log_as_json()
    return Worker(setup_from(settings)).run()


def check(*, settings: Settings, output: Output) -> None:
    """Say which workers of this host are there and ready.

    Raises:
        ResourceError: None is.
    """
    try:
        from objectscan.jobs import workers
        from objectscan.jobs.database import Database
        from objectscan.jobs.setup import setup_from
    except ModuleNotFoundError as problem:
        raise _missing(problem) from problem
    database = Database(setup_from(settings).database_url)
    try:
        found = workers.present(database, host=socket.gethostname()) if database.has_tables() else []
    finally:
        database.close()
    for row in found:
        values = {
            "worker": row.id,
            "pid": row.pid,
            "state": row.state,
            "job_id": row.job_id,
            "facts": row.facts,
        }
        output.event("worker", values, f"Worker {row.pid}: {row.state}")
    if not any(row.state in ("idle", "busy") for row in found):
        raise ResourceError("No worker of this host is ready.", hint="Start one with `objectscan worker`.")


def _missing(problem: ModuleNotFoundError) -> MissingDependency:
    return MissingDependency(
        f"The service's package '{problem.name}' is not installed.", hint="pip install 'objectscan[service]'"
    )
