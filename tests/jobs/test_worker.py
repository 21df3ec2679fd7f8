"""One worker in this process, with a real child. tests/jobs/test_worker_process.py kills whole workers."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from helpers.fake_child import STAGES
from helpers.s3 import s3_bucket
from helpers.servers import until
from helpers.service import FAKE_CHILD, Service, child_variables, is_gone
from objectscan.errors import WorkerLost
from objectscan.jobs import claims, store
from objectscan.jobs.worker import CHILD_COMMAND, Worker

ENDLESS = {"stage_s": 600}


@pytest.fixture
def variables(service, monkeypatch):
    for name, value in child_variables(service).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def worker(service, variables) -> Iterator[Worker]:
    made = Worker(service.setup, child_command=FAKE_CHILD)
    yield made
    made.close()


@contextlib.contextmanager
def at_work(worker: Worker) -> Iterator[None]:
    """Its next job runs meanwhile; the block ends when the job does."""
    thread = threading.Thread(target=worker.work)
    thread.start()
    try:
        yield
    finally:
        thread.join(120)
        assert not thread.is_alive()


def configured(service: Service, **values) -> Service:
    return Service(service.folder, **values)


def test_a_job_runs_to_its_end_and_its_results_are_stored(service, worker):
    job_id = service.submit({}, preset="preview")
    assert worker.work() and not worker.work()
    job = service.job(job_id)
    assert service.ran(job_id) == list(STAGES) and service.kinds(job_id) == ["queued", "started", "succeeded"]
    assert job.artifacts["folder"] == f"jobs/{job_id}/1" and job.summary["grade"] == "high"
    files = {file["name"]: file for file in job.artifacts["files"]}
    assert set(files) == {"model.glb", "report.json"}
    model = b"".join(service.storage.tenant("a").get(f"{job.artifacts['folder']}/model.glb"))
    assert model == f"{job_id} preview".encode() and files["model.glb"]["size_bytes"] == len(model)
    assert not (service.setup.work_folder / job_id).exists()


def test_three_addresses_make_it_a_cluster(postgres, variables, service):
    """The same code on PostgreSQL and S3; tests/jobs/test_worker_process.py has the messages."""
    with s3_bucket("cluster") as bucket:
        database_url = postgres.new_database("cluster")
        with configured(service, database_url=database_url, storage_url=f"{bucket}/prod") as cluster:
            job_id = cluster.submit({"trouble": "refine", "how": "kill", "once": True})
            worker = Worker(cluster.setup, child_command=FAKE_CHILD)
            until(lambda: not worker.work() and cluster.job(job_id).is_finished)
            worker.close()
            job = cluster.job(job_id)
            model = b"".join(cluster.storage.tenant("a").get(f"jobs/{job_id}/2/model.glb"))
    assert job.state == "succeeded" and model.startswith(job_id.encode())
    assert service.ran(job_id) == ["capture", "shape", "refine", "refine", "preview"]


def test_a_killed_child_costs_one_stage_and_the_job_goes_on_in_a_new_one(service, worker):
    job_id = service.submit({"trouble": "refine", "how": "kill", "once": True})
    assert worker.work()
    until(worker.work, what="the job's turn comes again")
    job = service.job(job_id)
    assert service.ran(job_id) == ["capture", "shape", "refine", "refine", "preview"]
    assert (job.attempt, job.failures, len(service.pids(job_id))) == (2, 1, 2)
    assert service.kinds(job_id) == ["queued", "started", "queued", "started", "succeeded"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_is_cancelled_in_any_stage(service, worker, stage):
    job_id = service.submit({"slow": stage})
    with at_work(worker):
        service.wait_for_stage(job_id, stage)
        store.cancel(service.database, "a", job_id)
    assert service.job(job_id).state == "cancelled" and service.job(job_id).artifacts is None
    assert service.kinds(job_id) == ["queued", "started", "cancelled"]


def test_a_cancelled_job_that_does_not_answer_is_killed(service, worker):
    job_id, other = service.submit({"trouble": "shape", "how": "deaf"}), service.submit({})
    with at_work(worker):
        service.wait_for_stage(job_id, "shape")
        store.cancel(service.database, "a", job_id)
    assert service.job(job_id).state == "cancelled" and is_gone(service.pids(job_id)[0])
    assert worker.work() and service.job(other).state == "succeeded"


def test_a_cancelled_job_goes_on_after_its_last_stage_when_it_is_retried(service, worker):
    job_id = service.submit({"slow": "refine", "slow_once": True})
    with at_work(worker):
        service.wait_for_stage(job_id, "refine")
        store.cancel(service.database, "a", job_id)
    store.retry(service.database, "a", job_id)
    assert worker.work() and service.job(job_id).state == "succeeded"
    assert service.ran(job_id) == ["capture", "shape", "refine", "refine", "preview"]


def test_a_job_over_its_time_limit_fails_and_is_not_tried_again(service, variables):
    with configured(service, job_time_limit_s=1) as short:
        job_id = short.submit(ENDLESS)
        worker = Worker(short.setup, child_command=FAKE_CHILD)
        assert worker.work()
        worker.close()
    job = service.job(job_id)
    assert (job.state, job.error["code"], job.attempt) == ("failed", "time_limit_reached", 1)


def test_a_worker_that_lost_its_lease_stops_its_child_and_writes_nothing(service, worker):
    job_id = service.submit(ENDLESS)
    with at_work(worker):
        service.wait_for_stage(job_id, "capture")
        # Somebody else takes it, as after a pause of this worker's machine.
        assert claims.give_back(service.database, service.job(job_id))
        other = claims.claim(service.database, "elsewhere", 600)
        assert other is not None and other.id == job_id
    assert service.job(job_id).owner == "elsewhere" and service.job(job_id).attempt == 2
    assert service.kinds(job_id) == ["queued", "started", "queued", "started"]


@pytest.mark.parametrize(("how", "code"), [("photos", "bad_masks"), ("memory", "not_enough_memory")])
def test_what_no_other_attempt_can_help_fails_at_once(service, worker, how, code):
    job_id = service.submit({"trouble": "shape", "how": how}, preset="preview")
    assert worker.work()
    job = service.job(job_id)
    assert (job.state, job.error["code"], job.attempt) == ("failed", code, 1)


def test_a_job_without_memory_is_tried_once_with_a_smaller_preset(service, worker):
    job_id = service.submit({"trouble": "shape", "how": "memory", "once": True}, preset="high")
    stubborn = service.submit({"trouble": "shape", "how": "memory"}, preset="high")
    until(lambda: not worker.work() and service.job(job_id).is_finished and service.job(stubborn).is_finished)
    job = service.job(job_id)
    assert (job.state, job.preset, job.recipe["preset"], job.attempt) == ("succeeded", "high", "standard", 2)
    job = service.job(stubborn)
    assert (job.state, job.attempt, job.error["code"]) == ("failed", 2, "not_enough_memory")


@pytest.mark.parametrize("how", ["defect", "full"])
def test_a_machines_fault_is_tried_three_times_and_told(service, worker, how):
    job_id = service.submit({"trouble": "shape", "how": how})
    until(lambda: not worker.work() and service.job(job_id).is_finished)
    job = service.job(job_id)
    assert (job.state, job.attempt) == ("failed", 3) and service.ran(job_id) == ["capture", *["shape"] * 3]
    assert {"defect": "cat stood", "full": "No space left"}[how] in job.error["message"]


def test_a_job_whose_photos_are_gone_says_so(service, worker):
    job_id = service.submit({})
    service.storage.tenant("a").delete_folder(service.job(job_id).input)
    assert worker.work()
    job = service.job(job_id)
    assert job.state == "failed" and "no photos" in job.error["message"]


def test_the_report_of_a_failed_job_is_kept(service, worker):
    job_id = service.submit({"trouble": "preview", "how": "photos", "report": True})
    assert worker.work()
    job = service.job(job_id)
    assert job.state == "failed" and [file["name"] for file in job.artifacts["files"]] == ["report.json"]


def test_the_child_is_replaced_after_some_jobs(service, variables):
    with configured(service, child_jobs=2) as strict:
        ids = [strict.submit({}) for _ in range(5)]
        worker = Worker(strict.setup, child_command=FAKE_CHILD)
        assert all(worker.work() for _ in ids)
        worker.close()
    children = [service.pids(job_id)[0] for job_id in ids]
    assert children[0] == children[1] != children[2] == children[3] != children[4]


def test_a_child_that_holds_too_much_memory_is_replaced(service, variables):
    with configured(service, child_memory_bytes=160_000_000) as strict:
        ids = [strict.submit({"trouble": "shape", "how": how}) for how in ("none", "leak", "none")]
        worker = Worker(strict.setup, child_command=FAKE_CHILD)
        assert all(worker.work() for _ in ids)
        worker.close()
    children = [service.pids(job_id)[0] for job_id in ids]
    assert children[0] == children[1] != children[2]


def test_a_child_whose_graphics_memory_is_fragmented_is_replaced(service, worker):
    ids = [service.submit({"fragmentation": share}) for share in (0.1, 0.31, 0.0)]
    assert all(worker.work() for _ in ids)
    children = [service.pids(job_id)[0] for job_id in ids]
    assert children[0] == children[1] != children[2]


def test_a_worker_claims_nothing_before_its_child_is_ready(service, worker, monkeypatch):
    job_id = service.submit({})
    monkeypatch.setenv("FAKE_PREPARE", "fail")
    with pytest.raises(WorkerLost, match="code 1") as told:
        worker.work()
    assert "RuntimeError: no engine" in told.value.details["log"]
    assert service.job(job_id).state == "queued" and service.job(job_id).attempt == 0
    monkeypatch.delenv("FAKE_PREPARE")
    assert worker.work() and service.job(job_id).state == "succeeded"


def test_the_picture_of_the_growing_model_is_shown_and_taken_away_in_the_end(service, worker):
    job_id = service.submit({"slow": "shape", "picture": True, "slow_s": 2.5})
    seen = []
    with at_work(worker):
        service.wait_for_stage(job_id, "shape")
        key = f"jobs/{job_id}/progress.webp"

        def look():
            with contextlib.suppress(FileNotFoundError):
                seen.append(b"".join(service.storage.tenant("a").get(key)))
            return seen or service.job(job_id).is_finished

        until(look)
    assert seen == [b"picture"]
    assert [file.key.rpartition("/")[2] for file in service.storage.tenant("a").list(f"jobs/{job_id}/1")]
    assert not [file for file in service.storage.tenant("a").list() if file.key == key]


def test_progress_is_written_while_a_job_runs(service, worker):
    job_id = service.submit({"slow": "refine", "slow_s": 2.5})
    with at_work(worker):
        until(lambda: service.job(job_id).stage == "refine" and service.job(job_id).fraction > 0.5)
        job = service.job(job_id)
        assert 0.5 < job.fraction < 0.75 and 0 < job.stage_fraction < 1 and job.remaining_s is not None
    assert service.job(job_id).fraction == 1.0


def test_the_worker_itself_loads_no_torch(variables):
    code = "import sys, objectscan.jobs.worker, objectscan.jobs.sweep; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
    assert CHILD_COMMAND[1:] == ("-m", "objectscan.jobs.child")
