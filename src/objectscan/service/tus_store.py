"""Resumable uploads on this machine's disk: a file that grows, and a note beside it.

How far an upload came is the size of its file and nothing else. So a process that is killed anywhere loses no
byte that it wrote, and no byte is counted twice: a note of the offset could be older or newer than the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from objectscan.errors import NotFound, OffsetConflict
from objectscan.storage.names import require_tenant

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Upload:
    """One resumable upload."""

    id: str
    name: str
    """As the caller gave it; never a path of ours."""
    size_bytes: int
    metadata: str
    """The header of the creation, to be told back."""
    expires_at: float


class TusStore:
    """One tenant's uploads. No id can name another's file: ids are hexadecimal, folders are per tenant."""

    def __init__(self, folder: Path, tenant: str):
        """`folder`: of all tenants."""
        self.folder = folder / require_tenant(tenant)

    def create(self, name: str, size_bytes: int, metadata: str, lifetime_s: float) -> Upload:
        """A new, empty upload."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        upload = Upload(uuid.uuid4().hex, name, size_bytes, metadata, time.time() + lifetime_s)
        self.path(upload.id).touch(mode=0o600)
        part = self._note(upload.id).with_suffix(".part")
        part.write_text(json.dumps(asdict(upload)))
        part.replace(self._note(upload.id))
        return upload

    def find(self, upload_id: str) -> Upload:
        """An upload that is not over.

        Raises:
            NotFound: There is none of this id here.
        """
        if _ID.fullmatch(upload_id):
            with contextlib.suppress(FileNotFoundError):
                upload = Upload(**json.loads(self._note(upload_id).read_text()))
                if upload.expires_at > time.time():
                    return upload
        raise NotFound(f"There is no upload {upload_id[:40]!r}.", hint="Begin a new one.")

    def path(self, upload_id: str) -> Path:
        """Where its bytes are."""
        return self.folder / f"{upload_id}.data"

    def offset(self, upload: Upload) -> int:
        """How many bytes are here."""
        return self.path(upload.id).stat().st_size

    @contextlib.contextmanager
    def writing(self, upload: Upload, offset: int) -> Iterator[BinaryIO]:
        """The file, to be written from `offset` on by nobody else meanwhile.

        Raises:
            OffsetConflict: It goes on elsewhere, or another request writes to it.
        """
        with self.path(upload.id).open("r+b", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as problem:
                raise OffsetConflict("Another request writes to this upload.", hint="Try again.") from problem
            here = file.seek(0, os.SEEK_END)
            if here != offset:
                raise OffsetConflict(
                    f"The upload goes on at byte {here}, not {offset}.", hint="Ask for the offset by HEAD.",
                    details={"offset": here},
                )  # fmt: skip
            yield file

    def remove(self, upload_id: str) -> None:
        """Remove an upload if it is there."""
        self._note(upload_id).unlink(missing_ok=True)
        self.path(upload_id).unlink(missing_ok=True)

    def held_bytes(self) -> int:
        """What all uploads of the tenant will need when they are whole."""
        total = 0
        for note in self.folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                total += int(json.loads(note.read_text())["size_bytes"])
        return total

    def sweep(self) -> int:
        """Remove uploads that are over; how many there were."""
        removed = 0
        for note in self.folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                if json.loads(note.read_text())["expires_at"] <= time.time():
                    self.remove(note.stem)
                    removed += 1
        return removed

    def _note(self, upload_id: str) -> Path:
        return self.folder / f"{upload_id}.json"
