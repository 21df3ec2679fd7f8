from __future__ import annotations

import json
import threading

import pytest
import sqlalchemy as sa
from standardwebhooks.webhooks import Webhook

from helpers.api import Api, made, problem
from helpers.servers import until
from helpers.web_server import web_server
from objectscan.jobs.database import now
from objectscan.jobs.model import webhook_deliveries
from objectscan.jobs.model import webhooks as hooks_table
from objectscan.service import webhooks
from objectscan.service.webhooks import RETRY_AFTER_S


@pytest.fixture
def server():
    with web_server() as running:
        yield running


@pytest.fixture
def api(tmp_path, server):
    with Api(
        tmp_path, fetch_allowed_networks="127.0.0.0/8", fetch_ports=f"80,{server.port}"
    ).running() as made:
        yield made


def hook(api, server, **values):
    answer = api.client.post("/v1/webhooks", json={"url": server.url("/hook"), **values})
    assert answer.status_code == 201, answer.text
    return answer.json()


def log(api, webhook):
    return api.client.get(f"/v1/webhooks/{webhook['id']}/deliveries").json()["deliveries"]


def test_what_happens_is_told_with_a_signature_that_verifies(api, server):
    webhook = hook(api, server)
    job = made(api.client)
    api.client.post(job["urls"]["cancel"])
    until(lambda: len(server.asked) == 2, timeout_s=15, what="two messages")
    for asked in server.asked:
        told = Webhook(webhook["secret"]).verify(asked.body, asked.headers)
        assert told["data"]["job_id"] == job["id"]
        with pytest.raises(Exception, match="signature"):
            Webhook(webhook["secret"]).verify(asked.body + b" ", asked.headers)
    kinds = [json.loads(asked.body)["type"] for asked in server.asked]
    assert sorted(kinds) == ["job.cancelled", "job.queued"]
    until(lambda: {each["state"] for each in log(api, webhook)} == {"delivered"}, timeout_s=5, what="the log")
    assert webhook["secret"].startswith("whsec_")
    assert "secret" not in api.client.get(f"/v1/webhooks/{webhook['id']}").json()


def test_only_the_events_that_were_asked_for_are_told(api, server):
    webhook = hook(api, server, events=["cancelled"])
    job = made(api.client)
    api.client.post(job["urls"]["cancel"])
    until(lambda: server.asked, timeout_s=15, what="a message")
    assert [each["kind"] for each in log(api, webhook)] == ["cancelled"]


def test_the_test_button_says_at_once_how_it_went(api, server):
    webhook = hook(api, server)
    answer = api.client.post(f"/v1/webhooks/{webhook['id']}/test")
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["status"]) == ("delivered", 200)
    server.answer = lambda asked: (500, {}, b"broken")
    told = api.client.post(f"/v1/webhooks/{webhook['id']}/test").json()
    assert (told["state"], told["attempts"], told["status"]) == ("pending", 1, 500)
    assert "broken" in told["error"]


def test_a_message_is_sent_again_with_the_same_id_until_it_is_taken(api, server):
    webhook = hook(api, server)
    server.answer = lambda asked: (503, {}, b"")
    api.client.post(f"/v1/webhooks/{webhook['id']}/test")
    server.answer = lambda asked: (204, {}, b"")
    with api.service.database.writing() as connection:
        connection.execute(sa.update(webhook_deliveries).values(next_at=0.0))
    until(lambda: log(api, webhook)[0]["state"] == "delivered", timeout_s=15, what="the second attempt")
    assert len({asked.headers["webhook-id"] for asked in server.asked}) == 1
    assert log(api, webhook)[0]["attempts"] == 2


def test_after_about_a_day_a_message_is_given_up():
    assert 23 * 3600 < sum(RETRY_AFTER_S) < 25 * 3600
    assert list(RETRY_AFTER_S) == sorted(RETRY_AFTER_S)


def test_each_failed_attempt_waits_longer_and_the_last_one_ends_it(api, server):
    database = api.service.database
    row = webhooks.add_webhook(database, "z", "http://192.0.2.1/", [])
    delivery_id = webhooks.add_test(database, row)
    for attempt, wait_s in enumerate(RETRY_AFTER_S, start=1):
        (claimed,) = webhooks.claim(database, only=delivery_id)
        assert claimed.attempts == attempt
        webhooks.record(database, claimed, 500, "no")
        with database.reading() as connection:
            left = connection.execute(sa.select(webhook_deliveries.c.next_at - now())).scalar()
        assert left == pytest.approx(wait_s, abs=5)
        with database.writing() as connection:
            connection.execute(sa.update(webhook_deliveries).values(next_at=0.0))
    (claimed,) = webhooks.claim(database, only=delivery_id)
    webhooks.record(database, claimed, 500, "no")
    assert webhooks.get_delivery(database, delivery_id).state == "failed"
    assert webhooks.claim(database, only=delivery_id) == []


def test_a_receiver_that_is_gone_is_left_alone(api, server):
    webhook = hook(api, server)
    server.answer = lambda asked: (410, {}, b"")
    assert api.client.post(f"/v1/webhooks/{webhook['id']}/test").json()["state"] == "failed"
    assert api.client.get(f"/v1/webhooks/{webhook['id']}").json()["stopped_at"]
    made(api.client)
    assert webhooks.collect(api.service.database) == 0


def test_several_processes_make_and_send_each_message_once(api, server):
    database = api.service.database
    for _ in range(20):
        api.service.submit(tenant="z")
    row = webhooks.add_webhook(database, "z", "http://192.0.2.1/", ["queued"])
    with database.writing() as connection:  # stopped, so that the api's own loop does not take part
        connection.execute(sa.update(hooks_table).values(seen_event=0))
    counts, claimed = [], []

    def work():
        counts.append(webhooks.collect(database))
        claimed.extend(each.id for each in webhooks.claim(database, limit=50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(webhooks.deliveries_of(database, row.id)) == 20
    assert len(claimed) == len(set(claimed)) <= 20
    assert {each.attempts for each in webhooks.deliveries_of(database, row.id)} <= {0, 1}


def test_addresses_of_this_machine_get_nothing(tmp_path):
    with Api(tmp_path / "closed").running() as closed:
        problem(
            closed.client.post("/v1/webhooks", json={"url": "http://127.0.0.1:8000/x"}), 422, "fetch_refused"
        )
        inner = closed.client.post("/v1/webhooks", json={"url": "http://127.0.0.1/x"}).json()
        told = closed.client.post(f"/v1/webhooks/{inner['id']}/test").json()
        assert told["status"] is None and "not a public address" in told["error"]


def test_webhooks_belong_to_their_tenant(api, server):
    webhook = hook(api, server)
    other = api.with_key(api.key("b"))
    path = f"/v1/webhooks/{webhook['id']}"
    for answer in (
        other.get(path), other.delete(path), other.post(f"{path}/test"), other.get(f"{path}/deliveries")
    ):  # fmt: skip
        problem(answer, 404, "not_found")
    assert other.get("/v1/webhooks").json() == {"webhooks": []}
    assert [each["id"] for each in api.client.get("/v1/webhooks").json()["webhooks"]] == [webhook["id"]]
    assert api.client.delete(path).status_code == 204
    problem(api.client.get(path), 404, "not_found")


def test_unknown_events_and_too_many_webhooks_are_refused(api, server):
    answer = api.client.post("/v1/webhooks", json={"url": server.url("/"), "events": ["progress"]})
    problem(answer, 422, "input_error")
    for _ in range(20):
        hook(api, server)
    answer = api.client.post("/v1/webhooks", json={"url": server.url("/")})
    problem(answer, 429, "quota_exceeded")
