"""Judgements of uploads: made once in a child process, kept in the storage beside the photos."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from objectscan.errors import ObjectscanError
from objectscan.service.checker import Checker
from objectscan.service.file_names import is_camera_file, is_mask
from objectscan.storage import Storage, TenantStorage

log = logging.getLogger(__name__)

_FILE = "judgement.json"


@dataclass(frozen=True, slots=True)
class JudgedFolder:
    """What is judged: photos below a folder of a tenant's storage."""

    tenant: str
    photos: str
    """Storage folder: the input of a job."""
    upload: str
    """Storage folder of the whole upload; the judgement goes into it."""

    @property
    def judgement(self) -> str:
        """Storage folder of the judgement."""
        return f"{self.upload}/judgement"


class JudgeDesk:
    """Starts judgements and remembers which are at work in this process."""

    def __init__(self, storage: Storage, checker: Checker, incoming: Path):
        """Nothing is at work yet."""
        self._storage, self._checker, self._incoming = storage, checker, incoming
        self._at_work: dict[JudgedFolder, asyncio.Task[None]] = {}

    async def judgement(self, folder: JudgedFolder) -> dict[str, Any] | None:
        """The judgement if there is one; else it is begun, and None."""
        files = self._storage.tenant(folder.tenant)
        found = await asyncio.to_thread(_read, files, folder)
        if found is None:
            self.begin(folder)
        return found

    def begin(self, folder: JudgedFolder) -> None:
        """Begin to judge, unless that is at work already. Must be called on the event loop."""
        if folder in self._at_work:
            return
        task = asyncio.create_task(self._judge(folder))
        self._at_work[folder] = task
        task.add_done_callback(lambda _: self._at_work.pop(folder, None))

    async def close(self) -> None:
        """Give up what is at work; it is begun again when somebody asks."""
        tasks = list(self._at_work.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _judge(self, folder: JudgedFolder) -> None:
        files = self._storage.tenant(folder.tenant)
        place = self._incoming / f"judge-{uuid.uuid4()}"
        try:
            names = await asyncio.to_thread(_lay_out, files, folder, place / "photos")
            task = {
                "task": "judge", "folder": str(place / "photos"), "files": judged_names(names),
                "thumbnails": str(place / "thumbnails"),
            }  # fmt: skip
            try:
                answer = await self._checker.run(task)
            except ObjectscanError as error:
                answer = _refusal(error, judged_names(names))
            await asyncio.to_thread(_write, files, folder, answer, place / "thumbnails")
        except ObjectscanError as problem:
            log.warning("No judgement: %s", problem, extra={"upload": folder.upload})
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, place, ignore_errors=True))


def judged_names(names: Sequence[str]) -> list[str]:
    """The photos among an upload's files, in the order in which they are numbered."""
    return sorted(name for name in names if not is_camera_file(name) and not is_mask(name))


def _read(files: TenantStorage, folder: JudgedFolder) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads(b"".join(files.get(f"{folder.judgement}/{_FILE}")))
    except FileNotFoundError:
        return None
    return values


def _write(files: TenantStorage, folder: JudgedFolder, answer: dict[str, Any], thumbnails: Path) -> None:
    """Thumbnails first: who finds the judgement finds them too."""
    for path in sorted(thumbnails.glob("*.jpg")):
        files.put_file(f"{folder.judgement}/{path.name}", path)
    files.put(f"{folder.judgement}/{_FILE}", [json.dumps(answer).encode()])


def _lay_out(files: TenantStorage, folder: JudgedFolder, place: Path) -> list[str]:
    """Bring the photos to a local folder: as second names of the same files where that is possible."""
    names = []
    for stored in files.list(folder.photos):
        name = stored.key.removeprefix(f"{folder.photos}/")
        path, local = place / name, files.local_path(stored.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        is_here = False
        if local is not None:
            with contextlib.suppress(OSError):
                os.link(local, path)
                is_here = True
        if not is_here:
            files.get_file(stored.key, path)
        names.append(name)
    return names


def _refusal(error: ObjectscanError, names: Sequence[str]) -> dict[str, Any]:
    finding = {
        "code": error.code, "severity": "error", "message": error.message, "hint": error.hint, "photos": [],
    }  # fmt: skip
    photos: list[dict[str, Any]] = [
        {"name": name, "width": None, "height": None, "findings": []} for name in names
    ]
    return {"verdict": "refused", "findings": [finding], "photos": photos}
