from __future__ import annotations

import io
import json
import zipfile

import pytest

from helpers.api import photo, photos, problem
from objectscan.jobs import store


def zipped(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


def sent(client, content: bytes, name: str = "photos.zip", **fields):
    return client.post("/v1/jobs", files=[("archive", (name, content, "application/zip"))], data=fields)


def test_a_zip_becomes_a_job(api, client):
    content = zipped({f"chair/IMG_{n}.jpg": photo(n) for n in range(5)} | {"chair/.DS_Store": b"x"})
    answer = sent(client, content, preset="preview")
    assert answer.status_code == 202, answer.text
    job = store.get_job(api.service.database, "a", answer.json()["id"])
    stored = sorted(file.key for file in api.service.storage.tenant("a").list(job.input))
    assert stored == [f"{job.input}/IMG_{n}.jpg" for n in range(5)]


@pytest.mark.parametrize(
    ("files", "status", "code", "reason"),
    [
        ({"../../x.jpg": photo()}, 422, "unsafe_archive", "unsafe_archive"),
        ({"/etc/x.jpg": photo()}, 422, "unsafe_archive", "unsafe_archive"),
        ({"a.zip": zipped({"a": b"b"})}, 422, "unsafe_archive", "unsafe_archive"),
        ({"a.jpg": bytes(30_000_000)}, 422, "unsafe_archive", "archive_too_large"),
        ({f"{n}.jpg": b"" for n in range(2001)}, 422, "unsafe_archive", "too_many_files"),
        ({}, 422, "too_few_views", "too_few_images"),
        ({"a.jpg": photo()}, 422, "too_few_views", "too_few_images"),
    ],
)
def test_a_hostile_zip_is_refused_and_leaves_nothing(api, client, files, status, code, reason):
    told = problem(sent(client, zipped(files)), status, code)
    assert told["details"]["reason"] == reason
    assert list(api.service.storage.tenant("a").list()) == []
    assert list(api.context.incoming.iterdir()) == []


def test_a_damaged_zip_is_refused(client):
    told = problem(sent(client, zipped({"a.jpg": photo()})[:-30]), 422, "unsafe_archive")
    assert told["details"]["reason"] == "corrupt_archive"


def test_names_that_lead_elsewhere_are_only_text(api, client):
    names = [
        "../../../etc/cron.d/x.jpg", "..\\..\\x.jpg", "/etc/passwd", "C:\\boot.jpg", "..", "", " ", ".jpg",
        "$(touch pwned).jpg", "x\r\nSet-Cookie: a=b.jpg", "ü" * 300 + ".jpg", "a" * 4000 + ".jpg",
        "фото.jpg", "\u202egpj.exe", "CON.jpg", "x.jpg.", "-rf.jpg", "a/b/c.jpg",
    ]  # fmt: skip
    files = [("photos", (name or " ", photo(n), "image/jpeg")) for n, name in enumerate(names)]
    answer = client.post("/v1/jobs", files=files)
    assert answer.status_code == 202, answer.text
    job = store.get_job(api.service.database, "a", answer.json()["id"])
    stored = [file.key for file in api.service.storage.tenant("a").list(job.input)]
    assert len(stored) == len(names)
    assert all(".." not in key.split("/") and key.startswith("uploads/") for key in stored)
    assert answer.headers.get("set-cookie") is None


def test_a_request_over_the_limits_is_refused_early(tmp_path):
    from helpers.api import Api

    with Api(tmp_path, max_request_bytes=60_000, max_file_bytes=9_000, max_files=4).running() as api:
        big = [("photos", ("a.jpg", photo() + bytes(9_000), "image/jpeg"))]
        told = problem(api.client.post("/v1/jobs", files=[*photos(2), *big]), 413, "request_too_large")
        assert told["details"]["max_file_bytes"] == 9_000
        problem(api.client.post("/v1/jobs", files=photos(5)), 413, "request_too_large")
        huge = [("photos", ("a.jpg", photo() + bytes(90_000), "image/jpeg"))]
        problem(api.client.post("/v1/jobs", files=huge), 413, "request_too_large")

        def without_length():
            body, _ = multipart(photos(2) + huge)
            yield from (body[at : at + 5000] for at in range(0, len(body), 5000))

        _, boundary = multipart([])
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        problem(api.client.post("/v1/jobs", content=without_length(), headers=kind), 413, "request_too_large")
        assert list(api.service.storage.tenant("a").list()) == []


def multipart(files) -> tuple[bytes, str]:
    lines = b""
    for field, (name, content, _) in files:
        head = f'--b0\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
        lines += head.encode() + content + b"\r\n"
    return lines + b"--b0--\r\n", "b0"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda body: body[:-20], 400),
        (lambda body: body[: len(body) // 2], 400),
        (lambda body: b"", 400),
        (lambda body: b"nonsense", 400),
        (lambda body: body.replace(b"form-data; ", b""), 400),
        (lambda body: body.replace(b'name="photos"; ', b""), 400),
    ],
)
def test_a_broken_body_is_refused(api, client, change, status):
    body, boundary = multipart(photos())
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    problem(client.post("/v1/jobs", content=change(body), headers=kind), status, "bad_request")
    assert list(api.service.storage.tenant("a").list()) == []


def test_a_tenant_without_room_is_refused(tmp_path):
    from helpers.api import Api

    with Api(tmp_path, tenant_quota_bytes=5_000, tenant_max_waiting=1).running() as api:
        told = problem(api.client.post("/v1/jobs", files=photos()), 429, "quota_exceeded")
        assert told["details"]["quota_bytes"] == 5_000
    with Api(tmp_path / "2", tenant_max_waiting=1).running() as api:
        assert api.client.post("/v1/jobs", files=photos()).status_code == 202
        problem(api.client.post("/v1/jobs", files=photos()), 429, "quota_exceeded")
        assert len({f.key.split("/")[1] for f in api.service.storage.tenant("a").list("uploads")}) == 1


def test_a_large_body_to_a_small_call_is_refused(client):
    answer = client.post(
        "/v1/session", content=b" " * 1_100_000, headers={"Content-Type": "application/json"}
    )
    problem(answer, 413, "request_too_large")
    chunks = (b" " * 100_000 for _ in range(11))
    answer = client.post("/v1/session", content=chunks, headers={"Content-Type": "application/json"})
    problem(answer, 413, "request_too_large")
    problem(
        client.post("/v1/session", content=b"{", headers={"Content-Type": "application/json"}),
        400,
        "bad_request",
    )
    problem(client.post("/v1/session", content=json.dumps({"key": 3})), 422, "input_error")
