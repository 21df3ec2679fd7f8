"""Is the process alive, can jobs be taken and run, and how is it going in numbers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from objectscan.errors import ObjectscanError
from objectscan.jobs import workers
from objectscan.service import schemas
from objectscan.service.answers import problems
from objectscan.service.auth import Observer, Shared
from objectscan.service.context import Context
from objectscan.service.job_metrics import job_metrics

router = APIRouter(tags=["service"])

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": schemas.Ready, "description": "Something is missing; `checks` says what."}
}


@router.get("/healthz", summary="Alive?")
async def healthz() -> schemas.Health:
    """Asks nobody: a database that is away is no reason to restart this process."""
    return schemas.Health(status="ok")


@router.get("/readyz", responses=_READY, summary="Ready?")
def readyz(context: Shared, response: Response) -> schemas.Ready:
    """Whether database and storage answer and a worker is there."""
    checks = {"database": _database(context), "storage": _storage(context), "worker": _worker(context)}
    is_ready = all(words == "ok" for words in checks.values())
    if not is_ready:
        response.status_code = 503
    return schemas.Ready(status="ok" if is_ready else "not ready", checks=checks)


@router.get(
    "/metrics", response_class=Response, summary="Metrics",
    responses={**_TEXT, **problems(401, 403)},
)  # fmt: skip
def metrics(context: Shared, key: Observer) -> Response:
    """Jobs, queue age, workers and their GPUs by the database; requests and streams of this process."""
    text = generate_latest(context.metrics.registry) + generate_latest(job_metrics(context))
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _database(context: Context) -> str:
    try:
        return "ok" if context.database.has_tables() else "has no tables"
    except ObjectscanError as problem:
        return problem.code


def _storage(context: Context) -> str:
    try:
        context.files_of("health").head("probe")
    except FileNotFoundError:
        return "ok"
    except ObjectscanError as problem:
        return problem.code
    return "ok"


def _worker(context: Context) -> str:
    try:
        states = [row.state for row in workers.present(context.database)]
    except ObjectscanError as problem:
        return problem.code
    return "ok" if {"idle", "busy"} & set(states) else "none is ready"
