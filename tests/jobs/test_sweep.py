from __future__ import annotations

import os
import time

import pytest
import sqlalchemy as sa

from jobs.conftest import age
from objectscan.errors import QuotaExceeded, UnknownJob
from objectscan.jobs import claims, store
from objectscan.jobs.events import events_after
from objectscan.jobs.model import events, jobs
from objectscan.jobs.store import NewJob
from objectscan.jobs.sweep import Retention, require_room, sweep

RETENTION = Retention(finished_s=1000, leftover_s=100)


def put(service, key, *, age_s=0.0, tenant="a"):
    service.storage.tenant(tenant).put(key, [b"12345"])
    path = service.setup.data_folder / "files" / "tenants" / tenant / key
    os.utime(path, (time.time() - age_s,) * 2)


def keys(service, tenant="a"):
    return {stored.key for stored in service.storage.tenant(tenant).list()}


def finished(service, *, age_s=0.0, folder="uploads/1", **options):
    job, _ = store.submit(service.database, NewJob("a", folder, **options))
    put(service, f"{folder}/a.jpg", age_s=age_s)
    put(service, f"jobs/{job.id}/1/model.glb", age_s=age_s)
    claimed = claims.claim(service.database, "w", 60)
    artifacts = {"folder": f"jobs/{job.id}/1", "files": []}
    claims.succeed(service.database, claimed, artifacts=artifacts, summary=None)
    age(service.database, job.id, "finished_at", age_s)
    return job


def run(service):
    return sweep(service.database, service.storage, service.setup.work_folder, RETENTION)


def test_a_finished_job_goes_after_its_time_with_its_photos_and_results(service):
    old, new = finished(service, age_s=1001), finished(service, age_s=900, folder="uploads/2")
    assert run(service).jobs == 1
    with pytest.raises(UnknownJob):
        service.job(old.id)
    assert keys(service) == {"uploads/2/a.jpg", f"jobs/{new.id}/1/model.glb"}
    assert [event.kind for event in events_after(service.database, "a", 0, job_id=old.id)] == ["deleted"]


def test_a_job_may_ask_for_another_time_or_for_ever(service):
    short = finished(service, age_s=50, folder="uploads/1", retention_s=10)
    long = finished(service, age_s=5000, folder="uploads/2", retention_s=10_000)
    kept = finished(service, age_s=5000, folder="uploads/3", is_kept=True)
    assert run(service).jobs == 1
    assert {job.id for job in store.list_jobs(service.database, "a").jobs} == {long.id, kept.id} - {short.id}


def test_photos_that_another_job_uses_stay(service):
    finished(service, age_s=2000, folder="uploads/1")
    waiting, _ = store.submit(service.database, NewJob("a", "uploads/1"))
    run(service)
    assert keys(service) == {"uploads/1/a.jpg"} and service.job(waiting.id).state == "queued"


def test_files_of_lost_attempts_and_uploads_without_a_job_go_after_a_while(service):
    job = finished(service, age_s=200)
    put(service, f"jobs/{job.id}/2/model.glb", age_s=200)
    put(service, f"jobs/{job.id}/progress.webp", age_s=200)
    put(service, "jobs/nobody/1/model.glb", age_s=200)
    put(service, "uploads/orphan/a.jpg", age_s=200)
    put(service, "uploads/fresh/a.jpg", age_s=50)
    assert run(service).files == 4
    assert keys(service) == {"uploads/1/a.jpg", f"jobs/{job.id}/1/model.glb", "uploads/fresh/a.jpg"}


def test_the_same_id_at_another_tenant_saves_no_file(service):
    job = finished(service, age_s=200)
    put(service, f"jobs/{job.id}/1/model.glb", age_s=200, tenant="b")
    put(service, "uploads/1/a.jpg", age_s=200, tenant="b")
    run(service)
    assert keys(service, "b") == set() and len(keys(service)) == 2


def test_files_of_a_running_job_stay_however_old(service):
    job, _ = store.submit(service.database, NewJob("a", "uploads/1"))
    put(service, "uploads/1/a.jpg", age_s=9999)
    claims.claim(service.database, "w", 60)
    put(service, f"jobs/{job.id}/1/model.glb", age_s=9999)
    run(service)
    assert len(keys(service)) == 2


def test_work_folders_stay_for_a_retry_and_while_a_job_waits(service):
    waiting, _ = store.submit(service.database, NewJob("a", "uploads/1"))
    failed, _ = store.submit(service.database, NewJob("a", "uploads/1"))
    fresh, _ = store.submit(service.database, NewJob("a", "uploads/1"))
    for job in (failed, fresh):
        store.cancel(service.database, "a", job.id)
    for job, old_s in ((waiting, 200), (failed, 200), (fresh, 50)):
        folder = service.setup.work_folder / job.id
        folder.mkdir()
        os.utime(folder, (time.time() - old_s,) * 2)
    assert run(service).folders == 1
    assert {path.name for path in service.setup.work_folder.iterdir()} == {waiting.id, fresh.id}


def test_events_go_a_day_after_their_job(service):
    job = finished(service, age_s=2000)
    run(service)
    with service.database.writing() as connection:
        connection.execute(sa.update(events).values(at=events.c.at - 90_000))
    finished(service, folder="uploads/2")
    run(service)
    left = events_after(service.database, "a", 0)
    assert job.id not in {event.job_id for event in left} and len(left) == 3


def test_more_jobs_than_a_batch_expire_in_one_sweep(service, monkeypatch):
    monkeypatch.setattr("objectscan.jobs.sweep._BATCH", 2)
    for number in range(5):
        finished(service, age_s=2000, folder=f"uploads/{number}")
    assert run(service).jobs == 5
    with service.database.reading() as connection:
        assert connection.execute(sa.select(jobs.c.id)).all() == []


def test_a_tenant_over_its_quota_is_told_the_numbers(service):
    put(service, "uploads/1/a.jpg")
    part = service.storage.tenant("a")
    require_room(part.usage_bytes(), 5, 10)
    require_room(part.usage_bytes(), 10**15, 0)
    with pytest.raises(QuotaExceeded) as told:
        require_room(part.usage_bytes(), 6, 10)
    assert told.value.details == {"used_bytes": 5, "more_bytes": 6, "quota_bytes": 10}
    require_room(service.storage.tenant("b").usage_bytes(), 6, 10)
