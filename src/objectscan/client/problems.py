"""From answers of the service to the errors of the tree: a code has the same class on both sides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

from objectscan.errors import InputError, ObjectscanError, ServiceFailed


def error_of(status: int, body: bytes) -> ObjectscanError:
    """The error that a problem document stands for; `details["status"]` is the HTTP status."""
    told = _document(body)
    code = str(told.get("code", ""))
    kind = _classes().get(code, InputError if status < 500 else ServiceFailed)
    words = told.get("detail") or f"The service answers {status}."
    details = {**(told.get("details") or {}), "status": status}
    if told.get("request_id"):
        details["request_id"] = told["request_id"]
    return kind(str(words), hint=str(told.get("hint", "")), details=details)


def unreachable(address: str, problem: httpx.HTTPError) -> ServiceFailed:
    """The error for a service that does not answer."""
    words = str(problem) or type(problem).__name__
    return ServiceFailed(f"{address} does not answer: {words}.", hint="Check the address, or try again.")


def job_failed(error: dict[str, Any] | None, state: str) -> ObjectscanError:
    """The error for a job that was to succeed."""
    told = {"detail": (error or {}).get("message", f"The job was {state}."), **(error or {})}
    return error_of(422, json.dumps(told).encode())


def _document(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _classes() -> dict[str, type[ObjectscanError]]:
    def below(kind: type[ObjectscanError]) -> Iterator[type[ObjectscanError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    return {kind.code: kind for kind in below(ObjectscanError)}
