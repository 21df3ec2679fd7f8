"""Photos by a list of URLs: fetched through the guard, straight into the storage."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from objectscan.errors import FetchFailed, ObjectscanError
from objectscan.jobs.keys import ApiKey
from objectscan.service.context import Context
from objectscan.service.file_names import is_camera_file, stored_name
from objectscan.service.guarded_http import FetchRules, fetch, fetch_rules, require_url
from objectscan.service.inputs import (
    InputFile,
    checked_chunks,
    input_folder,
    photos_folder,
    require_enough,
    require_good_cameras,
    upload_folder,
)
from objectscan.storage import TenantStorage

_AT_ONCE = 4
"""Fetches side by side: a caller's server is not to be flooded in our name."""


async def from_urls(context: Context, key: ApiKey, value: Any) -> str:
    """Fetch photos into a new upload; the storage folder for the job.

    Raises:
        FetchRefused, FetchFailed, UnsupportedType, RequestTooLarge, TooFewViews, QuotaExceeded: Nothing of
            the upload stays. `details["url"]` says which one it was.
    """
    urls: Sequence[str] = list(dict.fromkeys(value))
    most = context.number("max_file_bytes")
    rules = fetch_rules(context.settings, timeout_s=context.setup.seconds("fetch_timeout_s"), max_bytes=most)
    for url in urls:
        require_url(url, rules)
    taken: set[str] = set()
    names = {url: stored_name(_name_in(url), taken) for url in urls}
    require_enough([InputFile(name, 0, "") for name in names.values()], context.number("min_views"))
    await asyncio.to_thread(context.require_room, key.tenant, 0)
    storage, input_id = context.files_of(key.tenant), str(uuid.uuid4())
    try:
        files = await _fetch_all(storage, input_id, names, rules, context.number("max_request_bytes"))
        await asyncio.to_thread(context.require_room, key.tenant, sum(file.size_bytes for file in files))
        await require_good_cameras(context, storage, input_id, files)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(storage.delete_folder, upload_folder(input_id)))
        raise
    context.note_stored(key.tenant, sum(file.size_bytes for file in files))
    return input_folder(input_id, [file.name for file in files])


async def _fetch_all(
    storage: TenantStorage, input_id: str, names: dict[str, str], rules: FetchRules, most_bytes: int
) -> list[InputFile]:
    turn = asyncio.Semaphore(_AT_ONCE)
    files: list[InputFile] = []

    async def fetch_in_turn(url: str, name: str) -> None:
        async with turn:
            files.append(await _fetch_one(storage, input_id, url, name, rules))
        if sum(file.size_bytes for file in files) > most_bytes:
            raise FetchFailed(f"All files together have more than {most_bytes} bytes.", hint="Name fewer.")

    try:
        async with asyncio.TaskGroup() as group:
            for url, name in names.items():
                group.create_task(fetch_in_turn(url, name))
    except* ObjectscanError as problems:
        raise _first(problems) from None
    return files


async def _fetch_one(
    storage: TenantStorage, input_id: str, url: str, name: str, rules: FetchRules
) -> InputFile:
    try:
        async with fetch(url, rules) as answer:
            if answer.status != 200:
                raise FetchFailed(f"The server answers {answer.status}.", hint="Check that the link works.")
            chunks = checked_chunks(
                answer.body, name, rules.max_bytes, must_be_picture=not is_camera_file(name)
            )
            written = await storage.put_stream(f"{photos_folder(input_id)}/{name}", chunks)
    except ObjectscanError as problem:
        problem.details.setdefault("url", url[:200])
        raise
    return InputFile(name, written.size_bytes, written.sha256)


def _first(problems: BaseExceptionGroup[ObjectscanError]) -> ObjectscanError:
    inner = problems.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _name_in(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name or "photo"
