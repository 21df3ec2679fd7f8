from __future__ import annotations

import asyncio
import ipaddress
import socket
import time

import pytest

from helpers.web_server import web_server
from objectscan.errors import BadServiceSetup, FetchFailed, FetchRefused
from objectscan.service import guarded_http
from objectscan.service.guarded_http import FetchRules, fetch, fetch_rules, may_be_reached, post, require_url
from objectscan.settings import settings_from

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
def server():
    with web_server() as running:
        yield running


def rules(server, **values):
    given = {"timeout_s": 5.0, "max_bytes": 1000, "allowed_networks": LOOPBACK, **values}
    return FetchRules(ports=frozenset({80, 443, server.port}), **given)


async def _get(url, wanted):
    async with fetch(url, wanted) as answer:
        return answer.status, b"".join([chunk async for chunk in answer.body])


def get(url, wanted):
    return asyncio.run(_get(url, wanted))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "192.0.2.1", "198.18.0.1", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1",
        "fec0::1", "fd00::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "fd00:ec2::254", "::ffff:0:127.0.0.1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_not_reached(text):
    assert not may_be_reached(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"])
def test_public_addresses_are_reached(text):
    assert may_be_reached(ipaddress.ip_address(text))


def test_networks_that_the_operator_allows_are_reached_in_both_spellings():
    allowed = [ipaddress.ip_network("10.0.0.0/8")]
    assert may_be_reached(ipaddress.ip_address("10.1.2.3"), allowed)
    assert may_be_reached(ipaddress.ip_address("::ffff:10.1.2.3"), allowed)
    assert not may_be_reached(ipaddress.ip_address("192.168.0.1"), allowed)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://8.8.8.8/x", "gopher://8.8.8.8/", "http://user:pw@8.8.8.8/", "http://",
        "http://8.8.8.8:22/", "http://8.8.8.8:0/", "http://8.8.8.8:99999/", "http://a b/", "//8.8.8.8/x",
        "http://8.8.8.8/\r\nX: y", "http://\u0435xample.org/", "http://[::1/", "http://x/" + 2000 * "a",
    ],
)  # fmt: skip
def test_what_is_no_plain_web_address_is_refused(url):
    with pytest.raises(FetchRefused):
        require_url(url, FetchRules(1.0, 1))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0",
     "169.254.169.254", "[64:ff9b::7f00:1]"],
)  # fmt: skip
def test_no_spelling_of_an_own_address_is_connected_to(server, host):
    with pytest.raises(FetchRefused, match="not a public address"):
        get(f"http://{host}:{server.port}/", rules(server, allowed_networks=()))
    assert server.asked == []


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(server, monkeypatch):
    """A name that turns internal between judging and connecting gains nothing."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked = []

    async def answering(host, port, timeout_s):
        asked.append(host)
        return [ipaddress.ip_address(text) for text in answers.pop(0)]

    monkeypatch.setattr(guarded_http, "resolve", answering)
    server.answer = lambda request: (200, {}, b"seen")
    url = server.url("/", host="rebinding.test")
    assert get(url, rules(server)) == (200, b"seen")
    assert asked == ["rebinding.test"]
    assert server.asked[0].headers["host"] == f"rebinding.test:{server.port}"
    with pytest.raises(FetchRefused):
        get(url, rules(server))


def test_one_bad_address_spoils_a_name(server, monkeypatch):
    async def mixed(host, port, timeout_s):
        return [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("10.0.0.1")]

    monkeypatch.setattr(guarded_http, "resolve", mixed)
    with pytest.raises(FetchRefused):
        get(server.url("/"), rules(server))


def test_a_redirect_is_judged_like_the_first_address(server):
    server.answer = lambda asked: (302, {"Location": "http://169.254.169.254/latest/meta-data/"}, b"")
    with pytest.raises(FetchRefused):
        get(server.url("/"), rules(server))
    server.answer = lambda asked: (302, {"Location": "file:///etc/passwd"}, b"")
    with pytest.raises(FetchRefused):
        get(server.url("/"), rules(server))


def test_three_redirects_are_followed_and_a_fourth_is_not(server):
    def hops(asked):
        left = int(asked.path[1:])
        return (302, {"Location": f"/{left - 1}"}, b"") if left else (200, {}, b"end")

    server.answer = hops
    assert get(server.url("/3"), rules(server)) == (200, b"end")
    with pytest.raises(FetchFailed, match="redirects"):
        get(server.url("/4"), rules(server))


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "5000"}])
def test_a_body_over_the_limit_is_cut_off(server, headers):
    server.answer = lambda asked: (200, headers, 5000 * b"x")
    with pytest.raises(FetchFailed, match="1000 bytes"):
        get(server.url("/"), rules(server))


def test_a_compressed_body_is_not_taken(server):
    server.answer = lambda asked: (200, {"Content-Encoding": "gzip"}, b"x")
    with pytest.raises(FetchFailed, match="compresses"):
        get(server.url("/"), rules(server))
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_a_slow_server_is_left(server):
    server.answer = lambda asked: (time.sleep(1.5), (200, {}, b""))[1]
    began = time.monotonic()
    with pytest.raises(FetchFailed, match=r"0\.3 s"):
        get(server.url("/"), rules(server, timeout_s=0.3))
    assert time.monotonic() - began < 1.2


def test_a_server_that_is_not_there_is_told(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        wanted = FetchRules(2.0, 10, frozenset({port}), LOOPBACK)
        with pytest.raises(FetchFailed, match="does not answer"):
            get(f"http://127.0.0.1:{port}/", wanted)


def test_proxies_of_the_environment_are_not_used(server, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert get(server.url("/"), rules(server))[0] == 200


def test_a_post_does_not_follow_redirects(server):
    server.answer = lambda asked: (307, {"Location": "/other"}, b"there")
    status, body, headers = asyncio.run(post(server.url("/"), b"{}", {"a-b": "c"}, rules(server)))
    assert (status, body, headers["location"]) == (307, b"there", "/other")
    assert [(asked.method, asked.path, asked.body) for asked in server.asked] == [("POST", "/", b"{}")]
    assert server.asked[0].headers["a-b"] == "c"


def test_the_settings_make_the_rules():
    settings = settings_from(
        {"OBJECTSCAN_FETCH_ALLOWED_NETWORKS": "10.0.0.0/8, fd00::/8", "OBJECTSCAN_FETCH_PORTS": "8080"}
    )
    made = fetch_rules(settings, timeout_s=1.0, max_bytes=2)
    assert made.ports == {8080} and len(made.allowed_networks) == 2
    with pytest.raises(BadServiceSetup):
        fetch_rules(
            settings_from({"OBJECTSCAN_FETCH_ALLOWED_NETWORKS": "10.0.0.1/8"}), timeout_s=1, max_bytes=1
        )
