"""Receives photos: from the network straight into the storage, hashed and limited on the way.

An upload lies in the tenant's storage as `uploads/ID/photos/...`, what was found out about it as
`uploads/ID/judgement/...`. Nothing is decoded here: archives and cameras are looked at in a child process.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fastapi import Request

from objectscan.capture.codecs.sniff import describe, picture_format
from objectscan.errors import (
    BadRequest,
    NotEnoughSpace,
    NotFound,
    RequestTooLarge,
    TooFewViews,
    UnsupportedType,
)
from objectscan.service.context import Context
from objectscan.service.file_names import common_folder, is_camera_file, is_mask, stored_name
from objectscan.service.multipart import Part, PartLimits, boundary_of, read_parts
from objectscan.storage import TenantStorage

_HEAD_BYTES = 512
_FEWEST_PLAIN = 5
"""As in `capture.plain`: with fewer, cameras that were found were wrong more often than right."""
_PHOTOS, _ARCHIVE = "photos", "archive"


@dataclass(frozen=True, slots=True)
class InputFile:
    """One stored file."""

    name: str
    """Below the upload's `photos` folder."""
    size_bytes: int
    sha256: str


@dataclass(slots=True)
class Received:
    """A request's files and texts."""

    id: str
    files: list[InputFile] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where a job finds its photos."""
        return input_folder(self.id, [file.name for file in self.files])


def upload_folder(input_id: str) -> str:
    """Everything of one upload, in the tenant's storage."""
    return f"uploads/{input_id}"


def photos_folder(input_id: str) -> str:
    """An upload's files."""
    return f"{upload_folder(input_id)}/photos"


def input_folder(input_id: str, names: Sequence[str]) -> str:
    """What a job of these files gets as its input: without the folder that all of them lie in."""
    top = common_folder(names)
    return f"{photos_folder(input_id)}/{top}" if top else photos_folder(input_id)


async def receive(request: Request, context: Context, tenant: str) -> Received:
    """Store all files of a multipart request.

    Raises:
        BadRequest, RequestTooLarge, UnsupportedType, TooFewViews, UnsafeArchive, BadCameras, QuotaExceeded:
            Nothing of the request stays.
    """
    boundary = boundary_of(request.headers.get("content-type", ""))
    limits = PartLimits(context.number("max_request_bytes"), context.number("max_files"))
    await _require_room(request, context, tenant, limits.max_bytes)
    storage, received = context.files_of(tenant), Received(str(uuid.uuid4()))
    try:
        await _receive_parts(request, context, storage, received, boundary, limits)
        require_enough(received.files, context.number("min_views"))
        await require_good_cameras(context, storage, received.id, received.files)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(storage.delete_folder, upload_folder(received.id)))
        raise
    context.note_stored(tenant, sum(file.size_bytes for file in received.files))
    return received


def require_enough(files: Sequence[InputFile], min_views: int) -> None:
    """Refuse what can't become a capture, by counting alone.

    Raises:
        TooFewViews: There are fewer photos than the setting `min_views`.
    """
    photos = [file for file in files if not is_camera_file(file.name) and not is_mask(file.name)]
    if len(photos) < min_views:
        raise TooFewViews(
            f"The request has {len(photos)} photos; at least {min_views} are needed.",
            hint="Take 24 or more, all around the object.", details={"reason": "too_few_images"},
        )  # fmt: skip


def require_enough_for(engine: str, files: Sequence[InputFile]) -> None:
    """Refuse photos whose cameras nobody could find, for an engine that needs them.

    Raises:
        TooFewViews: Without cameras, this engine needs more.
    """
    photos = [file for file in files if not is_camera_file(file.name) and not is_mask(file.name)]
    has_cameras = any(is_camera_file(file.name) for file in files)
    if engine == "nvdiffrec" and not has_cameras and len(photos) < _FEWEST_PLAIN:
        raise TooFewViews(
            f"The request has {len(photos)} photos without cameras; at least {_FEWEST_PLAIN} are needed.",
            hint="Take 24 or more, all around the object, or choose the engine auto.",
            details={"reason": "too_few_images"},
        )


async def require_good_cameras(
    context: Context, storage: TenantStorage, input_id: str, files: Sequence[InputFile]
) -> None:
    """Read camera files in a child process; without any nothing is done.

    Raises:
        BadCameras: They can't be used, or name photos that are not there.
    """
    if not any(is_camera_file(file.name) for file in files):
        return
    folder = context.incoming / f"cameras-{input_id}"
    try:
        await asyncio.to_thread(_lay_out, storage, input_id, files, folder)
        top = common_folder([file.name for file in files])
        await context.checker.run({"task": "cameras", "folder": str(folder / top)})
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def input_files(context: Context, tenant: str, input_id: str) -> list[InputFile]:
    """The files of an upload, by name.

    Raises:
        NotFound: The tenant has no such upload.
    """
    folder = photos_folder(_uuid(input_id))
    found = [
        InputFile(stored.key.removeprefix(f"{folder}/"), stored.size_bytes, "")
        for stored in context.files_of(tenant).list(folder)
    ]
    if not found:
        raise NotFound(f"There is no input {input_id[:40]}.", hint="Upload the photos again.")
    return sorted(found, key=lambda file: file.name)


async def _require_room(request: Request, context: Context, tenant: str, most: int) -> None:
    """Refuse by the stated length, before a byte is read."""
    stated = request.headers.get("content-length", "")
    length = int(stated) if stated.isascii() and stated.isdecimal() else 0
    if length > most:
        raise RequestTooLarge(
            f"The request has {length} bytes; the limit is {most}.",
            hint="Send fewer or smaller photos, or use the resumable upload.",
            details={"max_request_bytes": most},
        )
    await asyncio.to_thread(context.require_room, tenant, length)
    free = (await asyncio.to_thread(shutil.disk_usage, context.incoming)).free
    if length > free:
        raise NotEnoughSpace(f"{length} bytes come and {free} are free in {context.incoming}.")


async def _receive_parts(
    request: Request, context: Context, storage: TenantStorage, received: Received, boundary: bytes,
    limits: PartLimits,
) -> None:  # fmt: skip
    taken: set[str] = set()
    parts = read_parts(aiter(request.stream()), boundary, limits)
    async with contextlib.aclosing(parts):
        async for part in parts:
            if part.filename is None:
                received.texts.setdefault(part.name, []).append(await part.text())
            elif part.name == _PHOTOS:
                received.files.append(await _store_photo(part, context, storage, received.id, taken))
            elif part.name == _ARCHIVE:
                received.files += await _store_archive(part, context, storage, received.id, taken)
            else:
                raise BadRequest(
                    f"There is no field for files '{part.name[:40]}'.",
                    hint=f"Use '{_PHOTOS}' or '{_ARCHIVE}'.",
                )


async def _store_photo(
    part: Part, context: Context, storage: TenantStorage, input_id: str, taken: set[str]
) -> InputFile:
    given = part.filename or ""
    name = stored_name(given, taken)
    most = context.number("max_camera_file_bytes" if is_camera_file(name) else "max_file_bytes")
    checked = checked_chunks(part.chunks(), given, most, must_be_picture=not is_camera_file(name))
    written = await storage.put_stream(f"{photos_folder(input_id)}/{name}", checked)
    return InputFile(name, written.size_bytes, written.sha256)


async def checked_chunks(
    chunks: AsyncIterator[bytes], given: str, most: int, *, must_be_picture: bool
) -> AsyncIterator[bytes]:
    """The bytes, as long as they begin like a picture and are not too many.

    Raises:
        UnsupportedType, RequestTooLarge: They do not, or are.
    """
    count = 0
    async for chunk in chunks:
        if count == 0 and must_be_picture:
            require_picture(chunk[:_HEAD_BYTES], given)
        count += len(chunk)
        if count > most:
            raise RequestTooLarge(
                f"'{given[:80]}' has more than {most} bytes.", hint="Send a smaller picture.",
                details={"file": given[:200], "max_file_bytes": most},
            )  # fmt: skip
        yield chunk
    if count == 0:
        raise UnsupportedType(
            f"'{given[:80]}' is empty.", hint="Send the photo again.", details={"file": given[:200]}
        )


def require_picture(head: bytes, given: str) -> None:
    """Refuse a file that does not begin like a picture that we read.

    Raises:
        UnsupportedType: It says what the file is instead.
    """
    if picture_format(head) is None:
        raise UnsupportedType(
            f"'{given[:80]}' is no photo but {describe(head)}.",
            hint="Send JPEG, PNG, WebP, TIFF, AVIF, HEIC or BMP, and zips as 'archive'.",
            details={"file": given[:200]},
        )


async def _store_archive(
    part: Part, context: Context, storage: TenantStorage, input_id: str, taken: set[str]
) -> Sequence[InputFile]:
    """Unpack a zip in a child process, and store what was in it."""
    folder = context.incoming / f"archive-{uuid.uuid4()}"
    archive = folder / "archive.zip"
    try:
        await asyncio.to_thread(folder.mkdir, mode=0o700)
        await _spool(part.chunks(), archive)
        task = {"task": "unpack", "archive": str(archive), "folder": str(folder / "photos")}
        await context.checker.run({**task, "name": PurePosixPath(part.filename or "").name[:80]})
        return await asyncio.to_thread(store_folder, storage, folder / "photos", input_id, taken)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def store_folder(storage: TenantStorage, folder: Path, input_id: str, taken: set[str]) -> Sequence[InputFile]:
    """Store the files of a local folder under an upload."""
    stored = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        name = stored_name(path.relative_to(folder).as_posix(), taken)
        written = storage.put_file(f"{photos_folder(input_id)}/{name}", path)
        stored.append(InputFile(name, written.size_bytes, written.sha256))
    return stored


async def _spool(chunks: AsyncIterator[bytes], path: Path) -> None:
    """Write to a local file; opened, written and closed in threads, since closing syncs metadata."""
    file = await asyncio.to_thread(path.open, "wb")
    try:
        async for chunk in chunks:
            await asyncio.to_thread(file.write, chunk)
    finally:
        await asyncio.to_thread(file.close)


def _lay_out(storage: TenantStorage, input_id: str, files: Sequence[InputFile], folder: Path) -> None:
    """The camera files as they are, and empty files in the places of the photos: only their names count."""
    for file in files:
        path = folder / file.name
        if is_camera_file(file.name):
            storage.get_file(f"{photos_folder(input_id)}/{file.name}", path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise NotFound(f"There is no input {text[:40]!r}.", hint="Upload the photos again.") from None


def first_text(texts: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The one value of a text field.

    Raises:
        BadRequest: It came several times.
    """
    values = texts.get(name, ())
    if len(values) > 1:
        raise BadRequest(f"The field '{name}' came {len(values)} times.", hint="Send it once.")
    return values[0] if values else None
