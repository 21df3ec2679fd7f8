from __future__ import annotations

import re

import pytest

from helpers.api import Api, made, problem
from objectscan.errors import DatabaseFailed, StorageFailed
from objectscan.jobs import workers
from objectscan.recipes import PRESETS, recipe_for
from objectscan.service.option_table import option_table


def test_health_is_told_without_asking_anybody(api, monkeypatch):
    monkeypatch.setattr(api.context.database, "has_tables", lambda: 1 / 0)
    answer = api.anonymous.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready_needs_database_storage_and_a_worker(api):
    answer = api.anonymous.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "ok", "storage": "ok", "worker": "none is ready"}
    workers.enter(api.service.database, "w", "host", 1)
    workers.renew(api.service.database, "w", "idle", None, {})
    assert (api.anonymous.get("/readyz").status_code, api.client.get("/v1/info").json()["workers"]) == (
        200, {"ready": 1, "busy": 0},
    )  # fmt: skip


def test_info_states_the_limits_of_the_settings(api, client):
    info = client.get("/v1/info").json()
    assert info["limits"]["max_request_bytes"] == api.service.settings["max_request_bytes"]
    assert "nvdiffrec" in info["engines"] and ".heic" in info["photo_suffixes"]


def test_options_are_those_of_the_recipes(client):
    told = client.get("/v1/options").json()
    assert set(told["presets"]) == set(PRESETS)
    for option in told["options"]:
        recipe_for("standard", {option["name"]: option["default"]})
        assert option["help"]
    by_name = {option["name"]: option for option in told["options"]}
    assert by_name["budget.faces"] == {
        "name": "budget.faces", "type": "int", "default": 20_000, "help": "Faces.", "least": 0.0,
        "most": None, "choices": None,
    }  # fmt: skip
    assert "reconviagen" in by_name["engine"]["choices"]
    assert "masks" in by_name["hull.outvoted_views"]["help"]


def test_requests_parse_no_source_since_threads_must_not_do_so_at_once(tmp_path, monkeypatch):
    option_table.cache_clear()
    with Api(tmp_path).running() as api:
        monkeypatch.setattr("ast.parse", lambda *given: 1 / 0)
        assert api.client.get("/v1/options").status_code == 200


def test_workers_are_listed_without_their_jobs(api, client):
    workers.enter(api.service.database, "w", "host", 1)
    workers.renew(api.service.database, "w", "busy", "secret-job", {"jobs_done": 2})
    told = client.get("/v1/workers")
    assert told.json()["workers"][0]["facts"] == {"jobs_done": 2}
    assert "secret-job" not in told.text


def test_metrics_count_jobs_workers_and_requests(api, client):
    made(client)
    workers.enter(api.service.database, "w", "host", 1)
    gpu = {"name": "H100", "memory_used_bytes": 5, "memory_total_bytes": 10, "utilisation": 0.5}
    workers.renew(api.service.database, "w", "idle", None, {"gpus": [gpu], "fragmentation": 0.1})
    text = client.get("/metrics").text
    for line in (
        'objectscan_jobs{state="queued"} 1.0', 'objectscan_workers{state="idle"} 1.0',
        'objectscan_http_requests_total{method="POST",route="/v1/jobs",status="202"} 1.0',
        'objectscan_gpu_memory_used_bytes{gpu="H100",worker="w"} 5.0',
        'objectscan_worker_fragmentation{worker="w"} 0.1',
    ):  # fmt: skip
        assert line in text
    assert re.search(r"objectscan_queue_age_seconds [\d.]+", text)


def test_what_is_not_there_is_a_problem_document(client):
    problem(client.get("/v1/nothing"), 404, "not_found")
    problem(client.get("/assets/../../etc/passwd"), 404, "not_found")
    problem(client.put("/v1/jobs"), 405, "wrong_method")
    assert "GET" in client.put("/v1/jobs").headers["allow"]


@pytest.mark.parametrize(
    ("error", "status"), [(DatabaseFailed, 503), (StorageFailed, 503), (RuntimeError, 500)]
)
def test_a_failure_of_the_service_keeps_its_secrets(api, client, monkeypatch, error, status):
    def fail(*_, **__):
        raise error("postgresql://user:secret@host is away")

    from objectscan.jobs import store

    monkeypatch.setattr(store, "list_jobs", fail)
    answer = client.get("/v1/jobs", headers={"X-Request-Id": "my-id.7"})
    assert answer.status_code == status
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "my-id.7"


def test_a_strange_request_id_is_replaced(client):
    answer = client.get("/healthz", headers={"X-Request-Id": "a b" * 50})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_the_page_is_served_with_a_strict_policy(tmp_path):
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<p>page")
    (dist / "assets" / "app-1.js").write_text("1")
    (dist / ".secret").write_text("x")
    api = Api(tmp_path / "service", page_folder=dist)
    with api.running():
        page = api.anonymous.get("/")
        assert page.text == "<p>page"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe-inline" not in policy and "http" not in policy
        script = api.anonymous.get("/assets/app-1.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "immutable" in script.headers["cache-control"]
        etag = {"If-None-Match": page.headers["etag"]}
        assert api.anonymous.get("/", headers=etag).status_code == 304


def test_the_documentation_is_offline_and_whole(api):
    page = api.anonymous.get("/docs").text
    assert "http://" not in page and "https://" not in page
    for path in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert api.anonymous.get(path).status_code == 200, path
    described = api.anonymous.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    for path, calls in described["paths"].items():
        for method, call in calls.items():
            assert call["summary"] and call["description"], (method, path)
