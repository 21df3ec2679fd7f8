from __future__ import annotations

import base64
import os
import signal
import threading
import time

import httpx

from helpers.api import api_process, photo, problem
from helpers.service import Service
from objectscan.service.tus_store import TusStore

TUS = {"Tus-Resumable": "1.0.0"}


def begin(client: httpx.Client, name: str, size: int, **headers: str) -> httpx.Response:
    told = {
        "Upload-Length": str(size),
        "Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()}",
    }
    return client.post("/v1/uploads", headers={**TUS, **told, **headers})


def append(client: httpx.Client, url: str, offset: int, body) -> httpx.Response:
    kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
    return client.patch(url, headers={**TUS, **kind}, content=body)


def sent(client: httpx.Client, name: str, body: bytes) -> str:
    url = begin(client, name, len(body)).headers["location"]
    assert append(client, url, 0, body).status_code == 204
    return url.rpartition("/")[2]


def test_photos_sent_in_pieces_become_a_job(api, client):
    ids = []
    for number in range(3):
        body = photo(number)
        made = begin(client, f"set/IMG_{number}.jpg", len(body))
        assert made.status_code == 201 and made.headers["tus-resumable"] == "1.0.0"
        url = made.headers["location"]
        first = append(client, url, 0, body[:700])
        assert (first.status_code, first.headers["upload-offset"]) == (204, "700")
        facts = client.head(url, headers=TUS)
        assert (facts.headers["upload-offset"], facts.headers["upload-length"]) == ("700", str(len(body)))
        assert append(client, url, 700, body[700:]).headers["upload-offset"] == str(len(body))
        ids.append(url.rpartition("/")[2])
    answer = client.post("/v1/jobs", json={"upload_ids": ids, "preset": "preview"})
    assert answer.status_code == 202, answer.text
    shown = client.get(f"/v1/jobs/{answer.json()['id']}/photos").json()
    assert [each["name"].rpartition("/")[2] for each in shown["photos"]] == [f"IMG_{n}.jpg" for n in range(3)]
    stored = api.service.job(answer.json()["id"]).input
    part = api.service.storage.tenant("a")
    assert b"".join(part.get(f"{stored}/IMG_1.jpg")) == photo(1)
    assert client.head(f"/v1/uploads/{ids[0]}", headers=TUS).status_code == 404  # taken


def test_a_wrong_offset_is_refused_and_changes_nothing(client):
    url = begin(client, "a.jpg", 10).headers["location"]
    append(client, url, 0, b"12345")
    told = problem(append(client, url, 3, b"xx"), 409, "offset_conflict")
    assert told["details"] == {"offset": 5}
    assert client.head(url, headers=TUS).headers["upload-offset"] == "5"


def test_more_bytes_than_stated_are_refused_and_the_upload_can_go_on(client):
    url = begin(client, "a.jpg", 10).headers["location"]
    problem(append(client, url, 0, 11 * b"x"), 413, "request_too_large")
    here = int(client.head(url, headers=TUS).headers["upload-offset"])
    assert append(client, url, here, (10 - here) * b"y").status_code == 204


def test_uploads_of_one_tenant_are_out_of_reach_for_another(api, client):
    upload_id = sent(client, "a.jpg", photo())
    other = api.with_key(api.key("b"))
    url = f"/v1/uploads/{upload_id}"
    assert other.head(url, headers=TUS).status_code == 404
    problem(append(other, url, 0, b"x"), 404, "not_found")
    problem(other.delete(url, headers=TUS), 404, "not_found")
    problem(
        other.post("/v1/jobs", json={"upload_ids": 3 * [upload_id] + ["0" * 32, "1" * 32]}), 404, "not_found"
    )
    assert client.head(url, headers=TUS).status_code == 200


def test_nothing_is_written_before_the_key_is_looked_at(api, client):
    url = begin(client, "a.jpg", 5).headers["location"]
    problem(append(api.anonymous, url, 0, b"12345"), 401, "not_authenticated")
    assert client.head(url, headers=TUS).headers["upload-offset"] == "0"


def test_ids_that_are_no_ids_lead_nowhere(client):
    for name in ("..", "%2e%2e%2fpepper", "x.json", "0" * 31 + "g", "0" * 32):
        assert client.head(f"/v1/uploads/{name}", headers=TUS).status_code == 404


def test_an_upload_that_is_not_whole_makes_no_job(client):
    ids = [sent(client, f"{n}.jpg", photo(n)) for n in range(2)]
    url = begin(client, "c.jpg", 5000).headers["location"]
    told = problem(client.post("/v1/jobs", json={"upload_ids": [*ids, url[-32:]]}), 422, "input_error")
    assert told["details"]["offset"] == 0


def test_what_is_no_picture_is_refused_and_the_others_stay(client):
    ids = [sent(client, f"{n}.jpg", photo(n)) for n in range(2)]
    bad = sent(client, "c.jpg", b"#!/bin/sh\necho\n" * 100)
    problem(client.post("/v1/jobs", json={"upload_ids": [*ids, bad]}), 415, "unsupported_type")
    assert client.head(f"/v1/uploads/{ids[0]}", headers=TUS).status_code == 200
    good = sent(client, "c.jpg", photo(2))
    assert client.post("/v1/jobs", json={"upload_ids": [*ids, good]}).status_code == 202


def test_files_over_the_limit_and_broken_headers_are_refused(client):
    problem(begin(client, "a.jpg", 10**9), 413, "request_too_large")
    problem(begin(client, "a.jpg", 5, **{"Upload-Metadata": "filename !!!"}), 400, "bad_request")
    problem(begin(client, "a.jpg", 5, **{"Tus-Resumable": "0.2"}), 400, "bad_request")
    url = begin(client, "a.jpg", 5).headers["location"]
    answer = client.patch(
        url, headers={**TUS, "Upload-Offset": "0", "Content-Type": "text/plain"}, content=b"x"
    )
    problem(answer, 415, "unsupported_type")


def test_a_deleted_and_an_old_upload_are_gone(api, client, monkeypatch):
    url = begin(client, "a.jpg", 5).headers["location"]
    assert client.delete(url, headers=TUS).status_code == 204
    assert client.head(url, headers=TUS).status_code == 404
    url = begin(client, "b.jpg", 5).headers["location"]
    store = TusStore(api.service.setup.data_folder / "resumable", "a")
    later = time.time() + 2 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert store.sweep() == 1 and list(store.folder.iterdir()) == []


def test_an_upload_goes_on_after_the_server_was_killed_and_no_byte_is_lost_or_doubled(tmp_path):
    body = os.urandom(6_000_000)
    with Service(tmp_path) as service:
        with api_process(service) as client:
            url = begin(client, "a.jpg", len(body)).headers["location"]
            store = TusStore(service.setup.data_folder / "resumable", "a")
            path = store.path(url[-32:])
            kill = threading.Event()

            def pieces():
                for first in range(0, len(body), 500_000):
                    if first >= 4_000_000:
                        kill.set()
                        time.sleep(30)
                    yield body[first : first + 500_000]

            def send():
                try:
                    append(client, url, 0, pieces())
                except (httpx.HTTPError, RuntimeError):
                    return

            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            assert kill.wait(20)
            time.sleep(0.5)
            os.kill(client.pid, signal.SIGKILL)
            time.sleep(0.5)
        assert 0 < path.stat().st_size <= 4_000_000
        with api_process(service) as client:
            offset = int(client.head(url, headers=TUS).headers["upload-offset"])
            assert offset == path.stat().st_size
            assert append(client, url, offset, body[offset:]).status_code == 204
        assert path.read_bytes() == body
