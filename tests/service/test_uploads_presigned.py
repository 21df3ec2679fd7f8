from __future__ import annotations

import httpx
import pytest

from helpers.api import Api, photo, problem
from helpers.s3 import s3_bucket


@pytest.fixture
def s3_api(tmp_path):
    with s3_bucket("objects") as url, Api(tmp_path, storage_url=url).running() as api:
        yield api


def signed(api, bodies: dict[str, bytes]):
    files = [{"name": name, "size_bytes": len(body)} for name, body in bodies.items()]
    answer = api.client.post("/v1/presigned", json={"files": files})
    assert answer.status_code == 200, answer.text
    return answer.json()


def bodies(count: int = 3) -> dict[str, bytes]:
    return {f"IMG_{number}.jpg": photo(number) for number in range(count)}


def send(told, sent: dict[str, bytes]) -> None:
    for upload in told["uploads"]:
        if upload["name"] in sent:
            answer = httpx.request(upload["method"], upload["url"], content=sent[upload["name"]])
            assert answer.status_code == 200, answer.text


def test_photos_put_to_s3_without_a_key_become_a_job(s3_api):
    told = signed(s3_api, bodies())
    send(told, bodies())
    answer = s3_api.client.post("/v1/jobs", json={"input": told["input"], "preset": "preview"})
    assert answer.status_code == 202, answer.text
    folder = s3_api.service.job(answer.json()["id"]).input
    names = [each.key.rpartition("/")[2] for each in s3_api.service.storage.tenant("a").list(folder)]
    assert sorted(names) == sorted(bodies())


def test_a_file_of_another_size_or_kind_or_a_missing_one_makes_no_job(s3_api):
    told = signed(s3_api, bodies())
    send(told, {**bodies(), "IMG_1.jpg": photo(1) + b"more"})
    refused = problem(s3_api.client.post("/v1/jobs", json={"input": told["input"]}), 422, "input_error")
    assert refused["details"]["file"] == "IMG_1.jpg"
    told = signed(s3_api, bodies())
    send(told, {"IMG_0.jpg": photo(0), "IMG_1.jpg": photo(1)})
    refused = problem(s3_api.client.post("/v1/jobs", json={"input": told["input"]}), 422, "input_error")
    assert "IMG_2.jpg" in refused["detail"]
    script = {**bodies(), "IMG_1.jpg": b"#!/bin/sh\n" * 20}
    told = signed(s3_api, script)
    send(told, script)
    problem(s3_api.client.post("/v1/jobs", json={"input": told["input"]}), 415, "unsupported_type")


def test_another_tenants_input_is_unknown(s3_api):
    told = signed(s3_api, bodies())
    send(told, bodies())
    other = s3_api.with_key(s3_api.key("b"))
    problem(other.post("/v1/jobs", json={"input": told["input"]}), 404, "not_found")


def test_a_signed_address_is_good_for_its_file_and_for_putting_only(s3_api):
    told = signed(s3_api, bodies())
    url = httpx.URL(told["uploads"][0]["url"])
    assert "/tenants/a/" in url.path and "X-Amz-Signature" in url.params


def test_a_large_file_goes_to_s3_in_parts_and_a_range_of_it_comes_back(s3_api):
    part = s3_api.service.storage.tenant("a")
    chunk = bytes(range(256)) * 4096  # 1 MiB
    written = part.put("jobs/x/1/model.glb", (chunk for _ in range(14)))
    assert written.size_bytes == 14 * len(chunk)
    middle = b"".join(part.get("jobs/x/1/model.glb", start=5_000_000, stop=5_000_300))
    assert middle == (14 * chunk)[5_000_000:5_000_300]
    link = part.link("jobs/x/1/model.glb", expires_s=60)
    ranged = httpx.get(link, headers={"Range": "bytes=9000000-9000099"})
    assert ranged.status_code == 206 and ranged.content == (14 * chunk)[9_000_000:9_000_100]


def test_limits_are_told_before_anything_is_signed(s3_api):
    files = [{"name": "a.jpg", "size_bytes": 10**9}]
    problem(s3_api.client.post("/v1/presigned", json={"files": files}), 413, "request_too_large")


def test_a_storage_on_the_disk_signs_nothing(client):
    files = [{"name": "a.jpg", "size_bytes": 10}]
    problem(client.post("/v1/presigned", json={"files": files}), 409, "not_supported")
