from __future__ import annotations

from objectscan.jobs import claims, store
from objectscan.jobs.store import NewJob


def add(database, tenants, **options):
    return [store.submit(database, NewJob(tenant, "uploads/1", **options))[0] for tenant in tenants]


def served(database, count):
    return "".join(claims.claim(database, "w", 60).tenant for _ in range(count))


def test_a_tenant_with_one_job_does_not_wait_for_another_with_many(database):
    add(database, "aaab")
    assert served(database, 4) == "abaa"


def test_tenants_take_turns(database):
    add(database, "aaabbbc")
    assert served(database, 7) == "abcabab"


def test_a_higher_priority_goes_before_all_turns(database):
    add(database, "aab")
    urgent = add(database, "a", priority=9)[0]
    assert claims.claim(database, "w", 60).id == urgent.id


def test_within_a_tenant_the_oldest_goes_first(database):
    jobs = add(database, "aaa")
    assert [claims.claim(database, "w", 60).id for _ in range(3)] == [job.id for job in jobs]


def test_what_started_more_than_an_hour_ago_does_not_count(database):
    from jobs.conftest import age

    add(database, "aa")
    first = claims.claim(database, "w", 60)
    add(database, "b")
    age(database, first.id, "started_at", 3700)
    assert served(database, 2) == "ab"  # equal shares: the older job


def test_positions_are_the_order_in_which_jobs_are_served(database):
    jobs = add(database, "aaabbc") + add(database, "c", priority=8)
    told = {job.id: store.position_of(database, job) for job in jobs}
    assert sorted(told.values()) == [1, 2, 3, 4, 5, 6, 7]
    order = [claims.claim(database, "w", 60).id for _ in jobs]
    # The urgent job of c counts as one of c's last hour once it started: only places behind it may move.
    assert told[order[0]] == 1
    assert store.position_of(database, jobs[0]) is None


def test_a_job_that_backs_off_is_passed_over(database):
    from objectscan.errors import WorkerLost

    first, second = add(database, "aa")
    claimed = claims.claim(database, "w", 60)
    claims.try_again(database, claimed, WorkerLost("Gone."), claims.Limits(3, 300))
    assert claims.claim(database, "w", 60).id == second.id and claimed.id == first.id
