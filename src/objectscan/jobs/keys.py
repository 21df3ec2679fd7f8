"""API keys: shown once, kept as a keyed hash.

A key is `os_ID_SECRET`. The secret has 256 random bits, so a fast hash is enough; the pepper keeps a stolen
database from being of use.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from objectscan.errors import BadServiceSetup, UnknownKey
from objectscan.jobs.database import Database, now
from objectscan.jobs.model import api_keys
from objectscan.jobs.plain import plain_text

_PREFIX = "os"
_PEPPER_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What the bearer of a key may do."""

    scopes: tuple[str, ...]
    """Such as `jobs:read`; checked by the service."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Such as `requests_per_minute`, `max_priority`, `retention_s`."""
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    id: str
    tenant: str
    name: str
    rules: KeyRules
    created_at: float
    last_used_at: float | None
    revoked_at: float | None

    @property
    def shown(self) -> str:
        """What a list may show of it."""
        return f"{_PREFIX}_{self.id}_..."


def read_pepper(path: Path) -> bytes:
    """The server's secret, made at first use, readable by its owner only.

    Raises:
        BadServiceSetup: The file is damaged or can't be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_pepper(path)
        pepper = path.read_bytes()
    except OSError as problem:
        raise BadServiceSetup(
            f"{path} can't be used: {problem.strerror}.", hint="Choose another data folder."
        ) from problem
    if len(pepper) != _PEPPER_BYTES:
        raise BadServiceSetup(
            f"{path} has {len(pepper)} bytes, not {_PEPPER_BYTES}.",
            hint="Restore it; without it no key works.",
        )
    return pepper


def make_key(
    database: Database, pepper: bytes, tenant: str, name: str, rules: KeyRules
) -> tuple[ApiKey, str]:
    """A new key, and its full text, which nobody can show again."""
    identity, secret = secrets.token_hex(8), secrets.token_hex(32)
    with database.writing(durable=True) as connection:
        row = connection.execute(
            sa.insert(api_keys)
            .values(
                id=identity, tenant=tenant, name=name, secret_hash=_hash(secret, pepper), created_at=now(),
                scopes=list(rules.scopes), limits=dict(rules.limits), expires_at=rules.expires_at,
            )
            .returning(api_keys)
        ).one()  # fmt: skip
    return _key_from(row), f"{_PREFIX}_{identity}_{secret}"


def find_key(database: Database, pepper: bytes, text: str) -> ApiKey | None:
    """The key that a caller shows, or None if it is unknown, wrong, revoked or over. Notes its use."""
    parts = text.split("_")
    if len(parts) != 3 or parts[0] != _PREFIX:
        return None
    keys = api_keys.c
    is_valid = (keys.id == plain_text(parts[1])) & _may_be_used()
    with database.reading() as connection:
        row = connection.execute(sa.select(api_keys, now().label("now")).where(is_valid)).one_or_none()
    expected = "" if row is None else row.secret_hash
    if not hmac.compare_digest(_hash(parts[2], pepper), expected) or row is None:
        return None
    if row.last_used_at is None or row.now - row.last_used_at > 60.0:  # a write for each request would queue
        with database.writing() as connection:
            used = sa.update(api_keys).where(keys.id == row.id)
            connection.execute(used.values(last_used_at=now()))
    return _key_from(row)


def valid_key(database: Database, key_id: str) -> ApiKey | None:
    """The key of this id if it may be used; for a caller who has shown it before."""
    is_it = (api_keys.c.id == plain_text(key_id)) & _may_be_used()
    with database.reading() as connection:
        row = connection.execute(sa.select(api_keys).where(is_it)).one_or_none()
    return None if row is None else _key_from(row)


def has_keys(database: Database) -> bool:
    """Whether any key exists that may be used."""
    with database.reading() as connection:
        return connection.execute(sa.select(api_keys.c.id).where(_may_be_used()).limit(1)).first() is not None


def list_keys(database: Database, tenant: str) -> Sequence[ApiKey]:
    """A tenant's keys, oldest first."""
    with database.reading() as connection:
        found = sa.select(api_keys).where(api_keys.c.tenant == tenant).order_by(api_keys.c.created_at)
        return [_key_from(row) for row in connection.execute(found)]


def revoke_key(database: Database, tenant: str, key_id: str) -> None:
    """End a key at once.

    Raises:
        UnknownKey: The tenant has no such key.
    """
    with database.writing(durable=True) as connection:
        is_it = (api_keys.c.id == key_id) & (api_keys.c.tenant == tenant)
        ended = connection.execute(sa.update(api_keys).where(is_it).values(revoked_at=now()))
    if ended.rowcount != 1:
        raise UnknownKey(f"There is no key {key_id}.", hint="List your keys to see their ids.")


def _make_pepper(path: Path) -> None:
    """Of several processes that start at once, the first one's stays."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".pepper-")  # mode 600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_PEPPER_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)


def _may_be_used() -> sa.ColumnElement[bool]:
    keys = api_keys.c
    return keys.revoked_at.is_(None) & (keys.expires_at.is_(None) | (keys.expires_at > now()))


def _hash(secret: str, pepper: bytes) -> str:
    return hmac.new(pepper, secret.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _key_from(row: sa.Row[Any]) -> ApiKey:
    rules = KeyRules(tuple(row.scopes), row.limits, row.expires_at)
    return ApiKey(row.id, row.tenant, row.name, rules, row.created_at, row.last_used_at, row.revoked_at)
