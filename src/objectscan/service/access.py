"""Around every request: an id, safe headers, a limit on small bodies, a count and a line in the log."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from objectscan.errors import ObjectscanError, RequestTooLarge
from objectscan.service.handlers import answer_of
from objectscan.service.request_metrics import RequestMetrics

log = logging.getLogger("objectscan.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_SMALL_BODY_BYTES = 1_000_000
_LARGE_BODIES = ("/v1/jobs", "/v1/inputs", "/v1/uploads")
"""These count their bytes themselves and take as many as the settings say."""
_QUIET = ("/healthz", "/readyz", "/metrics")
_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Access:
    """Middleware in plain ASGI: it streams, and costs 20 microseconds."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics):
        """Wrap an app."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        stated = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = stated if _REQUEST_ID.fullmatch(stated) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_safe(message["headers"], request_id)
                self._note(scope, status, time.perf_counter() - began, request_id)
            await send(message)

        if not scope["path"].startswith(_LARGE_BODIES):
            length = headers.get(b"content-length", b"0")
            receive = _limited(receive)
            if length.isdigit() and int(length) > _SMALL_BODY_BYTES:
                await answer_of(_too_large(), request_id)(scope, receive, answer)
                return
        try:
            await self._app(scope, receive, answer)
        except RequestTooLarge as error:
            if status:
                raise
            await answer_of(error, request_id)(scope, receive, answer)
        except Exception:
            if status:
                raise
            log.exception("A defect of the service.", extra={"request_id": request_id})
            await answer_of(ObjectscanError("A defect."), request_id)(scope, receive, answer)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.count(route, _method(scope), status, seconds)
        if scope["path"] not in _QUIET:
            values: dict[str, Any] = {
                "request_id": request_id, "method": scope["method"], "path": scope["path"], "status": status,
                "ms": round(1000 * seconds, 1),
            }  # fmt: skip
            log.info("%s %s %d", scope["method"], scope["path"], status, extra=values)


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"


def _with_safe(headers: Any, request_id: str) -> list[tuple[bytes, bytes]]:
    """Headers of the answer with those that every answer has, unless it set them itself."""
    given = list(headers)
    names = {name.lower() for name, _ in given}
    added = [(name, value) for name, value in _SAFE if name not in names]
    return [*given, *added, (b"x-request-id", request_id.encode())]


def _limited(receive: Receive) -> Receive:
    left = _SMALL_BODY_BYTES

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413)  # any other class the framework takes for a body that it can't read
        return message

    return counted


def _too_large() -> RequestTooLarge:
    return RequestTooLarge(
        f"The body has more than {_SMALL_BODY_BYTES} bytes.", hint="Send photos to /v1/jobs or /v1/inputs."
    )
