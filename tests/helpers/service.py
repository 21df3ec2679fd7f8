"""A small service for tests: quick settings, jobs whose photos tell the fake child what to do, workers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from helpers.servers import until
from objectscan.jobs.database import Database
from objectscan.jobs.events import events_after
from objectscan.jobs.model import Job
from objectscan.jobs.setup import Setup, environment_of, setup_from
from objectscan.jobs.store import NewJob, get_job, submit
from objectscan.settings import settings_from
from objectscan.storage import Storage, open_storage

_TESTS = Path(__file__).parents[1]
_SOURCE = _TESTS.parent / "src"
QUICK = {
    "lease_s": 20.0, "heartbeat_s": 0.5, "poll_s": 0.3, "reap_s": 0.3, "backoff_cap_s": 0.1,
    "stop_grace_s": 3.0, "child_start_s": 60.0,
}  # fmt: skip


FAKE_CHILD = (sys.executable, "-m", "helpers.fake_child")


def is_gone(pid: int) -> bool:
    """Whether a process ended, collected or not."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def child_variables(service: Service) -> dict[str, str]:
    """What the fake child needs in its environment."""
    return {"PYTHONPATH": os.pathsep.join([str(_SOURCE), str(_TESTS)]), "FAKE_LOG": str(service.log)}


class Service:
    """Database, storage and a way to start workers."""

    def __init__(self, folder: Path, **values: Any):
        self.folder = folder
        table = {"data_folder": str(folder / "data"), **QUICK, **values}
        self.settings = settings_from({f"OBJECTSCAN_{name.upper()}": str(v) for name, v in table.items()})
        self.setup: Setup = setup_from(self.settings)
        self.database = Database(self.setup.database_url)
        self.storage: Storage = open_storage(self.setup.storage_url)
        self.log = folder / "stages.log"
        self.worker_log = folder / "worker.log"

    def __enter__(self) -> Service:
        self.database.upgrade()
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def submit(self, plan: dict[str, Any] | None = None, *, tenant: str = "a", **options: Any) -> str:
        """Id of a new job whose photos are a plan for the fake child."""
        folder = f"uploads/{uuid.uuid4()}"
        self.storage.tenant(tenant).put(f"{folder}/plan.json", [json.dumps(plan or {}).encode()])
        job, _ = submit(self.database, NewJob(tenant, folder, **options))
        return job.id

    def job(self, job_id: str, tenant: str = "a") -> Job:
        return get_job(self.database, tenant, job_id)

    def wait(self, job_id: str, *states: str, tenant: str = "a", timeout_s: float = 120.0) -> Job:
        wanted = states or ("succeeded",)
        until(
            lambda: self.job(job_id, tenant).state in wanted, timeout_s=timeout_s,
            what=f"{wanted} of {self.job(job_id, tenant)}",
        )  # fmt: skip
        return self.job(job_id, tenant)

    def wait_for_stage(self, job_id: str, stage: str, count: int = 1) -> None:
        until(lambda: self.ran(job_id).count(stage) >= count, what=f"stage {stage}")

    def ran(self, job_id: str) -> list[str]:
        """Stages that really ran, in order."""
        return [words[1] for words in self._lines() if words[0] == job_id]

    def pids(self, job_id: str) -> list[int]:
        """Children that ran its stages, in order."""
        return list(dict.fromkeys(int(words[2]) for words in self._lines() if words[0] == job_id))

    def kinds(self, job_id: str, tenant: str = "a") -> list[str]:
        """Its events but for progress."""
        found = events_after(self.database, tenant, 0, job_id=job_id, limit=10_000)
        return [event.kind for event in found if event.kind != "progress"]

    def start_worker(self, **environment: str) -> subprocess.Popen[bytes]:
        variables = {**environment_of(self.settings), **child_variables(self)}
        with self.worker_log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "helpers.fake_worker"], cwd=self.folder, stdout=log, stderr=log,
                env={**os.environ, **variables, **environment},
            )  # fmt: skip

    @contextlib.contextmanager
    def worker(self, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker for a while; it must end in good order unless it was killed."""
        process = self.start_worker(**environment)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                process.kill()
                process.wait()

    def _lines(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []
