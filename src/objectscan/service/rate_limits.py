"""How many requests a key may send a minute, and headers that say how many are left.

Counted in Redis where Redis carries the wake-up messages, so that all API processes count together; else in
this process. Headers as in draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from objectscan.errors import RateLimited
from objectscan.jobs.keys import ApiKey
from objectscan.jobs.setup import Setup

log = logging.getLogger(__name__)

_WINDOW_S = 60
_STATE = "rate"


@dataclass(frozen=True, slots=True)
class Rate:
    """What a key has left in this minute."""

    limit: int
    remaining: int
    reset_s: int
    is_over: bool

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of the answer."""
        found = [
            (b"ratelimit-policy", f'"minute";q={self.limit};w={_WINDOW_S}'.encode()),
            (b"ratelimit", f'"minute";r={self.remaining};t={self.reset_s}'.encode()),
        ]
        return [*found, (b"retry-after", str(self.reset_s).encode())] if self.is_over else found


class RateLimits:
    """Counts requests by key."""

    def __init__(self, storage: Storage, default_per_minute: int):
        """`default_per_minute`: of keys without a limit of their own; 0 means none."""
        self._limiter = FixedWindowRateLimiter(storage)
        self._default = default_per_minute

    def count(self, request: Request, key: ApiKey) -> None:
        """Count a request, and note for its answer's headers what is left.

        Raises:
            RateLimited: The key has sent its share of this minute.
        """
        rate = self.hit(key)
        if rate is None:
            return
        request.scope.setdefault("state", {})[_STATE] = rate
        if rate.is_over:
            raise RateLimited(
                f"The key may send {rate.limit} requests a minute.", hint=f"Go on in {rate.reset_s} s.",
                details={"limit": rate.limit, "retry_after_s": rate.reset_s},
            )  # fmt: skip

    def hit(self, key: ApiKey) -> Rate | None:
        """Count a request of a key; None without a limit."""
        limit = int(key.rules.limits.get("requests_per_minute", self._default))
        if limit <= 0:
            return None
        item = RateLimitItemPerMinute(limit)
        try:
            is_within = self._limiter.hit(item, key.id)
            stats = self._limiter.get_window_stats(item, key.id)
        except (OSError, _redis_error()) as problem:
            log.warning("Requests are not counted: %s", problem)  # better too many than none
            return None
        reset_s = min(max(math.ceil(stats.reset_time - time.time()), 1), _WINDOW_S)
        return Rate(limit, max(int(stats.remaining), 0), reset_s, not is_within)


class RateHeaders:
    """Middleware that adds a request's rate to whatever its answer is."""

    def __init__(self, app: ASGIApp):
        """Wrap an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def answer(message: Message) -> None:
            rate = scope.get("state", {}).get(_STATE)
            if message["type"] == "http.response.start" and isinstance(rate, Rate):
                message["headers"] = [*message["headers"], *rate.headers()]
            await send(message)

        await self._app(scope, receive, answer)


def rate_limits(setup: Setup) -> RateLimits:
    """Limits as the settings say; connects lazily."""
    is_redis = setup.broker_url.startswith(("redis://", "rediss://"))
    storage: Any = storage_from_string(setup.broker_url) if is_redis else MemoryStorage()
    return RateLimits(storage, int(setup.settings["requests_per_minute"]))


def _redis_error() -> type[Exception]:
    from redis.exceptions import RedisError

    return RedisError
