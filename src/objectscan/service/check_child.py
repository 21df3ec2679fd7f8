"""The process that opens what strangers sent: one task from standard input, one answer, then it ends.

    {"task": "unpack", "archive", "folder", "name"}       -> {}
    {"task": "cameras", "folder"}                         -> {}
    {"task": "judge", "folder", "files", "thumbnails"}    -> see `judging.judge`

Its address space, processor time, file size and open files are limited before anything is imported.
Run as `python -m objectscan.service.check_child MEMORY_BYTES SECONDS`.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_MOST_CORES = 4
"""Each thread that decodes a photo of 60 megapixels takes 0.8 GB."""


def main(memory_bytes: int, time_s: int) -> None:
    """Wait for a task, carry it out, answer."""
    _limit(memory_bytes, time_s)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print goes to the log
    tasks = _tasks()
    line = sys.stdin.readline()
    if not line:
        return
    task = json.loads(line)
    answers.write(json.dumps(_carried_out(tasks[task["task"]], task)).encode() + b"\n")
    answers.flush()


def _limit(memory_bytes: int, time_s: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, time_s * _MOST_CORES),
        (resource.RLIMIT_NOFILE, 512), (resource.RLIMIT_FSIZE, 4_000_000_000), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        hard = resource.getrlimit(what)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, random.sample(cores, min(_MOST_CORES, len(cores))))


def _tasks() -> Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]:
    """Imported before there is a task, so that none waits for it."""
    from objectscan.capture.archives import ArchiveLimits, unpack_photos
    from objectscan.capture.camera_checks import check_baseline
    from objectscan.capture.formats.detect import read_cameras
    from objectscan.capture.limits import ImageLimits
    from objectscan.service.judging import judge
    from objectscan.settings import settings_from

    settings = settings_from({k: v for k, v in os.environ.items() if k.startswith("OBJECTSCAN_")})
    limits = ImageLimits(**settings.image_limits())

    def unpack(task: Mapping[str, Any]) -> Mapping[str, Any]:
        most = ArchiveLimits(
            int(settings["max_archive_entries"]), int(settings["max_archive_bytes"]),
            float(settings["max_archive_ratio"]),
        )  # fmt: skip
        unpack_photos(Path(task["archive"]), Path(task["folder"]), most)
        return {}

    def cameras(task: Mapping[str, Any]) -> Mapping[str, Any]:
        posed = read_cameras(Path(task["folder"]), limits)
        check_baseline([photo.world_from_camera for photo in posed.photos], posed.file.name)
        return {}

    def judged(task: Mapping[str, Any]) -> Mapping[str, Any]:
        return judge(Path(task["folder"]), task["files"], Path(task["thumbnails"]), limits)

    return {"unpack": unpack, "cameras": cameras, "judge": judged}


def _carried_out(work: Callable[[Mapping[str, Any]], Mapping[str, Any]], task: Mapping[str, Any]) -> Any:
    from objectscan.errors import ObjectscanError
    from objectscan.jobs.plain import plain

    try:
        return plain(work(task))
    except ObjectscanError as error:
        return _told(error.code, error.message, error.hint, plain(error.details))
    except (MemoryError, RecursionError) as problem:
        words = f"The files can't be checked: {type(problem).__name__}."
        return _told("input_error", words, "Leave out damaged or huge files.", {"reason": "check_failed"})


def _told(code: str, message: str, hint: str, details: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"error": {"code": code, "message": message, "hint": hint, "details": details}}


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
