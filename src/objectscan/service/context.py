"""What every request of one API process shares; lives in `app.state.context`."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from pathlib import Path

from celery import Celery
from fastapi import Request

from objectscan.jobs.database import Database
from objectscan.jobs.keys import read_pepper
from objectscan.jobs.queue import wake_app
from objectscan.jobs.setup import Setup
from objectscan.jobs.sweep import require_room
from objectscan.service.checker import Checker, CheckLimits
from objectscan.service.event_hub import EventHub
from objectscan.service.judge_desk import JudgeDesk
from objectscan.service.rate_limits import RateLimits, rate_limits
from objectscan.service.request_metrics import RequestMetrics
from objectscan.settings import Settings
from objectscan.storage import Storage, TenantStorage, open_storage

_USAGE_S = 60.0
"""How long a tenant's stored bytes are believed: counting them lists every file."""


@dataclass
class Context:
    """Database, storage, secrets and the process's own machinery."""

    setup: Setup
    database: Database
    storage: Storage
    pepper: bytes
    wake: Celery
    hub: EventHub
    checker: Checker
    desk: JudgeDesk
    metrics: RequestMetrics
    rates: RateLimits
    incoming: Path
    """Where archives and photos lie while they are checked."""
    _usage: dict[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The operator's settings."""
        return self.setup.settings

    def number(self, name: str) -> int:
        """A setting that is a whole number."""
        return int(self.settings[name])

    def files_of(self, tenant: str) -> TenantStorage:
        """A tenant's files."""
        return self.storage.tenant(tenant)

    def require_room(self, tenant: str, more_bytes: int) -> None:
        """Refuse an upload for which the tenant has no room. Counts the stored files at most once a minute.

        Raises:
            QuotaExceeded: There is none.
        """
        quota = self.number("tenant_quota_bytes")
        if not quota:
            return
        counted, used = self._usage.get(tenant, (0.0, 0))
        if time.monotonic() - counted > _USAGE_S:
            used = self.files_of(tenant).usage_bytes()
            self._usage[tenant] = (time.monotonic(), used)
        require_room(used, more_bytes, quota)

    def note_stored(self, tenant: str, size_bytes: int) -> None:
        """Add what was just stored to what is believed of the tenant."""
        counted, used = self._usage.get(tenant, (0.0, 0))
        self._usage[tenant] = (counted, used + size_bytes)

    def close(self) -> None:
        """Give the database's connections back."""
        self.database.close()


def open_context(setup: Setup) -> Context:
    """Connect lazily to all that the setup names.

    Raises:
        BadServiceSetup: An address or the secret can't be used.
    """
    settings = setup.settings
    pepper = read_pepper(setup.data_folder / "pepper")
    database = Database(setup.database_url)
    storage = open_storage(setup.storage_url, link_secret=derived_secret(pepper, "links"))
    incoming = setup.data_folder / "incoming"
    incoming.mkdir(exist_ok=True, mode=0o700)
    checker = Checker(
        CheckLimits(int(settings["check_memory_bytes"]), setup.seconds("check_time_limit_s")),
        processes=int(settings["check_processes"]), environment=_checker_settings(settings),
    )  # fmt: skip
    return Context(
        setup=setup, database=database, storage=storage, pepper=pepper, wake=wake_app(setup),
        hub=EventHub(database, most=int(settings["max_listeners"])), checker=checker,
        desk=JudgeDesk(storage, checker, incoming), metrics=RequestMetrics(),
        rates=rate_limits(setup), incoming=incoming,
    )  # fmt: skip


def derived_secret(pepper: bytes, purpose: str) -> bytes:
    """A secret of its own for each purpose, from the one that is kept."""
    return hmac.new(pepper, purpose.encode(), hashlib.sha256).digest()


def context_of(request: Request) -> Context:
    """The context of the process that serves a request."""
    context: Context = request.app.state.context
    return context


def _checker_settings(settings: Settings) -> dict[str, str]:
    names = (
        *settings.image_limits(), "max_archive_entries", "max_archive_bytes", "max_archive_ratio",
    )  # fmt: skip
    return {f"OBJECTSCAN_{name.upper()}": str(settings[name]) for name in names}
