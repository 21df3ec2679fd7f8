"""Live events as server-sent events: of one job, or of all jobs of the tenant."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from objectscan.jobs import store
from objectscan.jobs.events import Event, events_after
from objectscan.jobs.model import FINISHED
from objectscan.service.answers import problems
from objectscan.service.auth import Reader, Shared
from objectscan.service.context import Context
from objectscan.service.event_hub import Listener
from objectscan.service.job_view import time_text

router = APIRouter(prefix="/v1", tags=["events"])

PING_S = 15.0
_LAST = ("succeeded", "failed", "cancelled", "deleted")
_BACKLOG = 5000
_STATES = {"queued": "queued", "started": "running", "progress": "running", "deleted": None}
LastEventId = Annotated[str | None, Header(max_length=20, description="Of the last event that was received.")]
_EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}
_TOLD: dict[int | str, dict[str, Any]] = {
    204: {"description": "The job is finished and all was told: don't ask again."}
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`queued`, `running`, `progress`, `retrying`, `succeeded`, `failed`, `cancelled` and "
        "`deleted`; `data` is JSON: `job_id`, `at`, `state`, `stage`, `stage_fraction`, `progress`, "
        "`remaining_s` and what the event adds. A comment every 15 s keeps the connection.",
        "content": {"text/event-stream": {"schema": _EVENT}},
    }
}  # fmt: skip


@router.get(
    "/jobs/{job_id}/events", response_class=Response, summary="Follow a job",
    responses={**_STREAM, **_TOLD, **problems(401, 403, 404, 422, 429)},
)  # fmt: skip
async def events_of_job(
    context: Shared, key: Reader, job_id: str, last_event_id: LastEventId = None
) -> Response:
    """The job's history, then what happens, until it is finished."""
    job = await asyncio.to_thread(store.get_job, context.database, key.tenant, job_id)
    last = _number(last_event_id) or 0
    if job.state in FINISHED and last_event_id is not None:
        left = await asyncio.to_thread(
            events_after, context.database, key.tenant, last, job_id=job_id, limit=1
        )
        if not left:
            return Response(status_code=204)
    return await _stream(context, key.tenant, job_id, last)


@router.get(
    "/events",
    response_class=Response,
    summary="Follow all jobs",
    responses={**_STREAM, **problems(401, 403, 422, 429)},
)
async def events_of_all(context: Shared, key: Reader, last_event_id: LastEventId = None) -> Response:
    """What happens from now on, or since the event that `Last-Event-ID` names."""
    return await _stream(context, key.tenant, None, _number(last_event_id))


def event_text(event: Event) -> str:
    """One event as it goes over the line."""
    kind = event.kind
    is_again = kind == "queued" and event.data.get("reason") not in ("submitted", "retried")
    name = "retrying" if is_again else "running" if kind == "started" else kind
    data = {
        "job_id": event.job_id, "at": time_text(event.at), "state": _STATES.get(kind, kind), "stage": None,
        "stage_fraction": None, "progress": 1.0 if kind == "succeeded" else None, "remaining_s": None,
        **{"progress" if field == "fraction" else field: value for field, value in event.data.items()},
    }  # fmt: skip
    return f"id: {event.id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


async def _stream(context: Context, tenant: str, job_id: str | None, last: int | None) -> Response:
    listener = await context.hub.enter(tenant, job_id)
    try:
        backlog = []
        if last is not None:
            backlog = list(
                await asyncio.to_thread(
                    events_after, context.database, tenant, last, job_id=job_id, limit=_BACKLOG
                )
            )
    except BaseException:
        context.hub.leave(listener)
        raise
    lines = _lines(context, listener, backlog, last or 0)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return _Events(context, listener, lines, headers=headers, media_type="text/event-stream")


class _Events(StreamingResponse):
    """Stops listening however the stream ends: also if it never began."""

    def __init__(self, context: Context, listener: Listener, lines: AsyncIterator[str], **options: Any):
        super().__init__(lines, **options)
        self._context, self._listener = context, listener

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._context.hub.leave(self._listener)


async def _lines(context: Context, listener: Listener, backlog: list[Event], last: int) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    is_of_job = listener.job_id is not None
    for event in backlog:
        last = event.id
        yield event_text(event)
    if is_of_job and backlog and backlog[-1].kind in _LAST:
        return
    if len(backlog) == _BACKLOG:
        return  # the listener comes again with its last id and gets the rest
    while True:
        try:
            heard = await listener.next(PING_S)
        except TimeoutError:
            yield ": ping\n\n"
            continue
        except EOFError:
            return
        if heard.id <= last:
            continue
        yield event_text(heard)
        if is_of_job and heard.kind in _LAST:
            return


def _number(text: str | None) -> int | None:
    """The id; what is not one of ours starts from the beginning."""
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
