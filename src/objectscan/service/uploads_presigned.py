"""Photos straight into S3 by signed PUTs; what arrived is checked before a job takes it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Annotated, Any

from fastapi import APIRouter
from obstore.store import S3Store
from pydantic import Field

from objectscan.errors import InputError, NotSupported, RequestTooLarge
from objectscan.jobs.keys import ApiKey
from objectscan.service.answers import problems
from objectscan.service.auth import Shared, Writer
from objectscan.service.context import Context
from objectscan.service.file_names import is_camera_file, stored_name
from objectscan.service.inputs import (
    InputFile,
    input_files,
    input_folder,
    photos_folder,
    require_enough,
    require_good_cameras,
    require_picture,
    upload_folder,
)
from objectscan.service.job_view import time_text
from objectscan.service.schemas import Answer, Asked
from objectscan.storage import TenantStorage

router = APIRouter(prefix="/v1/presigned", tags=["uploads"])

_HEAD_BYTES = 512
_FILES = Annotated[list["PresignedFile"], Field(min_length=1, max_length=1000)]


class PresignedFile(Asked):
    """A file that is going to be sent."""

    name: str = Field(min_length=1, max_length=500, examples=["IMG_0001.jpg"])
    size_bytes: int = Field(ge=1)


class PresignedRequest(Asked):
    """Files of one capture."""

    files: _FILES


class PresignedUpload(Answer):
    """Where one file goes."""

    name: str
    url: str
    method: str
    headers: dict[str, str]


class Presigned(Answer):
    """Where the files go; `POST /v1/jobs` with `input` when all are there."""

    input: str
    uploads: list[PresignedUpload]
    expires_at: str


@router.post("", summary="Sign uploads to S3", responses=problems(400, 401, 403, 409, 413, 422, 429))
def sign_uploads(context: Shared, key: Writer, asked: PresignedRequest) -> Presigned:
    """Signed addresses to `PUT` each file to, without a key; 409 `not_supported` unless the storage is S3."""
    storage = context.files_of(key.tenant)
    if not isinstance(storage.store, S3Store):
        raise NotSupported("The storage signs no uploads.", hint="Use /v1/uploads or multipart.")
    _require_sizes(context, key.tenant, asked)
    input_id, taken = str(uuid.uuid4()), set[str]()
    names = [stored_name(file.name, taken) for file in asked.files]
    expected = {name: file.size_bytes for name, file in zip(names, asked.files, strict=True)}
    storage.put(_note_key(input_id), [json.dumps(expected).encode()])
    lifetime_s = context.setup.seconds("link_s")
    uploads = [
        PresignedUpload(
            name=name, method="PUT", headers={},
            url=storage.link(f"{photos_folder(input_id)}/{name}", expires_s=lifetime_s, method="PUT"),
        )
        for name in names
    ]  # fmt: skip
    return Presigned(input=input_id, uploads=uploads, expires_at=time_text(time.time() + lifetime_s))


async def require_arrived(context: Context, key: ApiKey, value: Any) -> str:
    """The folder of an input; if its files came by signed PUTs, they are looked at first.

    Raises:
        NotFound: The tenant has no such input.
        InputError: A file is missing, or has another size than was stated.
        UnsupportedType: A file does not begin like a picture.
    """
    storage, input_id = context.files_of(key.tenant), str(value)
    files = await asyncio.to_thread(input_files, context, key.tenant, input_id)
    expected = await asyncio.to_thread(_expected, storage, input_id)
    if expected is not None:
        await asyncio.to_thread(_require_as_stated, storage, input_id, files, expected)
        require_enough(files, context.number("min_views"))
        await require_good_cameras(context, storage, input_id, files)
        await asyncio.to_thread(storage.delete, _note_key(input_id))
        context.note_stored(key.tenant, sum(expected.values()))
    return input_folder(input_id, [file.name for file in files])


def _require_sizes(context: Context, tenant: str, asked: PresignedRequest) -> None:
    most = context.number("max_file_bytes")
    for file in asked.files:
        if file.size_bytes > most:
            raise RequestTooLarge(
                f"'{file.name[:80]}' has {file.size_bytes} bytes; {most} are taken.",
                details={"max_file_bytes": most},
            )
    if len(asked.files) > context.number("max_files"):
        raise RequestTooLarge(f"{len(asked.files)} files are too many.", hint="See /v1/info.")
    context.require_room(tenant, sum(file.size_bytes for file in asked.files))


def _expected(storage: TenantStorage, input_id: str) -> dict[str, int] | None:
    try:
        values: dict[str, int] = json.loads(b"".join(storage.get(_note_key(input_id))))
    except FileNotFoundError:
        return None
    return values


def _require_as_stated(
    storage: TenantStorage, input_id: str, files: list[InputFile], expected: dict[str, int]
) -> None:
    """A signed PUT can't cap the size, so each size is asked for (S3 lists it) before anything reads it."""
    sizes = {file.name: file.size_bytes for file in files}
    for name, size_bytes in expected.items():
        if sizes.get(name) != size_bytes:
            found = f"has {sizes[name]} bytes" if name in sizes else "is not there"
            raise InputError(
                f"'{name}' {found}; {size_bytes} bytes were stated.", hint="Send it again, or sign anew.",
                details={"file": name, "size_bytes": sizes.get(name), "stated_bytes": size_bytes},
            )  # fmt: skip
        if not is_camera_file(name):
            key = f"{photos_folder(input_id)}/{name}"
            stop = min(size_bytes, _HEAD_BYTES)
            require_picture(b"".join(storage.get(key, stop=stop)), name)


def _note_key(input_id: str) -> str:
    return f"{upload_folder(input_id)}/stated.json"
