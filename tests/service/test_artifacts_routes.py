from __future__ import annotations

import hashlib

import pytest

from helpers.api import made, problem
from objectscan.jobs import claims

MODEL = bytes(range(256)) * 1000


@pytest.fixture
def job(api, client) -> dict:
    """A finished job with three results."""
    job_id = made(client)["id"]
    taken = claims.claim(api.service.database, "w", 60)
    files = api.service.storage.tenant("a")
    folder, listed = f"jobs/{job_id}/1", []
    for name, content in (
        ("model.stl", MODEL), ("report.html", b"<p>fine</p>"), ("previews/preview.webp", b"still"),
    ):  # fmt: skip
        written = files.put(f"{folder}/{name}", [content])
        listed.append({"name": name, "size_bytes": written.size_bytes, "sha256": written.sha256})
    claims.succeed(
        api.service.database, taken, artifacts={"folder": folder, "files": listed}, summary={"grade": "high"}
    )
    return client.get(f"/v1/jobs/{job_id}").json()


def test_results_are_listed(client, job):
    listed = client.get(job["urls"]["artifacts"]).json()["artifacts"]
    assert [file["name"] for file in listed] == ["model.stl", "report.html", "previews/preview.webp"]
    assert listed[0]["sha256"] == hashlib.sha256(MODEL).hexdigest()
    assert (listed[0]["size_bytes"], listed[0]["media_type"]) == (len(MODEL), "model/stl")
    for file in listed:
        assert len(client.get(file["url"]).content) == file["size_bytes"]


def test_a_result_is_sent_so_that_no_browser_runs_it(client, job):
    answer = client.get(f"{job['urls']['artifacts']}/report.html")
    assert answer.headers["content-disposition"].startswith('attachment; filename="report.html"')
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"].startswith("private")


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, len(MODEL)),
        ("bytes=-7", len(MODEL) - 7, len(MODEL)),
        ("bytes=10-99999999", 10, len(MODEL)),
        ("bytes=-99999999", 0, len(MODEL)),
    ],
)
def test_a_range_is_sent(client, job, asked, start, stop):
    answer = client.get(f"{job['urls']['artifacts']}/model.stl", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == MODEL[start:stop]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(MODEL)}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "chunks=0-1", "bytes=0-1,4-5", "bytes=a-b"])
def test_what_is_no_single_range_is_ignored(client, job, asked):
    answer = client.get(f"{job['urls']['artifacts']}/model.stl", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, MODEL)


@pytest.mark.parametrize("asked", [f"bytes={len(MODEL)}-", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(client, job, asked):
    answer = client.get(f"{job['urls']['artifacts']}/model.stl", headers={"Range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(MODEL)}")


def test_what_the_receiver_has_is_not_sent_again(client, job):
    path = f"{job['urls']['artifacts']}/model.stl"
    etag = client.head(path).headers["etag"]
    assert etag == f'"{hashlib.sha256(MODEL).hexdigest()}"'
    assert client.get(path, headers={"If-None-Match": f'"x", {etag}'}).status_code == 304
    assert client.get(path, headers={"If-None-Match": '"x"'}).content == MODEL
    same = client.get(path, headers={"Range": "bytes=0-0", "If-Range": etag})
    other = client.get(path, headers={"Range": "bytes=0-0", "If-Range": '"x"'})
    assert (same.status_code, other.status_code) == (206, 200)


def test_head_tells_the_length(client, job):
    answer = client.head(f"{job['urls']['artifacts']}/model.stl")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (
        200,
        str(len(MODEL)),
        b"",
    )


@pytest.mark.parametrize(
    "name", ["nothing.glb", "../1/model.stl", "%2e%2e/model.stl", "previews", "model.stl/"]
)
def test_only_listed_names_lead_to_files(client, job, name):
    answer = client.get(f"{job['urls']['artifacts']}/{name}")
    assert answer.status_code == 404


def test_a_signed_link_works_without_a_key_until_it_is_over_or_changed(api, client, job, monkeypatch):
    link = client.get(job["urls"]["artifacts"]).json()["artifacts"][0]["signed_url"]
    assert api.anonymous.get(link).content == MODEL
    assert api.anonymous.get(link, headers={"Range": "bytes=0-3"}).content == MODEL[:4]
    problem(api.anonymous.get(link.replace("model.stl", "report.html")), 404, "not_found")
    problem(api.anonymous.get(link.replace("/a/", "/b/")), 404, "not_found")
    problem(api.anonymous.get(link.replace("expires=", "expires=9")), 404, "not_found")
    problem(api.anonymous.get("/v1/files/x"), 404, "not_found")
    from objectscan.storage import links

    later = links.time.time() + 1000
    object.__setattr__(api.context.storage.signer, "clock", lambda: later)
    problem(api.anonymous.get(link), 404, "not_found")


def test_the_preview_is_the_still_of_a_finished_job_and_the_live_picture_before(api, client, job):
    assert client.get(job["urls"]["preview"]).content == b"still"
    running = made(client)
    problem(client.get(running["urls"]["preview"]), 404, "not_found")
    files = api.service.storage.tenant("a")
    files.put(f"jobs/{running['id']}/progress.webp", [b"one"])
    first = client.get(running["urls"]["preview"])
    assert (first.content, first.headers["content-type"]) == (b"one", "image/webp")
    etag = {"If-None-Match": first.headers["etag"]}
    assert client.get(running["urls"]["preview"], headers=etag).status_code == 304
    files.put(f"jobs/{running['id']}/progress.webp", [b"two!"])
    assert client.get(running["urls"]["preview"], headers=etag).content == b"two!"
