from __future__ import annotations

import pytest

from helpers.api import Api, photo, problem
from helpers.web_server import web_server


@pytest.fixture
def server():
    with web_server() as running:
        running.answer = lambda asked: (200, {}, photo(int(asked.path[5:6])))
        yield running


@pytest.fixture
def open_api(tmp_path, server):
    """A service that may fetch from this machine."""
    with Api(
        tmp_path, fetch_allowed_networks="127.0.0.0/8", fetch_ports=f"80,{server.port}"
    ).running() as api:
        yield api


def urls(server, count: int = 3) -> list[str]:
    return [server.url(f"/img_{number}.jpg") for number in range(count)]


def stored(api) -> list[str]:
    return [each.key for each in api.service.storage.tenant("a").list()]


def test_photos_by_url_become_a_job(open_api, server):
    answer = open_api.client.post("/v1/jobs", json={"urls": urls(server), "preset": "preview"})
    assert answer.status_code == 202, answer.text
    folder = open_api.service.job(answer.json()["id"]).input
    part = open_api.service.storage.tenant("a")
    assert b"".join(part.get(f"{folder}/img_2.jpg")) == photo(2)
    assert {asked.method for asked in server.asked} == {"GET"}


def test_an_address_of_this_machine_is_refused_and_nothing_is_asked(api, server):
    told = problem(api.client.post("/v1/jobs", json={"urls": urls(server)}), 422, "fetch_refused")
    assert "Port" in told["detail"]
    inner = [f"http://127.0.0.1/{n}.jpg" for n in range(3)]
    told = problem(api.client.post("/v1/jobs", json={"urls": inner}), 422, "fetch_refused")
    assert told["details"]["url"] in inner
    assert server.asked == [] and stored(api) == []


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ((404, {}, b""), 422, "fetch_failed"),
        ((200, {}, b"<html>not a photo</html>"), 415, "unsupported_type"),
        ((302, {"Location": "http://169.254.169.254/"}, b""), 422, "fetch_refused"),
        ((200, {}, b""), 415, "unsupported_type"),
    ],
)
def test_one_bad_file_is_named_and_nothing_of_the_upload_stays(open_api, server, answer, status, code):
    good = server.answer
    server.answer = lambda asked: answer if "img_1" in asked.path else good(asked)
    told = problem(open_api.client.post("/v1/jobs", json={"urls": urls(server)}), status, code)
    assert told["details"]["url"].endswith("/img_1.jpg")
    assert stored(open_api) == []


def test_too_few_urls_are_refused_before_anything_is_fetched(open_api, server):
    problem(open_api.client.post("/v1/jobs", json={"urls": urls(server, 2)}), 422, "too_few_views")
    assert server.asked == []
