"""A job's files: photos from the storage to this machine before it runs, results back after it.

In the tenant's part of the storage a job's results lie under `jobs/ID/ATTEMPT/`, so an attempt that lost its
lease can't overwrite another's. On this machine everything lies under WORK/ID; stage results stay there until
the job is done, so that the next attempt on this machine goes on after the last finished stage.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from objectscan.errors import BadWorkspace, InputError
from objectscan.jobs.model import Job
from objectscan.storage import TenantStorage

_DELIVERED = ("model.*", "report.json", "report.html", "previews/*.webp", "exports/*")
"""What leaves the output folder; stage results and the job's own notes do not."""


@dataclass(frozen=True, slots=True)
class JobFolder:
    """Where a job is at work on this machine."""

    path: Path

    @property
    def photos(self) -> Path:
        """The capture."""
        return self.path / "photos"

    @property
    def out(self) -> Path:
        """The pipeline's output folder."""
        return self.path / "out"

    @property
    def picture(self) -> Path:
        """The model while it grows."""
        return self.out / "progress.webp"

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def attempt_folder(job: Job) -> str:
    """Where an attempt's results lie in the tenant's storage."""
    return f"jobs/{job.id}/{job.attempt}"


def picture_key(job: Job) -> str:
    """Where the picture of the growing model lies in the tenant's storage."""
    return f"jobs/{job.id}/progress.webp"


def fetch_photos(storage: TenantStorage, job: Job, folder: JobFolder, go_on: Callable[[], bool]) -> None:
    """Bring the capture to this machine; files of an earlier attempt are used again.

    Raises:
        InputError: There are no photos.
        BadWorkspace: They can't be written.
        StorageFailed: They can't be read.
    """
    count = 0
    try:
        for stored in storage.list(job.input):
            count += 1
            path = folder.photos / stored.key.removeprefix(f"{job.input}/")
            is_here = path.is_file() and path.stat().st_size == stored.size_bytes
            if not is_here and go_on():
                storage.get_file(stored.key, path)
    except OSError as problem:
        raise BadWorkspace(
            f"The photos can't be written to {folder.photos}: {problem.strerror or problem}.",
            hint="Check the free space on the worker's disk.",
        ) from problem
    if not count:
        raise InputError(f"There are no photos in '{job.input}'.", hint="Upload them again.")


def store_results(
    storage: TenantStorage, job: Job, folder: JobFolder, go_on: Callable[[], bool]
) -> dict[str, Any]:
    """Put the results into the attempt's folder of the storage; the value for the job's pointer.

    Raises:
        StorageFailed: They can't be written; what was written is not pointed at and will be swept.
    """
    files = []
    for path in sorted({path for pattern in _DELIVERED for path in folder.out.glob(pattern)}):
        if path.is_file() and not path.is_symlink() and path.suffix != ".part" and go_on():
            name = path.relative_to(folder.out).as_posix()
            written = storage.put_file(f"{attempt_folder(job)}/{name}", path)
            files.append({"name": name, "size_bytes": written.size_bytes, "sha256": written.sha256})
    return {"folder": attempt_folder(job), "files": files}
