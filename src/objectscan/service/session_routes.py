"""The page's session: a cookie that stands for a key, so that the page need not keep the key."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from objectscan.errors import NotAuthenticated
from objectscan.jobs.keys import find_key
from objectscan.service import schemas
from objectscan.service.answers import problems
from objectscan.service.auth import COOKIE, Caller, Shared, make_session

router = APIRouter(prefix="/v1/session", tags=["session"])


@router.post("", status_code=204, responses=problems(400, 401, 413, 422), summary="Sign in")
def sign_in(request: Request, response: Response, context: Shared, asked: schemas.SessionRequest) -> None:
    """Exchange a key for a session cookie, which no script can read."""
    key = find_key(context.database, context.pepper, asked.key)
    if key is None:
        raise NotAuthenticated("The key is not valid.", hint="Copy it again, whole.")
    lifetime_s = context.setup.seconds("session_s")
    response.set_cookie(
        COOKIE, make_session(context, key, lifetime_s), max_age=int(lifetime_s), path="/", httponly=True,
        samesite="strict", secure=request.url.scheme == "https",
    )  # fmt: skip


@router.get("", responses=problems(401), summary="Who is signed in")
def who(key: Caller) -> schemas.Session:
    """The key behind the cookie or the header."""
    return schemas.Session(tenant=key.tenant, scopes=list(key.rules.scopes), name=key.name)


@router.delete("", status_code=204, summary="Sign out")
def sign_out(response: Response) -> None:
    """Forget the cookie."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
