"""Names that can't lead elsewhere: tenants and keys pass here before they become paths."""

from __future__ import annotations

import re

from objectscan.errors import BadKey

_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_NOT_IN_PARTS = set('\\:*?"<>|')
"""Characters that some file system takes for something else."""
_STAGING = re.compile(r"#\d+$")
"""obstore's own name for a file that is being written."""
_MOST_CHARACTERS = 700
_MOST_BYTES_OF_PART = 200


def require_tenant(name: str) -> str:
    """The name, if it is one.

    Raises:
        BadKey: It is not 1 to 63 lower-case letters, digits, dashes and underscores.
    """
    if not _TENANT.fullmatch(name):
        raise BadKey(
            f"{name!r} is no name for a tenant.", hint="Use lower-case letters, digits, - and _; 63 at most."
        )
    return name


def require_key(key: str) -> str:
    """The key, if it can only lead downwards.

    Raises:
        BadKey: It is empty, absolute or too long, climbs with `..`, hides with a leading dot, or has
            characters that are not printable or that some file system takes for something else.
    """
    parts = key.split("/")
    if len(key) > _MOST_CHARACTERS or not all(_is_part(part) for part in parts):
        raise BadKey(f"{key[:80]!r} can't be the name of a stored file.", hint="Use plain names and slashes.")
    return key


def _is_part(part: str) -> bool:
    return (
        0 < len(part.encode("utf-8", "replace")) <= _MOST_BYTES_OF_PART
        and part.isprintable()
        and not part.startswith(".")
        and part == part.strip()
        and not _NOT_IN_PARTS & set(part)
        and not _STAGING.search(part)
    )
