from __future__ import annotations

import json
import signal
import threading
import time

import pytest

from helpers.api import made, problem
from helpers.servers import until
from objectscan.jobs import claims, store
from objectscan.service import events_routes


class Stream:
    """Reads a stream in a thread."""

    def __init__(self, client, path: str, **headers: str):
        self.events: list[tuple[str, dict]] = []
        self.ids: list[int] = []
        self.comments = 0
        self.status = 0
        self.ended = threading.Event()
        self._client, self._path, self._headers = client, path, headers
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        until(lambda: self.status, what="a stream")

    def _read(self) -> None:
        with self._client.stream("GET", self._path, headers=self._headers, timeout=None) as answer:
            self.headers = answer.headers
            self.status = answer.status_code
            kind = ""
            for line in answer.iter_lines():
                field, _, value = line.partition(": ")
                if field == "id":
                    self.ids.append(int(value))
                elif field == "event":
                    kind = value
                elif field == "data":
                    self.events.append((kind, json.loads(value)))
                elif line.startswith(":"):
                    self.comments += 1
        self.ended.set()

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


def run_through(database, *, progress: int = 2) -> None:
    job = claims.claim(database, "w", 60)
    for step in range(progress):
        claims.beat(database, job, 60, claims.StageProgress("shape", 0.5, step / 4, 9.0), tell=True)
    claims.succeed(database, job, artifacts={"folder": "x", "files": []}, summary={"grade": "low"})


def test_a_job_is_followed_from_its_history_to_its_end(api, client):
    job_id = made(client)["id"]
    stream = Stream(client, f"/v1/jobs/{job_id}/events")
    assert stream.headers["content-type"].startswith("text/event-stream")
    until(lambda: stream.kinds == ["queued"])
    run_through(api.service.database)
    assert stream.ended.wait(10)
    assert stream.kinds == ["queued", "running", "progress", "progress", "succeeded"]
    assert stream.events[3][1] | {"at": ""} == {
        "job_id": job_id, "at": "", "state": "running", "stage": "shape", "stage_fraction": 0.5,
        "progress": 0.25, "remaining_s": 9.0,
    }  # fmt: skip
    assert stream.events[4][1]["state"] == "succeeded"
    assert stream.ids == sorted(set(stream.ids))


def test_a_listener_that_comes_again_gets_what_it_missed_and_then_is_told_to_stop(api, client):
    job_id = made(client)["id"]
    run_through(api.service.database)
    first = Stream(client, f"/v1/jobs/{job_id}/events")
    assert first.ended.wait(10)
    path = f"/v1/jobs/{job_id}/events"
    again = Stream(client, path, **{"Last-Event-ID": str(first.ids[2])})
    assert again.ended.wait(10)
    assert again.ids == first.ids[3:]
    assert client.get(path, headers={"Last-Event-ID": str(first.ids[-1])}).status_code == 204


def test_all_jobs_of_a_tenant_and_of_no_other_are_followed(api, client):
    made(client)
    stream = Stream(client, "/v1/events")
    stranger = Stream(api.with_key(api.key("b")), "/v1/events")
    time.sleep(0.5)
    mine = made(client)["id"]
    store.cancel(api.service.database, "a", mine)
    until(lambda: len(stream.events) >= 2)
    assert stream.kinds == ["queued", "cancelled"]  # nothing of what was before
    theirs = made(api.with_key(api.key("b")))["id"]
    until(lambda: stranger.events)
    assert {values["job_id"] for _, values in stranger.events} == {theirs}
    assert {values["job_id"] for _, values in stream.events} == {mine}


def test_a_job_that_waits_again_is_told_as_retrying(api, client):
    job_id = made(client)["id"]
    stream = Stream(client, f"/v1/jobs/{job_id}/events")
    job = claims.claim(api.service.database, "w", 60)
    claims.give_back(api.service.database, job)
    until(lambda: len(stream.events) == 3)
    assert stream.kinds == ["queued", "running", "retrying"]


def test_a_quiet_stream_is_kept_alive(api, client, monkeypatch):
    monkeypatch.setattr(events_routes, "PING_S", 0.1)
    stream = Stream(client, "/v1/events")
    until(lambda: stream.comments >= 3)


def test_a_thousand_listeners_cost_one_query_at_a_time(api, client, monkeypatch):
    """The number of queries does not depend on the number of listeners."""
    from objectscan.service import event_hub

    calls = []
    real = event_hub.events_of_many
    monkeypatch.setattr(event_hub, "events_of_many", lambda *a, **k: calls.append(1) or real(*a, **k))
    streams = [Stream(client, "/v1/events") for _ in range(30)]
    before, began = len(calls), time.monotonic()
    job_id = made(client)["id"]
    until(lambda: all(stream.events for stream in streams))
    assert {stream.events[0][1]["job_id"] for stream in streams} == {job_id}
    assert len(calls) - before <= 3 + (time.monotonic() - began) / event_hub._POLL_S


def test_too_many_listeners_are_refused(tmp_path):
    from helpers.api import Api

    with Api(tmp_path, max_listeners=2).running() as api:
        streams = [Stream(api.client, "/v1/events") for _ in range(2)]
        problem(api.client.get("/v1/events"), 429, "quota_exceeded")
        assert [stream.status for stream in streams] == [200, 200]


def test_a_listener_that_leaves_makes_room(api, client):
    with client.stream("GET", "/v1/events"):
        until(lambda: api.context.hub.count == 1)
    until(lambda: api.context.hub.count == 0)


def test_a_stopping_process_ends_its_streams(api, client):
    stream = Stream(client, "/v1/events")
    api.server.handle_exit(signal.SIGTERM, None)
    assert stream.ended.wait(5)


@pytest.mark.parametrize("text", ["abc", "-1", "9" * 19])
def test_a_strange_last_id_starts_from_the_beginning(client, text):
    job_id = made(client)["id"]
    stream = Stream(client, f"/v1/jobs/{job_id}/events", **{"Last-Event-ID": text})
    until(lambda: stream.kinds == ["queued"])
