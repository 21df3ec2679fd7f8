"""Resumable upload by tus 1.0 with creation, expiration and termination: https://tus.io/protocols.

Written here and not taken from tuspyserver 4.4.3, which runs the body of a PATCH before the caller's key is
looked at, holds the body of a POST in memory, and after a kill appends to bytes that it did not count.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import uuid
from collections.abc import AsyncIterator, Sequence
from email.utils import formatdate
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from starlette.requests import ClientDisconnect

from objectscan.errors import BadRequest, InputError, RequestTooLarge, UnsupportedType
from objectscan.jobs.keys import ApiKey
from objectscan.service.answers import problems
from objectscan.service.auth import Shared, Writer
from objectscan.service.context import Context
from objectscan.service.file_names import is_camera_file, stored_name
from objectscan.service.inputs import (
    InputFile,
    checked_chunks,
    input_folder,
    photos_folder,
    require_enough,
    require_good_cameras,
    upload_folder,
)
from objectscan.service.tus_store import TusStore, Upload

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

_VERSION = "1.0.0"
_WRITE_BYTES = 1 << 20
_MOST_METADATA = 4000
_BODY = {
    "requestBody": {
        "content": {"application/offset+octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    }
}
Resumable = Annotated[str, Header(description="The protocol's version: 1.0.0.", examples=["1.0.0"])]


@router.post(
    "", status_code=201, response_class=Response, summary="Begin a resumable upload",
    responses=problems(400, 401, 403, 413, 422, 429),
)  # fmt: skip
async def create_upload(
    request: Request, context: Shared, key: Writer,
    tus_resumable: Resumable,
    upload_length: Annotated[int, Header(ge=1, description="Size of the file in bytes.")],
    upload_metadata: Annotated[
        str, Header(max_length=_MOST_METADATA, description="`filename BASE64`, as tus clients send it.")
    ],
) -> Response:  # fmt: skip
    """One upload for each photo; `Location` says where its bytes go. Bytes are not taken here."""
    _require_version(tus_resumable)
    name = name_in(upload_metadata)
    most = context.number("max_camera_file_bytes" if is_camera_file(name) else "max_file_bytes")
    if upload_length > most:
        raise RequestTooLarge(
            f"The file has {upload_length} bytes; {most} are taken.", details={"max_file_bytes": most}
        )
    store = store_of(context, key.tenant)
    upload = await asyncio.to_thread(
        _create, context, store, key.tenant, name, upload_length, upload_metadata
    )
    return _answer(201, {"Location": f"/v1/uploads/{upload.id}", **_facts(upload, 0)})


@router.head(
    "/{upload_id}", response_class=Response, summary="How far an upload came",
    responses=problems(400, 401, 403, 404, 422),
)  # fmt: skip
def upload_facts(context: Shared, key: Writer, upload_id: str, tus_resumable: Resumable) -> Response:
    """`Upload-Offset` is the byte to go on with."""
    _require_version(tus_resumable)
    store = store_of(context, key.tenant)
    upload = store.find(upload_id)
    facts = _facts(upload, store.offset(upload))
    return _answer(
        200, {**facts, "Upload-Length": str(upload.size_bytes), "Upload-Metadata": upload.metadata}
    )


@router.patch(
    "/{upload_id}", status_code=204, response_class=Response, summary="Send bytes", openapi_extra=_BODY,
    responses=problems(400, 401, 403, 404, 409, 413, 415, 422),
)  # fmt: skip
async def append_bytes(
    request: Request, context: Shared, key: Writer, upload_id: str, tus_resumable: Resumable,
    upload_offset: Annotated[int, Header(ge=0, description="Where these bytes belong.")],
) -> Response:  # fmt: skip
    """Bytes from `Upload-Offset` on. What arrived stays when the connection breaks."""
    _require_version(tus_resumable)
    if request.headers.get("content-type") != "application/offset+octet-stream":
        raise UnsupportedType("The body has another type.", hint="Send application/offset+octet-stream.")
    store = store_of(context, key.tenant)
    upload = await asyncio.to_thread(store.find, upload_id)
    await _write(request, store, upload, upload_offset)
    return _answer(204, _facts(upload, await asyncio.to_thread(store.offset, upload)))


@router.delete(
    "/{upload_id}", status_code=204, response_class=Response, summary="Forget an upload",
    responses=problems(400, 401, 403, 404, 422),
)  # fmt: skip
def delete_upload(context: Shared, key: Writer, upload_id: str, tus_resumable: Resumable) -> Response:
    """Its bytes are removed."""
    _require_version(tus_resumable)
    store = store_of(context, key.tenant)
    store.remove(store.find(upload_id).id)
    return _answer(204, {})


async def from_uploads(context: Context, key: ApiKey, value: Any) -> str:
    """Turn finished uploads into the storage folder for a job; they are gone from the disk afterwards.

    Raises:
        NotFound: The tenant has no such upload.
        InputError: One is not whole.
        UnsupportedType, TooFewViews, BadCameras, QuotaExceeded: As for photos in one request. The uploads
            stay, so that only what is wrong is sent again.
    """
    store, storage = store_of(context, key.tenant), context.files_of(key.tenant)
    uploads = await asyncio.to_thread(_whole, store, list(dict.fromkeys(value)))
    taken: set[str] = set()
    names = [stored_name(upload.name, taken) for upload in uploads]
    require_enough([InputFile(name, 0, "") for name in names], context.number("min_views"))
    total = sum(upload.size_bytes for upload in uploads)
    await asyncio.to_thread(context.require_room, key.tenant, total)
    input_id, files = str(uuid.uuid4()), []
    try:
        for upload, name in zip(uploads, names, strict=True):
            is_picture = not is_camera_file(name)
            chunks = checked_chunks(
                _chunks(store, upload), upload.name, upload.size_bytes, must_be_picture=is_picture
            )
            written = await storage.put_stream(f"{photos_folder(input_id)}/{name}", chunks)
            files.append(InputFile(name, written.size_bytes, written.sha256))
        await require_good_cameras(context, storage, input_id, files)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(storage.delete_folder, upload_folder(input_id)))
        raise
    context.note_stored(key.tenant, total)
    for upload in uploads:
        await asyncio.to_thread(store.remove, upload.id)
    return input_folder(input_id, names)


def store_of(context: Context, tenant: str) -> TusStore:
    """A tenant's resumable uploads; on the disk of this host, so a balancer has to keep a caller to one."""
    return TusStore(context.setup.data_folder / "resumable", tenant)


def name_in(metadata: str) -> str:
    """The file's name in `Upload-Metadata`.

    Raises:
        BadRequest: There is none.
    """
    for pair in metadata.split(","):
        word, _, value = pair.strip().partition(" ")
        if word in ("filename", "name"):
            try:
                name = base64.b64decode(value, validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError) as problem:
                raise BadRequest("The file's name in Upload-Metadata can't be read.") from problem
            if name and len(name) <= 500:
                return name
    raise BadRequest("Upload-Metadata has no filename.", hint="Send `filename BASE64-OF-THE-NAME`.")


def _create(
    context: Context, store: TusStore, tenant: str, name: str, size_bytes: int, metadata: str
) -> Upload:  # fmt: skip
    store.sweep()
    context.require_room(tenant, size_bytes + store.held_bytes())
    return store.create(name, size_bytes, metadata, context.setup.seconds("upload_retention_s"))


async def _write(request: Request, store: TusStore, upload: Upload, offset: int) -> None:
    """Append the body; opened, written and closed in threads, in pieces of 1 MB."""
    held, end = bytearray(), offset
    opened = store.writing(upload, offset)
    file = await asyncio.to_thread(opened.__enter__)
    try:
        async for chunk in request.stream():
            end += len(chunk)
            if end > upload.size_bytes:
                raise RequestTooLarge(
                    f"More than the {upload.size_bytes} bytes come that were stated.", hint="Begin anew."
                )
            held += chunk
            if len(held) >= _WRITE_BYTES:
                await asyncio.to_thread(file.write, bytes(held))
                held.clear()
    except ClientDisconnect:
        pass  # what arrived is kept; nobody is there to be told
    finally:
        await asyncio.shield(asyncio.to_thread(_close, file, bytes(held), opened))


def _close(file: Any, rest: bytes, opened: Any) -> None:
    try:
        file.write(rest)
    finally:
        opened.__exit__(None, None, None)


def _whole(store: TusStore, ids: Sequence[str]) -> list[Upload]:
    uploads = [store.find(upload_id) for upload_id in ids]
    for upload in uploads:
        offset = store.offset(upload)
        if offset != upload.size_bytes:
            raise InputError(
                f"Of '{upload.name[:80]}' {offset} of {upload.size_bytes} bytes are here.",
                hint="Send the rest.", details={"upload_id": upload.id, "offset": offset},
            )  # fmt: skip
    return uploads


async def _chunks(store: TusStore, upload: Upload) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(store.path(upload.id).open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, 4 * _WRITE_BYTES):
            yield chunk
    finally:
        await asyncio.to_thread(file.close)


def _require_version(stated: str) -> None:
    if stated != _VERSION:
        raise BadRequest(f"Tus-Resumable is {stated[:20]!r}.", hint=f"This service speaks {_VERSION}.")


def _facts(upload: Upload, offset: int) -> dict[str, str]:
    return {
        "Upload-Offset": str(offset), "Upload-Expires": formatdate(upload.expires_at, usegmt=True),
        "Cache-Control": "no-store",
    }  # fmt: skip


def _answer(status: int, headers: dict[str, str]) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": _VERSION, **headers})
