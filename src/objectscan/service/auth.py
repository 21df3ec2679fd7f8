"""Who is calling, and what they may: an API key in the header, or the page's session cookie."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from objectscan.errors import NotAllowed, NotAuthenticated
from objectscan.jobs.keys import ApiKey, find_key, valid_key
from objectscan.service.context import Context, context_of, derived_secret

SCOPES = {
    "jobs:read": "See jobs, photos and results.",
    "jobs:write": "Make, stop, retry and delete jobs, and upload photos.",
    "keys": "List, make and revoke keys.",
    "metrics": "Read the service's metrics.",
}
COOKIE = "objectscan_session"
PAGE_HEADER = "X-Objectscan"
"""A form of another site can't send it: with it a request by cookie comes from our page."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="An API key: `Authorization: Bearer os_...`."
)
_cookie = APIKeyCookie(
    name=COOKIE, auto_error=False, scheme_name="Session",
    description=f"The page's session. Calls that change something also need the header `{PAGE_HEADER}: 1`.",
)  # fmt: skip


def caller(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    cookie: Annotated[str | None, Security(_cookie)],
) -> ApiKey:
    """The key behind a request.

    Raises:
        NotAuthenticated: There is none, it is not valid, or a call by cookie did not come from the page.
    """
    context = context_of(request)
    if bearer is not None:
        key = find_key(context.database, context.pepper, bearer.credentials)
        if key is None:
            raise NotAuthenticated("The key is not valid.", hint="Check it, or ask for a new one.")
        context.rates.count(request, key)
        return key
    if cookie is not None:
        if request.method not in _SAFE_METHODS and request.headers.get(PAGE_HEADER) != "1":
            raise NotAuthenticated(
                "A call by cookie that changes something must come from the page.",
                hint=f"Send the header {PAGE_HEADER}: 1, or a key.",
            )
        key = open_session(context, cookie)
        context.rates.count(request, key)
        return key
    raise NotAuthenticated("No key was sent.", hint="Send Authorization: Bearer KEY.")


def require(scope: str) -> Callable[..., ApiKey]:
    """A dependency: the caller, whose key must have the scope.

    Raises:
        NotAllowed: It has not.
    """

    def allowed(key: Annotated[ApiKey, Depends(caller)]) -> ApiKey:
        if scope not in key.rules.scopes:
            raise NotAllowed(
                f"The key has no scope '{scope}'.",
                hint="Use a key that has it.", details={"scopes": list(key.rules.scopes)},
            )  # fmt: skip
        return key

    return allowed


Caller = Annotated[ApiKey, Depends(caller)]
Reader = Annotated[ApiKey, Depends(require("jobs:read"))]
Writer = Annotated[ApiKey, Depends(require("jobs:write"))]
KeyKeeper = Annotated[ApiKey, Depends(require("keys"))]
Observer = Annotated[ApiKey, Depends(require("metrics"))]
Shared = Annotated[Context, Depends(context_of)]


def make_session(context: Context, key: ApiKey, lifetime_s: float) -> str:
    """A cookie's value that stands for a key for a while; it tells the key's id, not its secret."""
    expires = int(time.time() + lifetime_s)
    return f"{key.id}.{expires}.{_signature(context, key.id, expires)}"


def open_session(context: Context, text: str) -> ApiKey:
    """The key that a cookie stands for; a revoked key's sessions end with it.

    Raises:
        NotAuthenticated: The cookie is not ours, or is over.
    """
    parts = text.split(".")
    if len(parts) == 3 and parts[1].isascii() and parts[1].isdecimal() and len(parts[1]) < 15:
        identity, expires, signature = parts[0], int(parts[1]), parts[2]
        wanted = _signature(context, identity, expires)
        is_ours = hmac.compare_digest(signature.encode("utf-8", "replace"), wanted.encode())
        key = valid_key(context.database, identity) if is_ours and time.time() < expires else None
        if key is not None:
            return key
    raise NotAuthenticated("The session is over.", hint="Sign in with a key again.")


def _signature(context: Context, identity: str, expires: int) -> str:
    secret = derived_secret(context.pepper, "sessions")
    return hmac.new(secret, f"{identity}\n{expires}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
