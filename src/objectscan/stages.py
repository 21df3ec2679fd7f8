"""Follows a running job: asks for cancellation, keeps the time of each stage, says what is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from objectscan.errors import Cancelled
from objectscan.types import Progress, ProgressFn

_ENOUGH_TO_EXTRAPOLATE = 0.02
"""Share of the whole work after which the remaining time is told."""


@dataclass(slots=True)
class StageClock:
    """Passes progress on; time between two messages counts for the stage that was at work."""

    listener: ProgressFn
    cancelled: Callable[[], bool]
    on_preview: ProgressFn | None = None
    """Receives messages with a preview picture."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by stage, in order."""
    _last: Progress | None = None
    _last_time: float = field(default_factory=time.perf_counter)

    def report(self, progress: Progress) -> None:
        """Take a stage's message.

        Raises:
            Cancelled: Somebody asked to stop.
        """
        if self.cancelled():
            raise Cancelled("Stopped on request.", hint="Run the same command again to go on.")
        if progress.preview_srgb is not None and self.on_preview is not None:
            self.on_preview(progress)
        now = time.perf_counter()
        # After a stage's last message the next stage is at work, before its first message.
        at_work = self._last if self._last is not None and self._last.fraction < 1.0 else progress
        self.seconds[at_work.stage] = self.seconds.get(at_work.stage, 0.0) + now - self._last_time
        self._last, self._last_time = progress, now
        self.listener(progress)


class Outlook:
    """From the fraction of a stage to that of the whole job, and the time that is left.

    A resumed run skips stages: only work that was watched is compared with the time that it took.
    """

    def __init__(self, shares: Sequence[tuple[str, float]], *, clock: Callable[[], float] = time.monotonic):
        """Begin now.

        Args:
            shares: (stage, measured share of the job's time), in order.
            clock: Gives seconds.
        """
        whole = sum(share for _, share in shares)
        self._starts: dict[str, tuple[float, float]] = {}
        position = 0.0
        for name, share in shares:
            self._starts[name] = position, share / whole
            position += share / whole
        self._clock, self._began = clock, clock()
        self._seen: dict[str, float] = {}
        self.fraction = 0.0
        """Share of the whole job that is done; never falls."""

    def update(self, progress: Progress) -> float | None:
        """Take a message; seconds that are left, or None if that can't be told yet."""
        start, share = self._starts.get(progress.stage, (self.fraction, 0.0))
        self.fraction = max(self.fraction, min(1.0, start + share * progress.fraction))
        self._seen[progress.stage] = share * progress.fraction
        watched = sum(self._seen.values())
        if watched < _ENOUGH_TO_EXTRAPOLATE:
            return None
        return (self._clock() - self._began) * (1.0 - self.fraction) / watched
