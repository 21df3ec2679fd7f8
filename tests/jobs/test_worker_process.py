"""Whole workers as processes: killed, stopped, paused, without messages. Files and SQLite, and Redis."""

from __future__ import annotations

import os
import signal
import subprocess

import psutil
import pytest

from helpers.servers import Redis, until
from helpers.service import Service, is_gone
from jobs.conftest import age
from objectscan.errors import BadServiceSetup
from objectscan.jobs import workers
from objectscan.jobs.queue import publish_wake, wake_app

STAGED = {"stages": ["shape", "refine"], "slow": "refine", "slow_once": True}


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_a_killed_workers_child_ends_and_another_worker_goes_on_after_the_last_stage(service):
    job_id = service.submit(STAGED)
    with service.worker() as first, service.worker() as second:
        service.wait_for_stage(job_id, "refine")
        owner = service.pids(job_id)[0]
        busy = first if owner in [child.pid for child in family(first)] else second
        busy.kill()
        until(lambda: is_gone(owner), what="the orphan ends")
        age(service.database, job_id, "lease_until", 1)
        job = service.wait(job_id)
    assert (job.attempt, job.failures) == (2, 1)
    assert service.ran(job_id) == ["shape", "refine", "refine"]
    assert service.kinds(job_id) == ["queued", "started", "queued", "started", "succeeded"]
    assert len(workers.present(service.database)) == 1  # the killed one could not say goodbye


def test_sigterm_gives_the_job_back_at_once_without_counting_the_attempt(service):
    job_id = service.submit(STAGED)
    with service.worker() as worker:
        service.wait_for_stage(job_id, "refine")
        children = family(worker)
        worker.send_signal(signal.SIGTERM)
        job = service.wait(job_id, "queued")
        assert worker.wait(60) == 0
    assert (job.failures, job.attempt) == (0, 1) and all(is_gone(child.pid) for child in children)
    with service.worker():
        job = service.wait(job_id)
    assert service.ran(job_id) == ["shape", "refine", "refine"] and job.failures == 0


def test_a_stopping_worker_kills_a_job_that_does_not_answer(tmp_path):
    with Service(tmp_path, stop_grace_s=0.5) as service:
        job_id = service.submit({"trouble": "shape", "how": "deaf"})
        with service.worker() as worker:
            service.wait_for_stage(job_id, "shape")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        job = service.job(job_id)
        assert (job.state, job.failures) == ("queued", 0) and is_gone(service.pids(job_id)[0])


def test_a_paused_worker_overlaps_until_its_next_beat_and_delivers_nothing(service, tmp_path):
    job_id = service.submit({"stages": ["shape"], "slow": "shape", "slow_s": 4})
    with service.worker() as first:
        service.wait_for_stage(job_id, "shape")
        paused = [psutil.Process(first.pid), *family(first)]
        for process in paused:
            process.suspend()
        age(service.database, job_id, "lease_until", 1)
        # The second works on another machine: it does not share the first one's work folder.
        with Service(tmp_path, work_folder=tmp_path / "other") as there, there.worker():
            service.wait_for_stage(job_id, "shape", 2)
            for process in paused:
                process.resume()
            job = service.wait(job_id)
    assert job.attempt == 2 and service.kinds(job_id).count("succeeded") == 1
    assert job.artifacts["folder"] == f"jobs/{job_id}/2"


def test_workers_that_are_killed_at_random_lose_no_job_and_do_none_twice(tmp_path):
    with Service(tmp_path, lease_s=2.0, max_attempts=50) as service:
        tenants = {service.submit({"stage_s": 0.02}, tenant="ab"[n % 2]): "ab"[n % 2] for n in range(12)}
        fleet = [service.start_worker() for _ in range(2)]
        try:
            for number in range(3):
                done = 1 + 3 * number
                until(lambda: count(service, tenants, "succeeded") >= done)  # noqa: B023 - called at once
                fleet[number % 2].kill()
                fleet[number % 2].wait()
                fleet[number % 2] = service.start_worker()
            until(lambda: count(service, tenants, "succeeded") == len(tenants))
        finally:
            for worker in fleet:
                worker.terminate()
            for worker in fleet:
                worker.wait(60)
        for job_id, tenant in tenants.items():
            assert service.kinds(job_id, tenant).count("succeeded") == 1


def count(service: Service, tenants: dict[str, str], state: str) -> int:
    return sum(service.job(job_id, tenant).state == state for job_id, tenant in tenants.items())


def test_a_broker_that_dies_with_all_messages_costs_no_job_and_stops_no_stop(tmp_path):
    with Redis(tmp_path / "redis") as redis, Service(tmp_path / "s", broker_url=redis.url) as service:
        first, second = service.submit({"slow": "shape", "slow_s": 1}), service.submit({})
        with service.worker() as worker:
            service.wait_for_stage(first, "shape")
            redis.kill()  # it keeps nothing on disk: its messages are gone
            service.wait(second)
            third = service.submit({})
            assert not publish_wake(wake_app(service.setup), third)
            service.wait(third)
            worker.send_signal(signal.SIGTERM)  # while there is no broker to say goodbye to
            assert worker.wait(60) == 0
        assert [service.job(job_id).attempt for job_id in (first, second, third)] == [1, 1, 1]


@pytest.mark.parametrize("transport", ["filesystem", "redis"])
def test_a_message_wakes_a_worker_long_before_its_poll(tmp_path, transport):
    with Redis(tmp_path / "redis") as redis:
        url = {} if transport == "filesystem" else {"broker_url": redis.url}
        with Service(tmp_path / "s", poll_s=300, **url) as service, service.worker():
            until(lambda: "child is ready" in service.worker_log.read_text(), what="readiness")
            # The poller's first look may still be on its way: only a message can bring the third job.
            job_ids = []
            for _ in range(3):
                job_ids.append(service.submit({}))
                assert publish_wake(wake_app(service.setup), job_ids[-1])
                service.wait(job_ids[-1])


def test_a_database_file_is_not_shared_by_hosts(service):
    workers.enter(service.database, "w1", "other-host", 1)
    with service.worker() as worker:
        assert worker.wait(120) == 1
    assert "other-host uses the same SQLite file" in service.worker_log.read_text()
    with pytest.raises(BadServiceSetup, match="other-host"):
        workers.enter(service.database, "w2", "this-host", os.getpid())
    workers.leave(service.database, "w1")
    workers.enter(service.database, "w2", "this-host", os.getpid())
    assert [row.host for row in workers.present(service.database, host="this-host")] == ["this-host"]
    assert workers.present(service.database, host="other-host") == []
