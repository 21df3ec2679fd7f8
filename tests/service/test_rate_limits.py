from __future__ import annotations

import re

from helpers.api import Api, problem


def test_each_answer_says_how_much_is_left(api):
    client = api.with_key(api.key(requests_per_minute=10))
    for left in (9, 8):
        answer = client.get("/v1/jobs")
        assert answer.headers["ratelimit-policy"] == '"minute";q=10;w=60'
        assert re.fullmatch(rf'"minute";r={left};t=\d+', answer.headers["ratelimit"])
        assert "retry-after" not in answer.headers


def test_a_key_over_its_limit_is_told_when_to_come_back_and_others_are_not_touched(api):
    client = api.with_key(api.key(requests_per_minute=2))
    assert [client.get("/v1/jobs").status_code for _ in range(2)] == [200, 200]
    answer = client.get("/v1/jobs")
    told = problem(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) == told["details"]["retry_after_s"] <= 60
    assert answer.headers["ratelimit"].startswith('"minute";r=0;')
    assert api.client.get("/v1/jobs").status_code == 200


def test_errors_carry_the_headers_too(api):
    answer = api.client.get("/v1/jobs/00000000-0000-0000-0000-000000000000")
    assert answer.status_code == 404 and "ratelimit" in answer.headers


def test_no_limit_means_no_headers_and_health_is_never_limited(tmp_path):
    with Api(tmp_path, requests_per_minute=0).running() as api:
        assert "ratelimit" not in api.client.get("/v1/jobs").headers
        assert api.anonymous.get("/healthz").status_code == 200
