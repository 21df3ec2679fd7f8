"""API keys of the caller's tenant."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter

from objectscan.errors import NotAllowed
from objectscan.jobs import keys
from objectscan.jobs.keys import ApiKey, KeyRules
from objectscan.service import schemas
from objectscan.service.answers import problems
from objectscan.service.auth import KeyKeeper, Shared
from objectscan.service.job_view import optional_time, time_text

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.get("", responses=problems(401, 403), summary="List keys")
def list_keys(context: Shared, key: KeyKeeper) -> schemas.Keys:
    """All of the tenant, oldest first, without their secrets."""
    return schemas.Keys(
        keys=[schemas.Key(**_shown(each)) for each in keys.list_keys(context.database, key.tenant)]
    )


@router.post("", status_code=201, responses=problems(400, 401, 403, 413, 422), summary="Make a key")
def make_key(context: Shared, key: KeyKeeper, asked: schemas.KeyRequest) -> schemas.NewKey:
    """A key of the same tenant with some of the caller's scopes. It is shown this once."""
    extra = sorted(set(asked.scopes) - set(key.rules.scopes))
    if extra:
        raise NotAllowed(
            f"The key itself has no scope '{extra[0]}'.", hint="A key can't give more than it has."
        )
    expires_at = None if asked.expires_in_s is None else time.time() + asked.expires_in_s
    ends = [end for end in (expires_at, key.rules.expires_at) if end is not None]
    limits: dict[str, float] = dict(asked.limits.items())
    for name, most in key.rules.limits.items():
        limits[name] = min(most, limits.get(name, most))
    rules = KeyRules(tuple(dict.fromkeys(asked.scopes)), limits, min(ends, default=None))
    made, text = keys.make_key(context.database, context.pepper, key.tenant, asked.name, rules)
    return schemas.NewKey(key=text, **_shown(made))


@router.delete("/{key_id}", status_code=204, responses=problems(401, 403, 404), summary="Revoke a key")
def revoke_key(context: Shared, key: KeyKeeper, key_id: str) -> None:
    """It ends at once, with its sessions."""
    keys.revoke_key(context.database, key.tenant, key_id)


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id, "shown": key.shown, "name": key.name, "scopes": list(key.rules.scopes),
        "limits": dict(key.rules.limits), "created_at": time_text(key.created_at),
        "expires_at": optional_time(key.rules.expires_at), "last_used_at": optional_time(key.last_used_at),
        "revoked_at": optional_time(key.revoked_at),
    }  # fmt: skip
