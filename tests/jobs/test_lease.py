from __future__ import annotations

import time

import pytest

from helpers.servers import until
from objectscan.errors import DatabaseFailed
from objectscan.jobs import claims, lease, store
from objectscan.jobs.claims import StageProgress
from objectscan.jobs.events import events_after
from objectscan.jobs.lease import LeaseKeeper
from objectscan.jobs.store import NewJob


@pytest.fixture
def job(service):
    store.submit(service.database, NewJob("a", "uploads/1"))
    return claims.claim(service.database, "w", 30)


def keeper(service, job, lease_s=30.0):
    return LeaseKeeper(service.database, job, lease_s=lease_s, heartbeat_s=0.05)


def test_the_lease_moves_on_while_it_is_kept_and_stays_after(service, job):
    with keeper(service, job):
        until(lambda: service.job(job.id).lease_until > job.lease_until + 0.2)
    last = service.job(job.id).lease_until
    time.sleep(0.2)
    assert service.job(job.id).lease_until == last


def test_a_cancellation_is_heard(service, job):
    with keeper(service, job) as kept:
        assert kept.wanted == "go on"
        store.cancel(service.database, "a", job.id)
        until(lambda: kept.wanted == "cancel")


def test_a_lost_lease_is_heard_and_not_renewed(service, job):
    with keeper(service, job) as kept:
        claims.give_back(service.database, job)
        until(lambda: kept.wanted == "lost")
    assert service.job(job.id).lease_until is None


def test_a_database_that_is_away_for_less_than_the_lease_costs_nothing(service, job, monkeypatch):
    def away(*_, **__):
        raise DatabaseFailed("away")

    with keeper(service, job) as kept:
        with monkeypatch.context() as patch:
            patch.setattr(lease, "beat", away)
            time.sleep(0.3)
        assert kept.wanted == "go on"
        before = service.job(job.id).lease_until
        until(lambda: service.job(job.id).lease_until > before)


def test_a_lease_that_could_not_be_renewed_in_time_counts_as_lost(service, job, monkeypatch):
    def away(*_, **__):
        raise DatabaseFailed("away")

    monkeypatch.setattr(lease, "beat", away)
    with keeper(service, job, lease_s=0.3) as kept:
        until(lambda: kept.wanted == "lost")


def test_progress_is_told_as_an_event_at_each_stage_and_each_hundredth(service, job):
    with keeper(service, job) as kept:
        for stage, fraction in (("shape", 0.1), ("shape", 0.106), ("shape", 0.112), ("refine", 0.112)):
            kept.update(StageProgress(stage, 0.5, fraction, None))
            until(
                lambda f=fraction, s=stage: (
                    (service.job(job.id).fraction, service.job(job.id).stage) == (f, s)
                )
            )
    told = [event.data for event in events_after(service.database, "a", 0) if event.kind == "progress"]
    assert [(data["stage"], data["fraction"]) for data in told] == [
        ("shape", 0.1),
        ("shape", 0.112),
        ("refine", 0.112),
    ]
