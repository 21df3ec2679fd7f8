"""Keeps the processes of one machine running: the API, and a worker for each GPU or one for the processor."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

_TICK_S = 0.2
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 1.0, 30.0
_STEADY_S = 60.0
"""A process that ran for so long starts again at once when it ends."""
_MARGIN_S = 15.0
_DEATH_SIGNAL = 1
"""Linux's PR_SET_PDEATHSIG."""


@dataclass
class Kept:
    """One process and how often it failed."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables on top of this process's own."""
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    """When it may start, by the monotonic clock."""
    backoff_s: float = _FIRST_BACKOFF_S

    def start(self) -> None:
        """Run it; it ends with this process, even if that is killed."""
        self.process = subprocess.Popen(
            self.command, env={**os.environ, **self.environment}, preexec_fn=_end_with_parent
        )
        self.started_at = time.monotonic()
        log.info("%s runs as %d.", self.name, self.process.pid)

    def look_after(self) -> None:
        """Start it again if it ended, after a while that doubles each time."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            if now - self.started_at > _STEADY_S:
                self.backoff_s = _FIRST_BACKOFF_S
            log.warning(
                "%s ended with %s; it starts again in %g s.",
                self.name,
                self.process.returncode,
                self.backoff_s,
            )
            self.process, self.start_at = None, now + self.backoff_s
            self.backoff_s = min(2.0 * self.backoff_s, _LONGEST_BACKOFF_S)
        if self.process is None and now >= self.start_at:
            self.start()


class Supervisor:
    """Runs until it is asked to stop."""

    def __init__(self, kept: Sequence[Kept], *, stop_s: float):
        """`stop_s`: how long a worker may take to end."""
        self._kept, self._patience_s = list(kept), stop_s + _MARGIN_S
        self._stop = threading.Event()

    def run(self) -> None:
        """Start all, look after them, end them on SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        try:
            while not self._stop.is_set():
                for each in self._kept:
                    each.look_after()
                self._stop.wait(_TICK_S)
        finally:
            self._end()

    def _end(self) -> None:
        running = [each.process for each in self._kept if each.process is not None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + self._patience_s
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%d does not end and is killed.", process.pid)
                process.kill()
                process.wait()


def processes(host: str, port: int, *, gpus: Sequence[str], workers: int | None) -> list[Kept]:
    """What runs on one machine.

    Args:
        host: Of the API.
        port: Of the API.
        gpus: UUIDs; each gets a worker of its own.
        workers: So many at most; None: one for each GPU, or one.
    """
    objectscan = (sys.executable, "-m", "objectscan.cli.main")
    kept = [Kept("api", (*objectscan, "api", "--host", host, "--port", str(port)))]
    count = max(len(gpus), 1) if workers is None else workers
    for number in range(count):
        visible = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
        kept.append(Kept(f"worker {number}", (*objectscan, "worker"), visible))
    return kept


def _end_with_parent() -> None:
    """In the child: SIGTERM when the parent dies. Linux only; elsewhere a killed parent leaves it running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
