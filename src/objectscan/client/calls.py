"""What both clients send and how they read answers, without any network: what differs is who waits."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from objectscan.client.model import Artifact, JobEvent
from objectscan.errors import ServiceFailed, TooFewViews

TUS = {"Tus-Resumable": "1.0.0"}
RESUMABLE_FROM_BYTES = 200_000_000
"""Larger sets are sent file by file, so that a broken connection costs one piece of one file."""
PIECE_BYTES = 16 * 1024 * 1024
_FORM_FIELDS = ("preset", "seed", "priority", "external_id", "retention_s")
_JSON_FIELDS = ("options", "notes")
_NOTES = {".csv", ".db", ".html", ".ini", ".log", ".md", ".pdf", ".txt"}
_COLMAP = {"cameras", "images", "points3D", "rigs", "frames", "project"}


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How to reconstruct; None leaves the service's default."""

    preset: str | None = None
    options: Mapping[str, Any] | None = None
    """Changes to the preset by the dotted names of /v1/options."""
    seed: int | None = None
    priority: int | None = None
    external_id: str | None = None
    tags: Sequence[str] = ()
    notes: Mapping[str, Any] | None = None
    retention_s: float | None = None
    idempotency_key: str | None = field(default=None)
    """The same key within a day gives the same job."""

    def body(self) -> dict[str, Any]:
        """Members of the JSON body."""
        names = (*_FORM_FIELDS, *_JSON_FIELDS)
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {**found, **({"tags": list(self.tags)} if self.tags else {})}

    def form(self) -> dict[str, Any]:
        """Text fields of the multipart body."""
        texts = {
            name: json.dumps(value) if name in _JSON_FIELDS else value for name, value in self.body().items()
        }
        return {name: value if name == "tags" else str(value) for name, value in texts.items()}

    def headers(self) -> dict[str, str]:
        """Headers of the request."""
        return {} if self.idempotency_key is None else {"Idempotency-Key": self.idempotency_key}


def photo_files(folder: Path | str) -> list[tuple[str, Path]]:
    """(name, path) of each file of a folder, or the one zip that was named.

    Hidden files and notes that lie beside the photos are left out.

    Raises:
        TooFewViews: There are none.
    """
    top = Path(folder)
    if top.is_file():
        return [(top.name, top)]
    found = [
        (path.relative_to(top).as_posix(), path)
        for path in sorted(top.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(top).parts)
        and (path.suffix.lower() not in _NOTES or path.stem in _COLMAP)
    ]
    if not found:
        raise TooFewViews(f"There are no photos in {top}.", hint="Name a folder of photos, or a zip.")
    return found


def is_zip(files: Sequence[tuple[str, Path]]) -> bool:
    """Whether the set is one zip."""
    return len(files) == 1 and files[0][1].suffix.lower() == ".zip"


def is_large(files: Sequence[tuple[str, Path]]) -> bool:
    """Whether the set is better sent so that it can go on after a break."""
    return not is_zip(files) and sum(path.stat().st_size for _, path in files) >= RESUMABLE_FROM_BYTES


def upload_headers(name: str, size_bytes: int) -> dict[str, str]:
    """Headers that begin a resumable upload."""
    told = base64.b64encode(name.encode()).decode()
    return {**TUS, "Upload-Length": str(size_bytes), "Upload-Metadata": f"filename {told}"}


def piece_headers(offset: int) -> dict[str, str]:
    """Headers of a piece of a resumable upload."""
    return {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}


def artifact_path(job_id: str, name: str) -> str:
    """Path of a result's address."""
    return f"/v1/jobs/{job_id}/artifacts/{quote(name)}"


def target_of(out: Path, artifact: Artifact) -> Path:
    """Where a result belongs below `out`.

    Raises:
        ServiceFailed: Its name leads out of the folder.
    """
    path = (out / artifact.name).resolve()
    if not path.is_relative_to(out.resolve()):
        raise ServiceFailed(f"The service names a result {artifact.name[:80]!r}.", hint="Do not trust it.")
    return path


class EventReader:
    """Server-sent events from lines, by the HTML standard, section 9.2.6."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._id, self._kind, self._data = "", "", list[str]()

    def read(self, lines: Iterable[str]) -> Iterator[JobEvent]:
        """Events that are whole after these lines."""
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if self._data:
                    data = json.loads("\n".join(self._data))
                    yield JobEvent(self._id, self._kind or "message", data)
                self._kind, self._data = "", []
            elif name == "id":
                self._id = value
            elif name == "event":
                self._kind = value
            elif name == "data":
                self._data.append(value)
