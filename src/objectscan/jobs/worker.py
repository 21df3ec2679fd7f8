"""A worker: claims jobs, one at a time, and supervises the child that computes them. It never imports torch.

Three things make it look for work: a wake-up message, the end of a job, and the clock. Threads: Celery's
consumer (the main thread) and its one pool thread, the poller, and the housekeeper, which finds lost jobs.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery, signals

from objectscan.errors import DatabaseFailed, ObjectscanError, StorageFailed, WorkerLost
from objectscan.jobs import claims, workers
from objectscan.jobs.child_process import ChildProcess
from objectscan.jobs.database import Database
from objectscan.jobs.gpus import gpu_facts
from objectscan.jobs.queue import WAKE_TASK, publish_wake, wake_app
from objectscan.jobs.run import JobRun, Tools
from objectscan.jobs.setup import Setup, environment_of
from objectscan.jobs.sweep import Retention, sweep
from objectscan.storage import open_storage

log = logging.getLogger(__name__)

CHILD_COMMAND = (sys.executable, "-m", "objectscan.jobs.child")
_ALLOCATOR = {
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}
"""Read by torch 2.9 and later, and by those before."""
_RENEW_S = 10.0
_LONGEST_WAIT_S = 60.0
_LINGER_S = 1.0
"""How long Celery may take to end once nothing is at work; a broker that is away can hold it for ever."""


class Worker:
    """One worker of this machine. `run` lasts until SIGTERM or SIGINT."""

    def __init__(self, setup: Setup, *, child_command: Sequence[str] = CHILD_COMMAND):
        """Connect to nothing yet but the storage.

        Raises:
            BadServiceSetup: An address can't be used.
        """
        self.id = str(uuid.uuid4())
        self._setup, self._command = setup, child_command
        self._database = Database(setup.database_url)
        self._storage = open_storage(setup.storage_url)
        self._stop = threading.Event()
        self._tools = Tools(setup, self._database, self._storage, self._stop)
        self._app = wake_app(setup)
        self._app.task(self._woken, name=WAKE_TASK)
        self._busy = threading.Lock()
        self._child: ChildProcess | None = None
        self._job_id: str | None = None
        self._is_ready = False
        self._facts: dict[str, Any] = {"jobs_done": 0, "children": 0}
        self._host = socket.gethostname()

    def run(self) -> int:
        """Work until asked to stop; the exit code.

        Raises:
            DatabaseFailed: The database does not answer at the start.
            BadServiceSetup: It can't be shared with the workers that are there.
        """
        self._database.upgrade()
        workers.enter(self._database, self.id, self._host, os.getpid())
        signal.signal(signal.SIGTERM, lambda *_: self._ask_to_stop())  # until Celery takes over
        signals.worker_shutting_down.connect(self._ask_to_stop, weak=False)
        signals.setup_logging.connect(_leave_logging, weak=False)
        threads = [
            threading.Thread(target=target, name=target.__name__, daemon=True)
            for target in (self._poll, self._keep_house, self._sweep)
        ]
        for thread in threads:
            thread.start()
        log.info("The worker starts.", extra={"worker": self.id})
        if self._setup.broker_url.startswith("amqp"):
            limit_ms = int(1000 * self._setup.seconds("job_time_limit_s"))
            log.info("RabbitMQ's consumer_timeout has to be above %d ms, or it ends this worker.", limit_ms)
        try:
            return _consume(self._app, self.id)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self.close()

    def work(self) -> bool:
        """Run the job whose turn it is; False if none is due.

        Raises:
            DatabaseFailed: The database does not answer.
            WorkerLost: The child can't be started.
        """
        with self._busy:
            if self._stop.is_set():  # before claiming: a job that is claimed now would only be given back
                return False
            child = self._ready_child()
            job = claims.claim(self._database, self.id, self._setup.seconds("lease_s"))
            if job is None:
                return False
            self._job_id = job.id
            try:
                run = JobRun(job, self._tools, child)
                run.carry_out()
            finally:
                self._job_id = None
            self._after(child, run.facts)
            return True

    def close(self) -> None:
        """End the child and leave the list of workers. Waits for a job that is at work."""
        with self._busy:
            self._drop_child()
        try:
            workers.leave(self._database, self.id)
        except ObjectscanError as problem:
            log.warning("%s", problem, extra={"worker": self.id})
        self._database.close()

    @property
    def _state(self) -> workers.WorkerState:
        if self._stop.is_set():
            return "stopping"
        return "busy" if self._job_id else "idle" if self._is_ready else "starting"

    def _ready_child(self) -> ChildProcess:
        if self._child is not None and self._child.is_alive:
            return self._child
        self._drop_child()
        self._is_ready = False
        environment = {**environment_of(self._setup.settings), **_ALLOCATOR}
        self._child = ChildProcess(self._command, environment)
        self._facts["children"] += 1
        try:
            self._child.wait_ready(self._setup.seconds("child_start_s"), self._stop)
        except WorkerLost:
            self._drop_child()
            raise
        self._is_ready = True
        log.info("The child is ready.", extra={"worker": self.id, "child": self._child.pid})
        return self._child

    def _after(self, child: ChildProcess, facts: dict[str, Any]) -> None:
        """Replace the child where it may not be as good as new."""
        child.job_id = None
        child.jobs_done += 1
        self._facts |= {"jobs_done": self._facts["jobs_done"] + 1, **facts}
        reason = _reason_to_replace(child, facts, self._setup)
        if reason is not None:
            log.info("The child is replaced: %s.", reason, extra={"worker": self.id, "child": child.pid})
            self._drop_child()

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _woken(self, job_id: str) -> None:
        """Celery's task. Which job the message names does not matter: the next in the line is run."""
        self._without_fuss(self.work)

    def _poll(self) -> None:
        wait_s = poll_s = self._setup.seconds("poll_s")
        while not self._stop.is_set():
            is_well = self._without_fuss(self._work_off)
            wait_s = poll_s if is_well else min(max(2.0 * wait_s, 1.0), _LONGEST_WAIT_S)
            self._stop.wait(wait_s)

    def _work_off(self) -> None:
        while self.work():
            pass

    def _keep_house(self) -> None:
        renewed, told = 0.0, ""
        while not self._stop.wait(self._setup.seconds("reap_s")):
            self._without_fuss(self._reap)
            if time.monotonic() - renewed >= _RENEW_S or self._state != told:
                renewed, told = time.monotonic(), self._state
                self._without_fuss(self._renew)

    def _reap(self) -> None:
        for job_id in claims.reap(self._database, self._setup.limits):
            log.warning("A lost job waits again.", extra={"job_id": job_id})
            publish_wake(self._app, job_id)

    def _renew(self) -> None:
        facts = {**self._facts, "gpus": list(gpu_facts())}
        workers.renew(self._database, self.id, self._state, self._job_id, facts)

    def _sweep(self) -> None:
        setup = self._setup
        retention = Retention(setup.seconds("retention_s"), setup.seconds("work_retention_s"))
        while not self._stop.wait(setup.seconds("sweep_s")):
            self._without_fuss(
                lambda: log.info("%s", sweep(self._database, self._storage, setup.work_folder, retention))
            )

    def _without_fuss(self, action: Callable[[], object]) -> bool:
        """Carry out what is tried again anyway; whether it went well."""
        try:
            action()
        except (DatabaseFailed, StorageFailed, WorkerLost) as problem:
            log.warning("%s", problem, extra={"worker": self.id, "code": problem.code})
        except Exception:
            log.exception("A defect of the worker.", extra={"worker": self.id})
        else:
            return True
        return False

    def _ask_to_stop(self, **_: object) -> None:
        log.info("The worker stops.", extra={"worker": self.id})
        self._stop.set()
        threading.Thread(target=self._insist, daemon=True).start()

    def _insist(self) -> None:
        """End the process once nothing is at work, even if Celery still waits for its broker."""
        with self._busy:
            pass
        time.sleep(_LINGER_S)
        self.close()
        os._exit(0)


def _reason_to_replace(child: ChildProcess, facts: dict[str, Any], setup: Setup) -> str | None:
    settings = setup.settings
    if not child.is_alive:
        return "it ended"
    if not facts.get("is_clean"):
        return "a job failed in it"
    if child.jobs_done >= int(settings["child_jobs"]):
        return f"it did {child.jobs_done} jobs"
    if facts["memory_bytes"] > int(settings["child_memory_bytes"]):
        return f"it holds {facts['memory_bytes'] / 1e9:.1f} GB"
    fragmentation = facts["fragmentation"]
    if fragmentation is not None and fragmentation > float(settings["child_fragmentation"]):
        return f"its GPU memory is fragmented by {fragmentation:.0%}"
    return None


def _leave_logging(**_: object) -> None:
    """Listening to the signal is what keeps Celery from setting levels and handlers of its own."""


def _consume(app: Celery, worker_id: str) -> int:
    """Take wake-up messages until a signal ends it; the exit code."""
    consumer = app.Worker(
        pool="threads", concurrency=1, hostname=f"objectscan@{worker_id}", quiet=True,
        without_gossip=True, without_mingle=True,
    )  # fmt: skip
    consumer.start()
    return int(consumer.exitcode or 0)
