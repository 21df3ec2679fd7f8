"""Ctrl-C during a job: the job is asked to stop, and made to stop if it does not answer in time."""

from __future__ import annotations

import signal
from types import FrameType

from objectscan.errors import Cancelled

_GRACE_S = 0.5
"""How long a stage has for its next report. A hard stop harms no file: they appear whole or not at all."""


class StopRequest:
    """While it is entered, SIGINT and SIGTERM ask for a stop; `is_made` tells it."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self._is_made = False

    def is_made(self) -> bool:
        """Whether somebody asked to stop."""
        return self._is_made

    def __enter__(self) -> StopRequest:
        """Take over the signals."""
        self._before = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGINT, self._ask), (signal.SIGTERM, self._ask), (signal.SIGALRM, self._insist),
            )
        }  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._is_made:
            self._insist(number, frame)
        self._is_made = True
        signal.setitimer(signal.ITIMER_REAL, _GRACE_S)

    def _insist(self, number: int, frame: FrameType | None) -> None:
        raise Cancelled("Stopped on request.")
