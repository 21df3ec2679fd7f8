"""Which problem documents a call may answer with, for its documentation."""

from __future__ import annotations

from typing import Any

from objectscan.service import schemas
from objectscan.service.problems import MEDIA_TYPE

_WORDS = {
    400: "The request can't be read.",
    401: "No key, or one that is not valid.",
    403: "The key's rules do not allow it.",
    404: "Nothing is there for this tenant.",
    409: "The state does not allow it.",
    413: "Too many bytes, files or pixels.",
    415: "A file or body of a kind that is not taken.",
    416: "The range lies outside the file.",
    422: "A value can't be used.",
    429: "Too much for this tenant or key; `Retry-After` may say when to come back.",
    503: "The database or the storage does not answer.",
    507: "The disk is full.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: its statuses, and those that every call may have."""
    return {
        status: {
            "description": _WORDS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{schemas.Problem.__name__}"}}},
        }
        for status in sorted({*statuses, 503})
    }
