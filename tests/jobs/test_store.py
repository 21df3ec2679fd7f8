from __future__ import annotations

import json
import threading

import pytest
import sqlalchemy as sa

from jobs.conftest import age
from objectscan.errors import (
    BadKey,
    BadRecipe,
    IdempotencyConflict,
    InputError,
    QuotaExceeded,
    UnknownJob,
    WrongState,
)
from objectscan.jobs import claims, store
from objectscan.jobs.events import events_after
from objectscan.jobs.model import idempotency_keys
from objectscan.jobs.store import Filters, Idempotency, NewJob
from objectscan.recipes import expanded, recipe_for


def submit(database, tenant="a", **options):
    return store.submit(database, NewJob(tenant, "uploads/1", **options))[0]


def finish(database, job_id=None):
    job = claims.claim(database, "worker", 60)
    assert job_id is None or job.id == job_id
    assert claims.succeed(database, job, artifacts={"folder": "f", "files": []}, summary=None)
    return job


def test_a_submitted_job_waits_with_its_full_recipe(database):
    job = submit(database, preset="preview", overrides={"budget.faces": 500}, seed=3, notes={"x": [1, None]})
    found = store.get_job(database, "a", job.id)
    assert found == job and found.state == "queued" and found.attempt == 0
    assert found.recipe["budget"]["faces"] == 500 and found.notes == {"x": [1, None]}
    assert found.recipe == json.loads(json.dumps(expanded(recipe_for("preview", {"budget.faces": 500}))))


def test_a_wrong_recipe_or_priority_is_refused_before_anything_is_written(database):
    with pytest.raises(BadRecipe, match="facess"):
        submit(database, overrides={"budget.facess": 1})
    numbers = [{"priority": 10}, {"seed": -1}, {"seed": 2**63}]
    for wrong in (*numbers, {"tags": ("x" * 64,)}, {"external_id": "a\0"}, {"tenant": "A"}):
        with pytest.raises(InputError):
            submit(database, **wrong)
    with pytest.raises(BadKey):
        store.submit(database, NewJob("a", "../b"))
    with pytest.raises(InputError, match="key"):
        store.submit(database, NewJob("a", "uploads/1"), idempotency=Idempotency("k" * 256, "h"))
    assert store.list_jobs(database, "a").jobs == []


def test_another_tenants_job_can_be_neither_seen_nor_changed(database):
    job = submit(database, tenant="a")
    for action in (store.get_job, store.cancel, store.retry, store.delete):
        with pytest.raises(UnknownJob, match=job.id):
            action(database, "b", job.id)
    assert store.list_jobs(database, "b").jobs == []
    assert events_after(database, "b", 0) == []
    assert store.get_job(database, "a", job.id).state == "queued"


def test_the_same_idempotency_key_gives_the_same_job(database):
    key = Idempotency("k", "hash")
    first, is_new = store.submit(database, NewJob("a", "uploads/1"), idempotency=key)
    again, is_new_again = store.submit(database, NewJob("a", "uploads/2"), idempotency=key)
    assert (first.id, is_new, is_new_again) == (again.id, True, False)
    other, _ = store.submit(database, NewJob("b", "uploads/1"), idempotency=key)
    assert other.id != first.id


def test_an_idempotency_key_of_another_request_is_refused(database):
    store.submit(database, NewJob("a", "uploads/1"), idempotency=Idempotency("k", "one"))
    with pytest.raises(IdempotencyConflict, match="'k'"):
        store.submit(database, NewJob("a", "uploads/1"), idempotency=Idempotency("k", "two"))
    assert len(store.list_jobs(database, "a").jobs) == 1


def test_an_idempotency_key_is_forgotten_after_a_day(database):
    key = Idempotency("k", "one")
    first, _ = store.submit(database, NewJob("a", "uploads/1"), idempotency=key)
    with database.writing() as connection:
        older = idempotency_keys.c.created_at - store.IDEMPOTENCY_S - 1
        connection.execute(sa.update(idempotency_keys).values(created_at=older))
    second, is_new = store.submit(database, NewJob("a", "uploads/1"), idempotency=Idempotency("k", "two"))
    assert is_new and second.id != first.id


def test_the_same_request_sent_eight_times_at_once_makes_one_job(database):
    answers = []

    def send():
        answers.append(store.submit(database, NewJob("a", "uploads/1"), idempotency=Idempotency("k", "h")))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job, _ in answers}) == 1 and sum(is_new for _, is_new in answers) == 1


def test_a_tenant_with_too_many_waiting_jobs_is_refused_and_others_are_not(database):
    for _ in range(2):
        store.submit(database, NewJob("a", "uploads/1"), max_waiting=2)
    with pytest.raises(QuotaExceeded, match="2 jobs wait"):
        store.submit(database, NewJob("a", "uploads/1"), max_waiting=2)
    store.submit(database, NewJob("b", "uploads/1"), max_waiting=2)


def test_pages_run_from_new_to_old_and_new_jobs_shift_none(database):
    ids = [submit(database).id for _ in range(5)]
    first = store.list_jobs(database, "a", limit=2)
    submit(database)
    second = store.list_jobs(database, "a", cursor=first.next_cursor, limit=2)
    third = store.list_jobs(database, "a", cursor=second.next_cursor, limit=2)
    assert [job.id for page in (first, second, third) for job in page.jobs] == ids[::-1]
    assert third.next_cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "bg", "bi0x", "ü", "bjE7RFJPUA"])
def test_a_cursor_that_is_not_ours_is_refused(database, cursor):
    with pytest.raises(InputError, match="cursor"):
        store.list_jobs(database, "a", cursor=cursor)


def test_lists_are_filtered_by_state_tag_external_id_and_time(database):
    one = submit(database, tags=("red", "red", "big"), external_id="x")
    two = submit(database, tags=("blue",))
    store.cancel(database, "a", two.id)

    def ids(**filters):
        return {job.id for job in store.list_jobs(database, "a", Filters(**filters)).jobs}

    assert ids(states=("queued",)) == {one.id} and ids(states=("queued", "cancelled")) == {one.id, two.id}
    assert ids(tag="red") == {one.id} and ids(tag="green") == set()
    assert ids(external_id="x") == {one.id}
    age(database, one.id, "created_at", 1000)
    assert ids(created_before=two.created_at - 500) == {one.id}
    assert ids(created_after=two.created_at - 500) == {two.id}
    assert store.tags_of(database, [one.number, two.number]) == {
        one.number: ("big", "red"), two.number: ("blue",),
    }  # fmt: skip


@pytest.mark.parametrize("limit", [0, 201])
def test_a_page_has_one_to_two_hundred_jobs(database, limit):
    with pytest.raises(InputError, match=str(limit)):
        store.list_jobs(database, "a", limit=limit)


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(database):
    job = submit(database)
    assert store.cancel(database, "a", job.id).state == "cancelled"
    assert claims.claim(database, "worker", 60) is None
    assert store.cancel(database, "a", job.id).state == "cancelled"  # again: nothing changes


def test_cancelling_a_finished_job_changes_nothing(database):
    job = submit(database)
    finish(database)
    assert store.cancel(database, "a", job.id).state == "succeeded"


def test_a_cancelled_job_is_retried_from_its_first_attempt_count(database):
    job = submit(database)
    store.cancel(database, "a", job.id)
    assert store.retry(database, "a", job.id).state == "queued"
    assert claims.claim(database, "worker", 60).id == job.id


@pytest.mark.parametrize("state", ["queued", "running", "succeeded"])
def test_a_job_that_did_not_fail_is_not_retried(database, state):
    job = submit(database)
    if state == "running":
        claims.claim(database, "worker", 60)
    if state == "succeeded":
        finish(database)
    with pytest.raises(WrongState, match=state):
        store.retry(database, "a", job.id)


def test_a_deleted_job_leaves_one_event_and_nothing_else(database):
    job = submit(database, tags=("t",))
    with pytest.raises(WrongState, match="queued"):
        store.delete(database, "a", job.id)
    finish(database)
    store.delete(database, "a", job.id)
    with pytest.raises(UnknownJob):
        store.get_job(database, "a", job.id)
    assert [event.kind for event in events_after(database, "a", 0)] == ["deleted"]
    assert store.tags_of(database, [job.number]) == {job.number: ()}


def test_numbers_of_deleted_jobs_are_not_used_again(database):
    first = submit(database)
    finish(database)
    store.delete(database, "a", first.id)
    assert submit(database).number > first.number
