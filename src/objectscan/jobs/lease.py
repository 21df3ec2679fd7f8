"""Keeps the lease of a running job from a thread of its own, and hears there what is wanted.

All that a worker writes while a job runs goes through here: at most one write a second.
"""

from __future__ import annotations

import logging
import threading
import time

from objectscan.errors import DatabaseFailed
from objectscan.jobs.claims import Beat, StageProgress, beat, listen
from objectscan.jobs.database import Database
from objectscan.jobs.model import Job

log = logging.getLogger(__name__)

_TICK_S = 1.0
_NOTABLE = 0.01
"""Progress of so much is told as an event: a hundred events a job, not one a second."""


class LeaseKeeper:
    """While it is entered, the lease is renewed. `wanted` says whether to go on."""

    def __init__(self, database: Database, job: Job, *, lease_s: float, heartbeat_s: float):
        """Begin with a lease that was just taken."""
        self._database, self._job = database, job
        self._lease_s, self._heartbeat_s = lease_s, heartbeat_s
        self._tick_s = min(_TICK_S, heartbeat_s)
        self._progress: StageProgress | None = None
        self._written: StageProgress | None = None
        self._told: StageProgress | None = None
        self._heard: Beat = "go on"
        self._renewed = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{job.id}", daemon=True)

    @property
    def wanted(self) -> Beat:
        """`cancel` or `lost` once that is known; a lease that could not be renewed in time counts as lost."""
        if self._heard == "go on" and time.monotonic() - self._renewed > self._lease_s:
            return "lost"
        return self._heard

    def update(self, progress: StageProgress) -> None:
        """Note how far the job is; written with the next beat."""
        self._progress = progress

    def __enter__(self) -> LeaseKeeper:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop renewing; nothing is written after this."""
        self._end.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._end.wait(self._tick_s) and self.wanted != "lost":
            began = time.monotonic()
            try:
                is_due = began - self._renewed >= self._heartbeat_s
                if is_due or self._progress is not self._written:
                    self._heard = self._beat()
                    self._renewed = began if self._heard != "lost" else self._renewed
                elif self._heard == "go on":
                    self._heard = listen(self._database, self._job)
            except DatabaseFailed as problem:
                log.warning("The lease was not renewed: %s", problem, extra={"job_id": self._job.id})

    def _beat(self) -> Beat:
        progress, told = self._progress, self._told
        is_notable = progress is not None and (
            told is None or progress.stage != told.stage or progress.fraction - told.fraction >= _NOTABLE
        )
        answer = beat(self._database, self._job, self._lease_s, progress, tell=is_notable)
        self._written = progress
        self._told = progress if is_notable else told
        return answer
