"""A worker's view of its child: a fresh interpreter that holds the engine and, if there is one, the GPU.

The child leads its own process group and gets commands as JSON lines on its standard input; when that closes,
because the worker died, it ends itself. It answers with JSON lines; what libraries print goes to the log.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO, Any

import psutil

from objectscan.errors import WorkerLost

log = logging.getLogger(__name__)

_COOPERATIVE_S = 2.0
"""How long a stage has to notice that it should stop; it reports once a second."""
_TERMINATE_S = 2.0
_CLOSE_S = 5.0
_MOST_LINE_BYTES = 1_000_000


class ChildProcess:
    """One child, from its start to its certain end. Not to be used from two threads at once."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]):
        """Start it; it is of use once it said `ready`.

        Args:
            command: What to run.
            environment: Variables on top of this process's own.
        """
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, env={**os.environ, **environment},
        )  # fmt: skip
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._last_lines: deque[str] = deque(maxlen=20)
        self.job_id: str | None = None
        self.jobs_done = 0
        self._is_gone = False
        self._threads = [
            threading.Thread(target=read, args=(pipe,), daemon=True)
            for read, pipe in ((self._read, self._process.stdout), (self._log, self._process.stderr))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def wait_ready(self, timeout_s: float, stop: threading.Event) -> None:
        """Wait until it has loaded its engine.

        Raises:
            WorkerLost: It ended, took too long, or `stop` was set.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not stop.is_set():
            message = self.next_message(0.2)
            if message is not None and message["event"] == "ready":
                return
        raise WorkerLost(
            f"The child was not ready within {timeout_s:g} s.", hint="Raise OBJECTSCAN_CHILD_START_S."
        )

    def send(self, message: Mapping[str, Any]) -> None:
        """Give it a command.

        Raises:
            WorkerLost: It ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as problem:  # its pipe broke, or was closed when it was killed
            raise self._death() from problem

    def next_message(self, timeout_s: float) -> dict[str, Any] | None:
        """Its next message, or None if there was none in time.

        Raises:
            WorkerLost: It ended, and has said all that it had to say.
        """
        with contextlib.suppress(queue.Empty):
            return self._messages.get(timeout=timeout_s)
        if not self.is_alive and not self._threads[0].is_alive() and self._messages.empty():
            raise self._death()
        return None

    def stop_job(self, patience_s: float = _COOPERATIVE_S) -> dict[str, Any] | None:
        """Make it stop its job: asked first, then SIGTERM, then SIGKILL to it and all that it started.

        Returns:
            Its last message if it stopped, or finished, by itself and can go on; None if it had to be killed.
        """
        deadline = time.monotonic() + patience_s
        try:
            self.send({"stop": True})
            while time.monotonic() < deadline:
                message = self.next_message(0.1)
                if message is not None and message["event"] != "progress":
                    return message
        except WorkerLost:
            pass
        self.kill()
        return None

    def close(self) -> None:
        """Let it end by itself, then make sure."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)
        self.kill()

    def kill(self) -> None:
        """End it and everything it started: SIGTERM, then SIGKILL. Returns when it is gone."""
        if self._is_gone:  # its id may be another's by now
            return
        family = self._family()
        self._signal(family, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_TERMINATE_S)
        self._signal(family, signal.SIGKILL)
        self._process.wait()
        psutil.wait_procs(family, timeout=_TERMINATE_S)
        self._is_gone = True
        for thread in self._threads:
            thread.join(_CLOSE_S)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _family(self) -> list[psutil.Process]:
        """Its descendants, those in sessions of their own too."""
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def _signal(self, family: list[psutil.Process], number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
        for process in family:
            with contextlib.suppress(psutil.Error):  # psutil checks that the id was not given to another
                process.send_signal(number)

    def _death(self) -> WorkerLost:
        code = self._process.wait()
        how = signal.Signals(-code).name if code < 0 else f"code {code}"
        hint = "If the system ran out of memory, use a smaller preset." if code == -signal.SIGKILL else ""
        return WorkerLost(
            f"The process that computed ended with {how}.", hint=hint, details={"log": list(self._last_lines)}
        )

    def _read(self, pipe: IO[bytes]) -> None:
        for line in iter(lambda: pipe.readline(_MOST_LINE_BYTES), b""):
            try:
                message = json.loads(line)
                message["event"]
            except (ValueError, TypeError, KeyError):
                log.error("The child said something else: %r", line[:200], extra={"job_id": self.job_id})
                continue
            self._messages.put(message)

    def _log(self, pipe: IO[bytes]) -> None:
        for line in iter(lambda: pipe.readline(_MOST_LINE_BYTES), b""):
            text = line.decode("utf-8", "replace").rstrip()
            self._last_lines.append(text[:500])
            log.info("%s", text, extra={"job_id": self.job_id, "source": "child"})
