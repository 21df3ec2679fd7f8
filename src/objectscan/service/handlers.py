"""Every error leaves as a problem document, whoever raised it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from objectscan.errors import (
    BadRequest,
    InputError,
    NotFound,
    ObjectscanError,
    RequestTooLarge,
    UnsupportedType,
    WrongMethod,
)
from objectscan.jobs.plain import plain
from objectscan.service.problems import MEDIA_TYPE, problem_of, status_of

log = logging.getLogger(__name__)

_BY_STATUS: dict[int, tuple[type[ObjectscanError], str]] = {
    400: (BadRequest, "The request can't be read."),
    404: (NotFound, "There is nothing at this address."),
    405: (WrongMethod, "This address does not take this method."),
    413: (RequestTooLarge, "The body is too large."),
    415: (UnsupportedType, "The body is of a kind that is not taken here."),
}


def install_handlers(app: FastAPI) -> None:
    """Answer all errors of an app."""
    app.add_exception_handler(ObjectscanError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_framework)


def answer_of(error: ObjectscanError, request_id: str) -> JSONResponse:
    """The answer for an error, with the headers that its status needs."""
    problem = plain(problem_of(error, request_id=request_id))
    status = status_of(type(error))
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}.get(status, {})
    return JSONResponse(problem, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def details_of(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What pydantic found, without what the caller sent."""
    return [
        {"field": ".".join(str(part) for part in error["loc"]), "message": str(error["msg"])}
        for error in errors[:20]
    ]


def _request_id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


async def _of_ours(request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, ObjectscanError)
    if status_of(type(problem)) >= 500:
        log.warning("%s", problem, extra={"request_id": _request_id(request), "code": problem.code})
    return answer_of(problem, _request_id(request))


async def _of_validation(request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, RequestValidationError)
    errors = details_of(problem.errors())
    if any(error["type"] == "json_invalid" for error in problem.errors()):
        broken = BadRequest("The body is no JSON.", hint="Check quotes and commas.")
        return answer_of(broken, _request_id(request))
    first = errors[0]
    error = InputError(
        f"{first['field']}: {first['message']}.", hint="See the API's documentation.",
        details={"errors": errors},
    )  # fmt: skip
    return answer_of(error, _request_id(request))


async def _of_framework(request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, HTTPException)
    kind, words = _BY_STATUS.get(problem.status_code, (ObjectscanError, "The request failed."))
    answer = answer_of(kind(words, hint="See /docs."), _request_id(request))
    for name, value in (problem.headers or {}).items():
        answer.headers[name] = value
    if problem.status_code == 405:
        answer.headers["Allow"] = ", ".join(methods_of(request) or ["GET", "HEAD"])
    return answer


def methods_of(request: Request) -> list[str]:
    """What an address of the API takes; the framework names the methods of one of its routes only."""
    found: set[str] = set()
    for path, calls in request.app.openapi()["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))
        if re.fullmatch(pattern, request.url.path):
            found |= {name.upper() for name in calls}
    return sorted(found)
