"""Photos in: a job at once, or first an input whose photos are judged."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Header, Request, Response
from pydantic import ValidationError

from objectscan.errors import BadRequest, InputError, NotAllowed, RequestTooLarge
from objectscan.jobs import store
from objectscan.jobs.keys import ApiKey
from objectscan.jobs.queue import publish_wake
from objectscan.recipes import recipe_for
from objectscan.service import schemas
from objectscan.service.answers import problems
from objectscan.service.auth import Shared, Writer
from objectscan.service.context import Context
from objectscan.service.handlers import details_of
from objectscan.service.inputs import (
    Received,
    first_text,
    receive,
    require_enough_for,
    upload_folder,
)
from objectscan.service.job_view import job_path
from objectscan.service.jobs_routes import full_view
from objectscan.service.judge_desk import JudgedFolder
from objectscan.service.openapi import CREATE_BODY, INPUT_BODY
from objectscan.service.photos_routes import shown_input
from objectscan.service.uploads_presigned import require_arrived
from objectscan.service.uploads_tus import from_uploads
from objectscan.service.uploads_urls import from_urls

router = APIRouter(tags=["jobs"])

_MOST_JSON_BYTES = 1_000_000
_RETRY_AFTER_S = 5
_TEXT_FIELDS = {"preset", "options", "seed", "priority", "external_id", "tags", "notes", "retention_s"}
_JSON_FIELDS = ("options", "notes", "seed", "priority", "retention_s")

Source = Callable[[Context, ApiKey, Any], Awaitable[str]]
"""From the value of a JSON field to the storage folder of the photos."""


@router.post(
    "/v1/jobs", status_code=202, summary="Reconstruct", openapi_extra=CREATE_BODY,
    responses=problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 507),
)  # fmt: skip
async def create_job(
    request: Request, response: Response, context: Shared, key: Writer, later: BackgroundTasks,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="For a day, the same key gives the same job."),
    ] = None,
) -> schemas.Job:  # fmt: skip
    """Photos of one object in; the answer is the job, whose state is then asked for or listened to.

    Send 24 to 40 sharp photos all around the object, each from another place, with neighbours about 15 to 20
    degrees apart, in even light, with the object still. Photos with cameras (`transforms.json`, a COLMAP
    model) keep their folders in the file names.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        options, folder, fingerprint = await _from_json(request, context, key)
        received = None
    else:
        received = await receive(request, context, key.tenant)
        try:
            options = options_of(received)
            require_enough_for(recipe_for(options.preset, options.options).engine, received.files)
        except BaseException:
            await _discard(context, key, received)
            raise
        folder, fingerprint = received.folder, _fingerprint_of(received)
    try:
        job, is_new = await asyncio.to_thread(
            _submit, context, key, options, folder, fingerprint, idempotency_key
        )
        view = await asyncio.to_thread(full_view, context, job)
    except BaseException:
        if received is not None:
            await _discard(context, key, received)
        raise
    if received is not None and not is_new:
        await _discard(context, key, received)
    if is_new:
        later.add_task(publish_wake, context.wake, job.id)
    response.headers["Location"] = job_path(job.id)
    response.headers["Retry-After"] = str(_RETRY_AFTER_S)
    return view


@router.post(
    "/v1/inputs", status_code=202, summary="Upload and judge photos", tags=["photos"],
    openapi_extra=INPUT_BODY, responses=problems(400, 401, 403, 413, 415, 422, 429, 507),
)  # fmt: skip
async def create_input(request: Request, response: Response, context: Shared, key: Writer) -> schemas.Photos:
    """Store photos and judge them at once; `POST /v1/jobs` with the `input` of the answer reconstructs.

    Photos that no job uses are deleted after a day.
    """
    received = await receive(request, context, key.tenant)
    folder = JudgedFolder(key.tenant, received.folder, upload_folder(received.id))
    context.desk.begin(folder)
    response.headers["Location"] = f"/v1/inputs/{received.id}/photos"
    return await shown_input(context, folder, received.id)


SOURCES: dict[str, Source] = {"input": require_arrived, "urls": from_urls, "upload_ids": from_uploads}
"""By the JSON field that names the photos."""


def options_of(received: Received) -> schemas.JobOptions:
    """The options among the text fields of a multipart request.

    Raises:
        BadRequest: A field is unknown, came twice, or is no JSON where it has to be.
        InputError: A value can't be used.
    """
    unknown = sorted(set(received.texts) - _TEXT_FIELDS)
    if unknown:
        raise BadRequest(
            f"There is no field '{unknown[0][:40]}'.", hint=f"Known: {', '.join(sorted(_TEXT_FIELDS))}."
        )
    values: dict[str, Any] = {"tags": list(received.texts.get("tags", ()))}
    for name in sorted(_TEXT_FIELDS - {"tags"}):
        text = first_text(received.texts, name)
        if text is not None:
            values[name] = _json(text, name) if name in _JSON_FIELDS else text
    return _validated(schemas.JobOptions, values)


async def _from_json(
    request: Request, context: Context, key: ApiKey
) -> tuple[schemas.JobOptions, str, Mapping[str, Any]]:
    values = _json(await _text(request), "body")
    if not isinstance(values, dict):
        raise BadRequest("The body is no JSON object.", hint='Example: {"input": "..."}.')
    asked = _validated(schemas.JobRequest, values)
    recipe_for(asked.preset, asked.options)  # before anything is fetched
    named = [name for name in ("input", "urls", "upload_ids") if getattr(asked, name) is not None]
    if len(named) != 1:
        raise InputError(
            f"The request names {len(named)} sources of photos.", hint="Give one of input, urls, upload_ids."
        )
    folder = await SOURCES[named[0]](context, key, getattr(asked, named[0]))
    options = schemas.JobOptions(**{n: getattr(asked, n) for n in schemas.JobOptions.model_fields})
    return options, folder, {"json": values}


async def _text(request: Request) -> str:
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) > _MOST_JSON_BYTES:
            raise RequestTooLarge(f"The JSON has more than {_MOST_JSON_BYTES} bytes.", hint="Send less.")
    try:
        return held.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise BadRequest("The JSON is not UTF-8.") from problem


def _json(text: str, name: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as problem:
        raise BadRequest(f"'{name}' is no JSON: {problem}.", hint="Check quotes and commas.") from problem


def _validated(kind: type[Any], values: Mapping[str, Any]) -> Any:
    try:
        return kind.model_validate(values)
    except ValidationError as problem:
        errors = details_of(problem.errors())
        first = errors[0]
        raise InputError(
            f"{first['field'] or 'The request'}: {first['message']}.", hint="See the API's documentation.",
            details={"errors": errors},
        ) from problem  # fmt: skip


def _submit(
    context: Context, key: ApiKey, options: schemas.JobOptions, folder: str, fingerprint: Mapping[str, Any],
    idempotency_key: str | None,
) -> tuple[store.Job, bool]:  # fmt: skip
    limits = key.rules.limits
    if options.priority > limits.get("max_priority", 9):
        raise NotAllowed(
            f"The key allows priorities up to {limits['max_priority']:g}, not {options.priority}.",
            hint="Ask for less.",
        )
    retention_s = options.retention_s
    if "retention_s" in limits:
        retention_s = min(
            limits["retention_s"], limits["retention_s"] if retention_s is None else retention_s
        )
    new = store.NewJob(
        key.tenant, folder, options.preset, options.options, options.seed, options.priority,
        options.external_id, options.notes, tuple(options.tags), retention_s,
    )  # fmt: skip
    promise = None
    if idempotency_key is not None:
        asked = {**fingerprint, "options": options.model_dump()}
        body = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        promise = store.Idempotency(idempotency_key, body)
    return store.submit(
        context.database, new, idempotency=promise, max_waiting=context.number("tenant_max_waiting")
    )


def _fingerprint_of(received: Received) -> Mapping[str, Any]:
    return {"files": sorted((file.name, file.sha256) for file in received.files)}


async def _discard(context: Context, key: ApiKey, received: Received) -> None:
    files = context.files_of(key.tenant)
    await asyncio.shield(asyncio.to_thread(files.delete_folder, upload_folder(received.id)))
