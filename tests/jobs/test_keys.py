from __future__ import annotations

import stat

import pytest
import sqlalchemy as sa

from objectscan.errors import BadServiceSetup, UnknownKey
from objectscan.jobs import keys
from objectscan.jobs.keys import KeyRules
from objectscan.jobs.model import api_keys

PEPPER = bytes(32)
RULES = KeyRules(("jobs:read",), {"requests_per_minute": 5.0})


def test_a_key_opens_with_its_text_only(database):
    key, text = keys.make_key(database, PEPPER, "a", "laptop", RULES)
    found = keys.find_key(database, PEPPER, text)
    assert found.id == key.id and found.tenant == "a" and found.rules == RULES
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    for other in (wrong, "", "os__", text.upper(), f"{text}_", text.replace("os_", "xx_"), "os_1_ü"):
        assert keys.find_key(database, PEPPER, other) is None
    assert keys.find_key(database, b"x" * 32, text) is None


def test_the_secret_is_not_in_the_database(database):
    key, text = keys.make_key(database, PEPPER, "a", "laptop", RULES)
    secret = text.split("_")[2]
    with database.reading() as connection:
        assert secret not in repr(connection.execute(sa.select(api_keys)).all())
    assert secret not in key.shown and key.id in key.shown


def test_a_key_ends_by_time_or_by_revocation_of_its_own_tenant(database):
    _, old = keys.make_key(database, PEPPER, "a", "old", KeyRules((), {}, expires_at=1.0))
    key, text = keys.make_key(database, PEPPER, "a", "new", RULES)
    assert keys.find_key(database, PEPPER, old) is None
    with pytest.raises(UnknownKey, match=key.id):
        keys.revoke_key(database, "b", key.id)
    assert keys.find_key(database, PEPPER, text) is not None
    keys.revoke_key(database, "a", key.id)
    assert keys.find_key(database, PEPPER, text) is None
    assert [one.name for one in keys.list_keys(database, "a")] == ["old", "new"]
    assert keys.list_keys(database, "b") == []


def test_the_last_use_is_noted(database):
    _, text = keys.make_key(database, PEPPER, "a", "laptop", RULES)
    keys.find_key(database, PEPPER, text)
    assert keys.list_keys(database, "a")[0].last_used_at is not None


def test_the_pepper_is_made_once_and_private(tmp_path):
    first = keys.read_pepper(tmp_path / "new" / "pepper")
    assert len(first) == 32 and keys.read_pepper(tmp_path / "new" / "pepper") == first
    assert stat.S_IMODE((tmp_path / "new" / "pepper").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pepper"]


def test_a_damaged_pepper_is_refused(tmp_path):
    (tmp_path / "pepper").write_bytes(b"short")
    with pytest.raises(BadServiceSetup, match="5 bytes"):
        keys.read_pepper(tmp_path / "pepper")
