"""Live events for many listeners from one query: a single poller for each API process.

The poller asks for the events of all tenants that somebody listens to, each after the last one that was
handed on; ids grow within a tenant (`database.lock_tenant`), not across tenants.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from objectscan.errors import DatabaseFailed, QuotaExceeded
from objectscan.jobs.database import Database
from objectscan.jobs.events import Event, events_of_many, last_event_id

log = logging.getLogger(__name__)

_POLL_S = 0.25
_LONGEST_WAIT_S = 5.0
_MOST_HELD = 1000
"""Events that a listener may be behind; after that its stream ends, and it asks again from its last one."""


class Listener:
    """One stream."""

    def __init__(self, tenant: str, job_id: str | None):
        """Of one job, or of all of a tenant."""
        self.tenant, self.job_id = tenant, job_id
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(_MOST_HELD)
        self._is_cut = False

    async def next(self, timeout_s: float) -> Event:
        """The next event.

        Raises:
            TimeoutError: There was none in time.
            EOFError: The stream has to end: it fell behind, or the process stops.
        """
        if self._is_cut and self._queue.empty():
            raise EOFError
        async with asyncio.timeout(timeout_s):
            event = await self._queue.get()
        if event is None:
            raise EOFError
        return event

    def offer(self, event: Event) -> None:
        """Add an event; never waits."""
        if self._is_cut or (self.job_id is not None and event.job_id != self.job_id):
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.cut()

    def cut(self) -> None:
        """Let the stream end after what it holds."""
        self._is_cut = True
        if not self._queue.full():
            self._queue.put_nowait(None)


class EventHub:
    """Hands events to listeners. Everything here runs on the event loop."""

    def __init__(self, database: Database, *, most: int):
        """Nobody listens yet."""
        self._database, self._most = database, most
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)
        self._last: dict[str, int] = {}
        self._poller: asyncio.Task[None] | None = None
        self._is_closed = False
        self._count = 0

    @property
    def count(self) -> int:
        """Streams that are open."""
        return self._count

    async def enter(self, tenant: str, job_id: str | None) -> Listener:
        """Begin to listen: every event that commits after this is handed on.

        Raises:
            QuotaExceeded: Too many listen to this process already.
        """
        if self._count >= self._most:
            raise QuotaExceeded(
                f"{self._count} streams are open, and no more may be.",
                hint="Close some, or ask for jobs instead.",
            )  # fmt: skip
        listener = Listener(tenant, job_id)
        self._count += 1
        try:
            if tenant not in self._last:
                newest = await asyncio.to_thread(last_event_id, self._database, tenant)
                self._last.setdefault(tenant, newest)
        except BaseException:
            self._count -= 1
            raise
        self._listeners[tenant].add(listener)
        if self._is_closed:
            listener.cut()
        elif self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        return listener

    def leave(self, listener: Listener) -> None:
        """Stop listening."""
        group = self._listeners[listener.tenant]
        if listener in group:
            group.remove(listener)
            self._count -= 1
        if not group:
            del self._listeners[listener.tenant]
            self._last.pop(listener.tenant, None)

    def cut_all(self) -> None:
        """Let all streams end: the process stops."""
        self._is_closed = True
        for group in self._listeners.values():
            for listener in group:
                listener.cut()

    async def close(self) -> None:
        """End the poller."""
        self.cut_all()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)

    async def _poll(self) -> None:
        wait_s = _POLL_S
        while True:
            await asyncio.sleep(wait_s)
            places = dict(self._last)
            if not places:
                continue
            try:
                found = await asyncio.to_thread(events_of_many, self._database, places)
            except DatabaseFailed as problem:
                wait_s = min(2.0 * wait_s, _LONGEST_WAIT_S)
                log.warning("No events: %s", problem)
                continue
            wait_s = _POLL_S
            self._hand_on(found)

    def _hand_on(self, found: Sequence[Event]) -> None:
        for event in found:
            if event.id <= self._last.get(event.tenant, event.id):
                continue  # nobody listens any more
            self._last[event.tenant] = event.id
            for listener in self._listeners.get(event.tenant, ()):
                listener.offer(event)
