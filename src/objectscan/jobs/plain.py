"""Values that JSON and every database can hold: no NaN, nothing but text, numbers, lists and objects."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """The value without what JSON lacks: NaN and infinity become null, other things their text.

    PostgreSQL refuses NaN in JSON, and a final write must not fail for a number in an error's details.
    """
    if isinstance(value, Mapping):
        return {plain_text(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    return plain_text(value)


def plain_text(value: object) -> str:
    """Its text without what text columns refuse: zero bytes and halves of characters."""
    return str(value).replace("\0", "").encode("utf-8", "replace").decode()


def to_json(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(plain(value), allow_nan=False)
