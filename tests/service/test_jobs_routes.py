from __future__ import annotations

import json

import pytest

from helpers.api import made, photo, photos, problem
from helpers.servers import until
from objectscan.jobs import claims, store


def test_photos_become_a_job_that_waits(api, client):
    answer = client.post(
        "/v1/jobs", files=photos(),
        data={
            "preset": "preview", "options": '{"budget.faces": 5000}', "seed": "7", "priority": "8",
            "external_id": "chair 3", "tags": ["red", "oak"], "notes": '{"shelf": 4}', "retention_s": "60",
        },
    )  # fmt: skip
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["urls"]["self"]
    assert int(answer.headers["retry-after"]) > 0
    assert (job["state"], job["preset"], job["seed"], job["priority"]) == ("queued", "preview", 7, 8)
    assert (job["options"], job["notes"]) == ({"budget.faces": 5000}, {"shelf": 4})
    assert (job["external_id"], job["tags"], job["queue_position"]) == ("chair 3", ["oak", "red"], 1)
    row = store.get_job(api.service.database, "a", job["id"])
    assert row.retention_s == 60
    assert row.recipe["budget"]["faces"] == 5000


def test_the_photos_are_stored_as_they_came(api, client):
    job = store.get_job(api.service.database, "a", made(client)["id"])
    files = api.service.storage.tenant("a")
    stored = {file.key: b"".join(files.get(file.key)) for file in files.list(job.input)}
    assert stored == {f"{job.input}/IMG_{n:02d}.jpg": photo(n) for n in range(5)}


def test_a_worker_is_woken(api, client):
    made(client)
    until(lambda: list((api.service.setup.message_folder / "data").iterdir()), what="a message")


def test_the_same_promise_gives_the_same_job_and_stores_nothing_twice(api, client):
    answers = [
        client.post("/v1/jobs", files=photos(), headers={"Idempotency-Key": "k1"}).json()["id"]
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    uploads = {file.key.split("/")[1] for file in api.service.storage.tenant("a").list("uploads")}
    assert len(uploads) == 1
    other = client.post("/v1/jobs", files=photos(6), headers={"Idempotency-Key": "k1"})
    problem(other, 422, "idempotency_conflict")


def test_jobs_are_listed_newest_first_by_pages_and_filters(client):
    ids = [made(client, tags=f"t{number % 2}")["id"] for number in range(3)]
    first = client.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in first["jobs"]] == ids[:0:-1]
    rest = client.get("/v1/jobs", params={"cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in rest["jobs"]] == ids[:1]
    assert rest["next_cursor"] is None
    assert [j["id"] for j in client.get("/v1/jobs?tag=t1").json()["jobs"]] == [ids[1]]
    assert client.get("/v1/jobs?state=running&state=failed").json()["jobs"] == []
    assert client.get("/v1/jobs?created_after=2099-01-01T00:00:00Z").json()["jobs"] == []
    problem(client.get("/v1/jobs?cursor=zzz"), 422, "input_error")
    problem(client.get("/v1/jobs?limit=0"), 422, "input_error")


def test_a_job_goes_through_its_life(api, client):
    job_id = made(client)["id"]
    path = f"/v1/jobs/{job_id}"
    problem(client.delete(path), 409, "wrong_state")
    problem(client.post(f"{path}/retry"), 409, "wrong_state")
    cancelled = client.post(f"{path}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert cancelled.json()["expires_at"] > cancelled.json()["finished_at"]
    again = client.post(f"{path}/retry")
    assert (again.status_code, again.json()["state"]) == (202, "queued")
    taken = claims.claim(api.service.database, "w", 60)
    claims.beat(api.service.database, taken, 60, claims.StageProgress("shape", 0.5, 0.3, 70.0), tell=True)
    shown = client.get(path).json()
    assert (shown["state"], shown["stage"], shown["stage_fraction"]) == ("running", "shape", 0.5)
    assert (shown["progress"], shown["remaining_s"], shown["queue_position"]) == (0.3, 70.0, None)
    summary = {"grade": "high", "score": 0.9, "reason": "sharp"}
    claims.succeed(api.service.database, taken, artifacts={"folder": "x", "files": []}, summary=summary)
    assert client.get(path).json()["verdict"] == summary
    folder = taken.input
    assert client.delete(path).status_code == 204
    problem(client.get(path), 404, "unknown_job")
    assert list(api.service.storage.tenant("a").list(folder)) == []


def test_a_foreign_job_is_not_there(api, client):
    path = f"/v1/jobs/{made(client)['id']}"
    stranger = api.with_key(api.key("b"))
    for method, address in (
        ("GET", path), ("POST", f"{path}/cancel"), ("POST", f"{path}/retry"), ("DELETE", path),
        ("GET", f"{path}/events"), ("GET", f"{path}/photos"), ("GET", f"{path}/artifacts"),
        ("GET", f"{path}/preview"), ("GET", f"{path}/artifacts/model.glb"), ("GET", f"{path}/photos/0"),
        ("GET", f"{path}/photos/0/thumbnail"),
    ):  # fmt: skip
        problem(stranger.request(method, address), 404, "unknown_job")
    assert stranger.get("/v1/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"preset": "best"}, 422, "bad_recipe"),
        ({"options": '{"budget.facets": 1}'}, 422, "bad_recipe"),
        ({"options": "{"}, 400, "bad_request"),
        ({"options": "[]"}, 422, "input_error"),
        ({"options": '{"budget.faces": NaN}'}, 400, "bad_request"),
        ({"seed": "-1"}, 422, "input_error"),
        ({"seed": ["1", "2"]}, 400, "bad_request"),
        ({"priority": "10"}, 422, "input_error"),
        ({"colour": "red"}, 400, "bad_request"),
        ({"tags": ["x" * 64]}, 422, "input_error"),
        ({"tags": ["a\0b"]}, 422, "input_error"),
        ({"notes": "x" * 70_000}, 413, "request_too_large"),
    ],
)
def test_a_bad_field_is_refused_and_nothing_is_kept(api, client, fields, status, code):
    problem(client.post("/v1/jobs", files=photos(), data=fields), status, code)
    assert list(api.service.storage.tenant("a").list()) == []
    assert client.get("/v1/jobs").json()["jobs"] == []


def test_too_few_photos_are_refused_by_their_number(client):
    told = problem(client.post("/v1/jobs", files=photos(2)), 422, "too_few_views")
    assert told["details"]["reason"] == "too_few_images"
    problem(client.post("/v1/jobs", files=photos(4)), 422, "too_few_views")
    made(client, 4, options='{"engine": "auto"}')


def test_a_file_that_is_no_photo_is_named(client):
    files = [*photos(), ("photos", ("notes.jpg", b"%PDF-1.4", "image/jpeg"))]
    told = problem(client.post("/v1/jobs", files=files), 415, "unsupported_type")
    assert "notes.jpg" in told["detail"] and "PDF" in told["detail"]
    problem(
        client.post("/v1/jobs", files=[*photos(), ("photos", ("a.jpg", b"", "image/jpeg"))]),
        415,
        "unsupported_type",
    )
    problem(
        client.post("/v1/jobs", files=[("pictures", ("a.jpg", photo(), "image/jpeg"))]), 400, "bad_request"
    )


def test_a_body_of_another_kind_is_refused(client):
    answer = client.post("/v1/jobs", content=b"x", headers={"Content-Type": "text/csv"})
    problem(answer, 415, "unsupported_type")
    answer = client.post("/v1/jobs", content=b"x", headers={"Content-Type": "multipart/form-data"})
    problem(answer, 400, "bad_request")


def test_json_needs_one_source(client):
    problem(client.post("/v1/jobs", json={}), 422, "input_error")
    problem(client.post("/v1/jobs", json={"input": "x", "urls": ["http://a"]}), 422, "input_error")
    problem(client.post("/v1/jobs", json={"input": "x"}), 404, "not_found")
    problem(client.post("/v1/jobs", json=[1]), 400, "bad_request")
    problem(client.post("/v1/jobs", json={"input": "x", "colour": 1}), 422, "input_error")
    answer = client.post("/v1/jobs", content=b"{", headers={"Content-Type": "application/json"})
    problem(answer, 400, "bad_request")
    big = json.dumps({"input": "x" * 1_100_000})
    answer = client.post("/v1/jobs", content=big, headers={"Content-Type": "application/json"})
    problem(answer, 413, "request_too_large")


def test_a_key_may_cap_priority_and_retention(api):
    capped = api.with_key(api.key("c", max_priority=5, retention_s=100.0))
    problem(capped.post("/v1/jobs", files=photos(), data={"priority": "6"}), 403, "not_allowed")
    job = made(capped)
    assert store.get_job(api.service.database, "c", job["id"]).retention_s == 100.0
    job = made(capped, retention_s="5")
    assert store.get_job(api.service.database, "c", job["id"]).retention_s == 5.0
