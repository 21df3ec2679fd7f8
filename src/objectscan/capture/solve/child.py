"""Runs one operation of `colmap_child.py` in a fresh interpreter, watches it, and ends it in time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from objectscan.errors import CamerasNotFound, MissingDependency, NotEnoughMemory, ObjectscanError

Operation = Literal["features", "matches", "verification", "mapping", "adjustment"]

_PROGRAM = Path(__file__).with_name("colmap_child.py")
_POLL_S = 0.1
_KEPT_WORDS = 4000
"""Characters of the child's stderr that an error carries."""
_MEMORY_WORDS = ("bad_alloc", "MemoryError", "Cannot allocate memory", "failed to map segment")


@dataclass(frozen=True, slots=True)
class ChildRun:
    """Where and within what an operation runs."""

    folder: Path
    """Gets the task, its results and its log; the program writes nowhere else."""
    deadline: float
    """By `time.monotonic`."""
    memory_bytes: int
    report: Callable[[float, str], None]
    """Receives the share that is done and words, at least twice a second. It may raise to stop the child."""


def run_operation(operation: Operation, values: Mapping[str, object], run: ChildRun) -> None:
    """Run one operation of pycolmap to its end.

    Args:
        operation: A key of `colmap_child.OPERATIONS`.
        values: What that function reads from its task.
        run: Folder, deadline, memory and progress.

    Raises:
        CamerasNotFound: It failed (`details["reason"]` is `solver_crashed`) or ran out of time (`timeout`);
            `details["log"]` has its last words.
        NotEnoughMemory: It hit the memory limit.
        MissingDependency: pycolmap is not installed.
        Exception: Whatever `run.report` raises; the child is dead by then.
    """
    task = {**values, "operation": operation, "memory_bytes": run.memory_bytes}
    task_file, log = run.folder / f"{operation}.json", run.folder / f"{operation}.log"
    task_file.write_text(json.dumps(task), "utf-8")
    lines = run.folder / f"{operation}.progress"
    with log.open("wb") as words, lines.open("wb") as progress, lines.open("rb") as told:
        child = _start(task_file, words, progress)
        try:
            is_done = _watch(child, told, run)
        finally:
            _end(child)
    if not is_done:
        raise _timed_out(operation, log)
    if child.returncode != 0:
        raise _failed(operation, child.returncode, log)


def _start(task_file: Path, words: BinaryIO, progress: BinaryIO) -> subprocess.Popen[bytes]:
    # -P: a file of this folder must not hide a library module. One thread for BLAS: COLMAP has its own.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", str(_PROGRAM), str(task_file)],
        stdin=subprocess.PIPE,  # The child leaves when this closes: it can't outlive a killed parent.
        stdout=progress,
        stderr=words,
        cwd=task_file.parent,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the parent, which then ends the child.
    )


def _watch(child: subprocess.Popen[bytes], told: BinaryIO, run: ChildRun) -> bool:
    """Report until the child ends; False if the deadline came first."""
    fraction, message, rest = 0.0, "starting", b""
    while True:
        is_over = child.poll() is not None
        *lines, rest = (rest + told.read()).split(b"\n")
        for line in lines:
            values = json.loads(line)
            fraction, message = float(values["fraction"]), str(values["message"])
        run.report(fraction, message)
        if is_over:
            return True
        if time.monotonic() > run.deadline:
            return False
        time.sleep(_POLL_S)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child if it still runs. A hung one ignores SIGTERM, so SIGKILL, for its whole group."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdin is not None:
        child.stdin.close()


def _last_words(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-_KEPT_WORDS:]


def _timed_out(operation: str, log: Path) -> CamerasNotFound:
    return CamerasNotFound(
        f"Finding the cameras was stopped: its time was up during {operation}.",
        hint="Allow more time, or give fewer photos: 24 to 60 are enough for one object.",
        details={"reason": "timeout", "operation": operation, "log": _last_words(log)},
    )


def _failed(operation: str, code: int, log: Path) -> ObjectscanError:
    words = _last_words(log)
    details = {"operation": operation, "exit": code, "log": words}
    if "No module named 'pycolmap'" in words:
        return MissingDependency("Finding cameras needs pycolmap.", hint="Run: pip install pycolmap")
    if any(sign in words for sign in _MEMORY_WORDS):
        return NotEnoughMemory(
            f"Finding the cameras ran out of memory during {operation}.",
            hint="Give fewer or smaller photos, or raise the memory limit.",
            details=details,
        )
    return CamerasNotFound(
        f"The camera solver failed during {operation} (exit code {code}).",
        hint="Try again with other photos; if it happens again, report it with its log (details).",
        details={"reason": "solver_crashed", **details},
    )
