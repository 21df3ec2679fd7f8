from __future__ import annotations

import collections
import math
import threading

import pytest

from jobs.conftest import age
from objectscan.errors import BadMasks, WorkerLost
from objectscan.jobs import claims, store
from objectscan.jobs.claims import Limits, StageProgress
from objectscan.jobs.events import events_after
from objectscan.jobs.store import NewJob

LIMITS = Limits(max_attempts=3, backoff_cap_s=300)
ERROR = WorkerLost("Gone.", hint="Wait.", details={"n": math.nan})
HALF = StageProgress("shape", 0.5, 0.25, 12.0)
RESULT = {"folder": "jobs/x/1", "files": []}


@pytest.fixture
def job_id(database):
    return store.submit(database, NewJob("a", "uploads/1", preset="preview"))[0].id


def look(database, job_id):
    return store.get_job(database, "a", job_id)


def claim(database, owner="w1"):
    return claims.claim(database, owner, 60)


def test_a_claimed_job_is_nobody_elses(database, job_id):
    job = claim(database)
    assert (job.id, job.state, job.owner, job.attempt) == (job_id, "running", "w1", 1)
    assert claim(database, "w2") is None
    assert job.lease_until - job.started_at == pytest.approx(60, abs=0.01)


def test_six_workers_that_claim_at_once_get_each_job_once(database):
    ids = {store.submit(database, NewJob("abc"[n % 3], "uploads/1"))[0].id for n in range(60)}
    got: list[str] = []

    def work(owner):
        while (job := claim(database, owner)) is not None:
            got.append(job.id)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collections.Counter(got) == collections.Counter(ids)


def test_a_beat_renews_the_lease_and_writes_progress(database, job_id):
    job = claim(database)
    age(database, job_id, "lease_until", 5)
    assert claims.beat(database, job, 60, HALF, tell=True) == "go on"
    found = look(database, job_id)
    assert (found.stage, found.fraction, found.remaining_s) == ("shape", 0.25, 12.0)
    assert found.lease_until > job.started_at + 50
    assert [event.kind for event in events_after(database, "a", 0)] == ["queued", "started", "progress"]


def test_a_cancelled_jobs_worker_hears_it_with_its_next_beat(database, job_id):
    job = claim(database)
    assert claims.listen(database, job) == "go on"
    assert store.cancel(database, "a", job_id).state == "running"
    assert claims.listen(database, job) == "cancel"
    assert claims.beat(database, job, 60, None, tell=False) == "cancel"
    assert claims.end_cancelled(database, job) and look(database, job_id).state == "cancelled"


def test_a_result_that_comes_after_the_cancellation_is_not_delivered(database, job_id):
    job = claim(database)
    store.cancel(database, "a", job_id)
    assert not claims.succeed(database, job, artifacts=RESULT, summary=None)
    assert claims.end_cancelled(database, job)
    assert look(database, job_id).artifacts is None


def test_the_final_write_moves_the_pointer_and_frees_the_job(database, job_id):
    job = claim(database)
    assert claims.succeed(database, job, artifacts=RESULT, summary={"grade": "high"})
    found = look(database, job_id)
    assert (found.state, found.artifacts, found.summary) == ("succeeded", RESULT, {"grade": "high"})
    assert (found.owner, found.lease_until, found.fraction) == (None, None, 1.0)
    assert found.finished_at is not None and found.is_finished


def test_who_lost_the_lease_can_write_nothing_any_more(database, job_id):
    old = claim(database, "w1")
    age(database, job_id, "lease_until", 1)
    assert claims.reap(database, LIMITS) == [job_id]
    age(database, job_id, "not_before", 1)
    new = claim(database, "w2")
    assert claims.listen(database, old) == "lost"
    assert claims.beat(database, old, 60, HALF, tell=True) == "lost"
    assert not claims.succeed(database, old, artifacts=RESULT, summary=None)
    assert not claims.fail(database, old, ERROR)
    assert not claims.try_again(database, old, ERROR, LIMITS)
    assert not claims.give_back(database, old)
    assert not claims.end_cancelled(database, old)
    assert look(database, job_id) == new and (new.attempt, new.failures) == (2, 1)
    assert claims.succeed(database, new, artifacts=RESULT, summary=None)
    assert [event.kind for event in events_after(database, "a", 0)].count("succeeded") == 1


def test_the_same_worker_with_an_older_attempt_can_write_nothing_either(database, job_id):
    old = claim(database)
    assert claims.give_back(database, old)
    new = claim(database)
    assert new.owner == old.owner and new.attempt == 2
    assert claims.listen(database, old) == "lost" and claims.listen(database, new) == "go on"


def test_a_job_that_is_given_back_is_next_at_once_and_its_attempt_does_not_count(database, job_id):
    for _ in range(5):  # more often than a job may fail
        assert claims.give_back(database, claim(database))
    found = look(database, job_id)
    assert (found.state, found.failures, found.attempt) == ("queued", 0, 5)


def test_a_living_lease_is_not_reaped(database, job_id):
    claim(database)
    assert claims.reap(database, LIMITS) == [] and look(database, job_id).state == "running"


def test_a_worker_that_wakes_up_while_it_is_reaped_keeps_its_job(database, job_id, monkeypatch):
    job, reap_one = claim(database), claims._reap_one
    age(database, job_id, "lease_until", 1)

    def after_a_beat(*arguments):
        assert claims.beat(database, job, 60, None, tell=False) == "go on"
        return reap_one(*arguments)

    monkeypatch.setattr(claims, "_reap_one", after_a_beat)
    assert claims.reap(database, LIMITS) == [] and look(database, job_id).state == "running"


def test_the_third_lost_worker_fails_the_job(database, job_id):
    for failures in (1, 2, 3):
        claim(database)
        age(database, job_id, "lease_until", 1)
        assert claims.reap(database, LIMITS) == ([job_id] if failures < 3 else [])
        if failures < 3:
            assert claim(database) is None  # backing off
            age(database, job_id, "not_before", 1)
    found = look(database, job_id)
    assert (found.state, found.failures, found.error["code"]) == ("failed", 3, "worker_lost")


def test_a_lost_job_that_was_to_be_cancelled_is_cancelled(database, job_id):
    claim(database)
    store.cancel(database, "a", job_id)
    age(database, job_id, "lease_until", 1)
    assert claims.reap(database, LIMITS) == [] and look(database, job_id).state == "cancelled"


def test_another_try_waits_longer_each_time_and_carries_its_changes(database, job_id):
    waits = []
    for _ in range(2):
        job = claim(database)
        assert claims.try_again(database, job, ERROR, LIMITS, changes={"recipe": {"preset": "preview"}})
        found = look(database, job_id)
        waits.append(found.not_before - job.started_at)
        assert (found.state, found.recipe, found.owner) == ("queued", {"preset": "preview"}, None)
        assert found.error["code"] == "worker_lost" and found.error["details"] == {"n": None}  # was NaN
        age(database, job_id, "not_before", 1)
    assert 2.0 <= waits[0] < 4.0 <= waits[1] < 8.0
    assert claims.try_again(database, claim(database), ERROR, LIMITS)
    assert look(database, job_id).state == "failed"


def test_backoff_is_capped_however_often_a_job_fails():
    assert [LIMITS.backoff_s(n) for n in (1, 2, 3, 8, 9, 5000)] == [2, 4, 8, 256, 300, 300]


def test_a_failure_keeps_its_report(database, job_id):
    error = BadMasks("The mask of 'a.png' is empty.", hint="Make another.")
    assert claims.fail(database, claim(database), error, artifacts=RESULT)
    found = look(database, job_id)
    assert (found.state, found.error["code"], found.artifacts) == ("failed", "bad_masks", RESULT)


def test_a_retried_job_starts_with_a_clean_record(database, job_id):
    claims.fail(database, claim(database), ERROR, artifacts=RESULT)
    found = store.retry(database, "a", job_id)
    assert (found.state, found.failures, found.error, found.artifacts) == ("queued", 0, None, None)
    assert claim(database).attempt == 2
