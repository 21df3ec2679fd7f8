"""Runs what looks into uploads in child processes with little memory, little time and nothing to lose.

Each task gets a process of its own; one is started ahead, so that a task does not wait for its imports.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from objectscan import errors
from objectscan.errors import InputError, ObjectscanError

log = logging.getLogger(__name__)

_ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}
_SECRET = ("OBJECTSCAN_", "AWS_")
"""Addresses with passwords: a process that may be taken over does not get them."""
_MOST_ANSWER_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """What one process may spend."""

    memory_bytes: int
    """Address space."""
    time_s: float


class Checker:
    """Made once for each API process."""

    def __init__(self, limits: CheckLimits, *, processes: int, environment: Mapping[str, str]):
        """Nothing is started yet."""
        self._limits = limits
        harmless = {name: text for name, text in os.environ.items() if not name.startswith(_SECRET)}
        self._environment = {**harmless, **_ONE_THREAD, "MALLOC_ARENA_MAX": "2", **environment}
        self._room = asyncio.Semaphore(processes)
        self._spare: asyncio.subprocess.Process | None = None
        self._is_closed = False

    async def prepare(self) -> None:
        """Start the process that waits for the first task."""
        if self._spare is None and not self._is_closed:
            self._spare = await self._started()

    async def run(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a task of `check_child`; its answer.

        Raises:
            ObjectscanError: What the task raised; `InputError` if the process took too much or died of it.
        """
        async with self._room:
            process, self._spare = self._spare or await self._started(), None
            try:
                return await self._answer(process, task)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                await self.prepare()

    async def close(self) -> None:
        """End the process that waits."""
        self._is_closed = True
        if self._spare is not None:
            with contextlib.suppress(ProcessLookupError):
                self._spare.kill()
            await self._spare.wait()
            self._spare = None

    async def _started(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "objectscan.service.check_child",
            str(self._limits.memory_bytes), str(int(self._limits.time_s)),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
            limit=_MOST_ANSWER_BYTES, env=self._environment,
        )  # fmt: skip

    async def _answer(self, process: asyncio.subprocess.Process, task: Mapping[str, Any]) -> dict[str, Any]:
        assert process.stdin is not None and process.stdout is not None
        try:
            async with asyncio.timeout(self._limits.time_s):
                process.stdin.write(json.dumps(task).encode() + b"\n")
                with contextlib.suppress(ConnectionError):
                    await process.stdin.drain()
                line = await process.stdout.readline()
        except TimeoutError:
            raise _too_much(f"took longer than {self._limits.time_s:g} s") from None
        if not line:
            code = await process.wait()
            log.warning("A checking process ended with %d.", code)
            raise _too_much(f"ended with code {code}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise error_from(answer["error"])
        return answer


def error_from(values: Mapping[str, Any]) -> ObjectscanError:
    """The error that another process wrote down, of its own class."""
    classes = (value for value in vars(errors).values() if isinstance(value, type))
    kind = next(
        (k for k in classes if issubclass(k, ObjectscanError) and k.code == values["code"]), ObjectscanError
    )
    return kind(values["message"], hint=values["hint"], details=values["details"])


def _too_much(words: str) -> InputError:
    return InputError(
        f"The files can't be checked: the process that looked at them {words}.",
        hint="Leave out damaged or huge files.", details={"reason": "check_failed"},
    )  # fmt: skip
