from __future__ import annotations

import time

import pytest

from helpers.api import problem
from objectscan.jobs import keys
from objectscan.service import auth

CLOSED = [
    ("GET", "/v1/jobs"), ("GET", "/v1/jobs/x"), ("POST", "/v1/jobs"), ("POST", "/v1/jobs/x/cancel"),
    ("POST", "/v1/jobs/x/retry"), ("DELETE", "/v1/jobs/x"), ("GET", "/v1/jobs/x/events"),
    ("GET", "/v1/events"),
    ("GET", "/v1/jobs/x/photos"), ("GET", "/v1/jobs/x/photos/0"), ("GET", "/v1/jobs/x/photos/0/thumbnail"),
    ("GET", "/v1/jobs/x/preview"), ("GET", "/v1/jobs/x/artifacts"), ("GET", "/v1/jobs/x/artifacts/model.glb"),
    ("POST", "/v1/inputs"), ("GET", "/v1/inputs/x/photos"), ("GET", "/v1/session"), ("GET", "/v1/info"),
    ("GET", "/v1/options"), ("GET", "/v1/workers"), ("GET", "/v1/keys"), ("POST", "/v1/keys"),
    ("DELETE", "/v1/keys/x"), ("GET", "/metrics"),
]  # fmt: skip


def test_nothing_but_the_page_and_health_is_open(api):
    for method, path in CLOSED:
        answer = api.anonymous.request(method, path)
        problem(answer, 401, "not_authenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    paths = {
        p for p, calls in api.app.openapi()["paths"].items() for c in calls.values() if c.get("security")
    }
    assert len(paths) >= 20  # the list above is not forgotten when an area is added
    for path, calls in api.app.openapi()["paths"].items():
        if path not in ("/healthz", "/readyz", "/v1/session", "/v1/files/{token}"):
            assert all(call.get("security") for call in calls.values()), path


@pytest.mark.parametrize("text", ["os_0123456789abcdef_" + "0" * 64, "nonsense", "os_x_y", "os_é_é"])
def test_a_wrong_key_is_refused(api, text):
    answer = api.anonymous.get("/v1/jobs", headers={"Authorization": f"Bearer {text}".encode()})
    problem(answer, 401, "not_authenticated")


def test_a_revoked_key_is_refused_at_once(api):
    text = api.key()
    client = api.with_key(text)
    assert client.get("/v1/jobs").status_code == 200
    keys.revoke_key(api.service.database, "a", text.split("_")[1])
    problem(client.get("/v1/jobs"), 401, "not_authenticated")


def test_a_scope_that_is_missing_is_named(api):
    reader = api.with_key(api.key(scopes=("jobs:read",)))
    assert reader.get("/v1/jobs").status_code == 200
    told = problem(reader.post("/v1/jobs/x/cancel"), 403, "not_allowed")
    assert "jobs:write" in told["detail"]
    problem(reader.get("/metrics"), 403, "not_allowed")
    problem(reader.get("/v1/keys"), 403, "not_allowed")


def test_the_page_signs_in_and_out(api):
    page = api.with_key(None)
    problem(page.post("/v1/session", json={"key": "os_1_2"}), 401, "not_authenticated")
    signed_in = page.post("/v1/session", json={"key": api.key()})
    assert signed_in.status_code == 204
    cookie = signed_in.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/", "max-age="))
    assert page.get("/v1/session").json() == {"tenant": "a", "scopes": list(auth.SCOPES), "name": "test"}
    assert page.get("/v1/jobs").status_code == 200
    assert page.delete("/v1/session").status_code == 204
    assert page.get("/v1/session").status_code == 401


def test_a_call_by_cookie_that_changes_something_must_come_from_the_page(api):
    page = api.with_key(None)
    page.post("/v1/session", json={"key": api.key()})
    problem(page.post("/v1/jobs/x/cancel"), 401, "not_authenticated")
    problem(page.post("/v1/jobs/x/cancel", headers={"X-Objectscan": "1"}), 404, "unknown_job")


def test_a_session_ends_with_its_time_its_key_and_any_change(api, monkeypatch):
    text = api.key()
    page = api.with_key(None)
    page.post("/v1/session", json={"key": text})
    value = page.cookies[auth.COOKIE]
    for forged in (
        value[:-1] + ("0" if value[-1] != "0" else "1"),
        "a.b.c",
        "..",
        value.replace(".", "." * 2),
    ):
        answer = api.anonymous.get("/v1/session", headers={"Cookie": f"{auth.COOKIE}={forged}"})
        problem(answer, 401, "not_authenticated")
    longer = value.split(".")
    longer[1] = str(int(longer[1]) + 1000)
    answer = api.anonymous.get("/v1/session", headers={"Cookie": f"{auth.COOKIE}={'.'.join(longer)}"})
    problem(answer, 401, "not_authenticated")
    real = time.time()
    with monkeypatch.context() as later:
        later.setattr(auth.time, "time", lambda: real + 8 * 86_400)
        problem(page.get("/v1/session"), 401, "not_authenticated")
    assert page.get("/v1/session").status_code == 200
    keys.revoke_key(api.service.database, "a", text.split("_")[1])
    problem(page.get("/v1/session"), 401, "not_authenticated")
    assert text.split("_")[2] not in value


def test_keys_are_made_listed_and_revoked(api, client):
    made = client.post("/v1/keys", json={"name": "robot", "scopes": ["jobs:read"], "expires_in_s": 60})
    assert made.status_code == 201
    robot = api.with_key(made.json()["key"])
    assert robot.get("/v1/session").json()["scopes"] == ["jobs:read"]
    listed = client.get("/v1/keys").json()["keys"]
    assert [key["name"] for key in listed] == ["test", "robot"]
    assert made.json()["key"] not in client.get("/v1/keys").text
    assert client.delete(f"/v1/keys/{made.json()['id']}").status_code == 204
    problem(robot.get("/v1/jobs"), 401, "not_authenticated")
    problem(client.delete("/v1/keys/nope"), 404, "unknown_key")


def test_a_key_gives_no_more_than_it_has(api):
    narrow = api.with_key(api.key(scopes=("keys", "jobs:read"), max_priority=3))
    problem(narrow.post("/v1/keys", json={"name": "x", "scopes": ["jobs:write"]}), 403, "not_allowed")
    made = narrow.post("/v1/keys", json={"name": "x", "scopes": ["jobs:read"], "limits": {"max_priority": 9}})
    assert made.json()["limits"] == {"max_priority": 3}
    problem(narrow.post("/v1/keys", json={"name": "x", "scopes": []}), 422, "input_error")
    stranger = api.with_key(api.key("b"))
    problem(stranger.delete(f"/v1/keys/{made.json()['id']}"), 404, "unknown_key")
