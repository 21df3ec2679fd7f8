"""`submit`: photos to a service, and its model back."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from objectscan.cli.output import Output
from objectscan.client import Client, Job, JobEvent
from objectscan.client.calls import JobOptions
from objectscan.errors import BadRecipe, NotAuthenticated

KEY_VARIABLE = "OSCAN_KEY"
"""Not OBJECTSCAN_...: those are settings of the machine that serves."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What is to be done."""

    photos: Path
    out: Path | None
    wait: bool
    preset: str
    changes: tuple[str, ...]


def run(asked: Submission, server: str, key: str, *, output: Output) -> None:
    """Send, and with `wait` stay until the end and fetch the results.

    Raises:
        ObjectscanError: As the service says.
    """
    options = JobOptions(preset=asked.preset, options=dict(map(_change, asked.changes)))
    with Client(server, key=key) as client:
        job = client.submit(asked.photos, options)
        output.event("submitted", {"id": job.id, "state": job.state}, f"job {job.id} is {job.state}")
        if not asked.wait:
            return
        done = client.wait(job.id, on_event=lambda event: _tell(event, output))
        _tell_end(done, output)
        if asked.out is not None:
            for path in client.download(job.id, asked.out):
                output.event("file", {"path": str(path)}, f"wrote {path}")


def key_from(file: Path | None) -> str:
    """The key from a file or the environment; never from the command line, which others on the machine see.

    Raises:
        NotAuthenticated: There is none.
    """
    try:
        key = file.read_text("utf-8").strip() if file is not None else os.environ.get(KEY_VARIABLE, "")
    except OSError as problem:
        raise NotAuthenticated(
            f"{file} can't be read: {problem.strerror}.", hint="Name the key's file."
        ) from problem
    if not key:
        raise NotAuthenticated(
            "There is no key.", hint=f"Set {KEY_VARIABLE}, or name a file with --key-file."
        )
    return key


def _tell(event: JobEvent, output: Output) -> None:
    told = event.data
    words = f"{event.kind} {told.get('stage') or ''}".strip()
    progress = told.get("progress")
    output.event(
        "job", {"kind": event.kind, **told}, words if progress is None else f"{words} {progress:.0%}"
    )


def _tell_end(job: Job, output: Output) -> None:
    verdict = dict(job.verdict or {})
    words = f"{verdict.get('grade', 'no verdict')}: {verdict.get('reason', '')}"
    output.event("verdict", verdict, words)


def _change(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise BadRecipe(f"'{text}' is no change.", hint="Write NAME=VALUE, e.g. budget.faces=5000.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
