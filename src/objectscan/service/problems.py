"""Errors as RFC 9457 problem documents: one HTTP status for each class of the error tree."""

from __future__ import annotations

from objectscan.errors import (
    BadRequest,
    BadServiceSetup,
    BadWorkspace,
    DatabaseFailed,
    IdempotencyConflict,
    ImageTooLarge,
    InputError,
    NotAllowed,
    NotAuthenticated,
    NotEnoughSpace,
    NotFound,
    NotSupported,
    ObjectscanError,
    OffsetConflict,
    QuotaExceeded,
    RateLimited,
    RequestTooLarge,
    StorageFailed,
    UnknownJob,
    UnknownKey,
    UnsupportedType,
    WrongMethod,
    WrongState,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:objectscan:error:"

# The nearest class in the error's line of descent decides, so a new subclass has a status at once.
_STATUSES: dict[type[ObjectscanError], int] = {
    ObjectscanError: 500,
    InputError: 422,
    ImageTooLarge: 413,
    BadRequest: 400,
    NotAuthenticated: 401,
    NotAllowed: 403,
    NotFound: 404,
    UnknownJob: 404,
    UnknownKey: 404,
    WrongMethod: 405,
    WrongState: 409,
    OffsetConflict: 409,
    NotSupported: 409,
    RequestTooLarge: 413,
    UnsupportedType: 415,
    IdempotencyConflict: 422,
    QuotaExceeded: 429,
    RateLimited: 429,
    # These two are the operator's to mend, not the caller's.
    BadServiceSetup: 500,
    BadWorkspace: 500,
    DatabaseFailed: 503,
    StorageFailed: 503,
    NotEnoughSpace: 507,
}


def status_of(error: type[ObjectscanError]) -> int:
    """The HTTP status of a class of errors, 400 to 599."""
    return next(_STATUSES[ancestor] for ancestor in error.__mro__ if ancestor in _STATUSES)


def problem_of(error: ObjectscanError, *, request_id: str) -> dict[str, object]:
    """The document that answers for an error (RFC 9457, section 3.1, with extension members).

    Args:
        error: What went wrong.
        request_id: The id of the request, as in the logs.

    Returns:
        Plain JSON values. A failure of the service (5xx) tells its code and the request's id only: its
        message may name folders and addresses of the machine, and is for the log.
    """
    status = status_of(type(error))
    problem: dict[str, object] = {
        "type": TYPE_PREFIX + error.code,
        "title": error.code.replace("_", " ").capitalize(),
        "status": status,
        "code": error.code,
        "request_id": request_id,
    }
    if status >= 500:
        return {**problem, "detail": "The service failed; its log has the reason under this request's id."}
    return {**problem, "detail": error.message, "hint": error.hint, "details": error.details}
