"""What this service is, what can be asked of it, and who works for it."""

from __future__ import annotations

import typing

from fastapi import APIRouter

from objectscan import recipes, version
from objectscan.capture.formats.paths import SUFFIXES
from objectscan.jobs import workers
from objectscan.service import schemas
from objectscan.service.answers import problems
from objectscan.service.auth import Reader, Shared
from objectscan.service.job_view import time_text
from objectscan.service.option_table import option_table

router = APIRouter(prefix="/v1", tags=["service"])


@router.get("/info", responses=problems(401, 403), summary="Version and limits")
def info(context: Shared, key: Reader) -> schemas.Info:
    """What one request may hold, and whether anybody is there to work."""
    states = [row.state for row in workers.present(context.database)]
    engine = typing.get_type_hints(recipes.Recipe)["engine"]
    return schemas.Info(
        version=version(),
        limits=schemas.Limits(**{name: context.number(name) for name in schemas.Limits.model_fields}),
        engines=list(typing.get_args(engine)), photo_suffixes=list(SUFFIXES),
        workers=schemas.WorkerCount(ready=states.count("idle"), busy=states.count("busy")),
    )  # fmt: skip


@router.get("/options", responses=problems(401, 403), summary="Presets and options")
def options(key: Reader) -> schemas.Options:
    """Every value that a job may change, with its kind, default and words."""
    return option_table()


@router.get("/workers", responses=problems(401, 403), summary="Workers")
def list_workers(context: Shared, key: Reader) -> schemas.Workers:
    """Workers that were heard of in the last minute; not which job each has: it may be another tenant's."""
    shown = [
        schemas.Worker(
            id=row.id, host=row.host, state=row.state, started_at=time_text(row.started_at),
            seen_at=time_text(row.seen_at), facts=dict(row.facts),
        )
        for row in workers.present(context.database)
    ]  # fmt: skip
    return schemas.Workers(workers=shown)
