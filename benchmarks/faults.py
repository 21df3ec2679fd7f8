"""What happens to accepted jobs when things die: every fault, on every transport and database, several times.

    python benchmarks/faults.py [--cells files redis rabbit] [--faults NAME...] [--runs 5] [--jobs 200]

One JSON line a cell and fault: runs, jobs, lost, delivered twice, seconds until the job went on. Real servers
(Debian: redis-server, rabbitmq-server, postgresql), real workers; the child computes nothing, so that only
the machinery is timed. Leases last 5 s here, 60 s by default: a lost worker costs one lease more or less.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.fake_child import STAGES
from helpers.servers import Postgres, RabbitMq, Redis, Server, until
from helpers.service import Service
from objectscan.jobs import store, workers
from objectscan.jobs.queue import publish_wake, wake_app

LEASE_S = 5.0
QUICK = {"lease_s": LEASE_S, "heartbeat_s": 1.0, "poll_s": 1.0, "reap_s": 1.0, "max_attempts": 100}
MIDDLE = {"slow": "refine", "slow_once": True}
"""A job that stands in its third stage until something happens to it, and is quick afterwards."""
DISK_BYTES = 4_000_000


@dataclass
class Cell:
    """One transport, one database, two workers."""

    service: Service
    broker: Server | None
    """None: messages are files."""
    database: Server | None
    """None: SQLite."""
    fleet: list[subprocess.Popen[bytes]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    def submit(self, plan: dict[str, object]) -> str:
        job_id = self.service.submit(plan)
        publish_wake(self.app, job_id)
        self.accepted.append(job_id)
        return job_id

    def __post_init__(self) -> None:
        self.app = wake_app(self.service.setup)

    def keep_fleet(self, count: int = 2) -> None:
        """So many workers run, and are ready."""
        self.fleet = [worker for worker in self.fleet if worker.poll() is None]
        while len(self.fleet) < count:
            self.fleet.append(self.service.start_worker())
        pids = {worker.pid for worker in self.fleet}
        until(lambda: pids <= {row.pid for row in self.rows() if row.state in ("idle", "busy")}, what="fleet")

    def rows(self):
        return workers.present(self.service.database)

    def owner(self, job_id: str) -> subprocess.Popen[bytes]:
        """The worker that runs a job."""
        owner = self.service.job(job_id).owner
        pid = next(row.pid for row in self.rows() if row.id == owner)
        return next(worker for worker in self.fleet if worker.pid == pid)

    def middle(self) -> str:
        """A job that is at work in its third stage."""
        job_id = self.submit(MIDDLE)
        self.service.wait_for_stage(job_id, "refine")
        return job_id

    def goes_on(self, job_id: str, since: float) -> float:
        """Seconds until the job's interrupted stage ran again; waits for its end, too."""
        self.service.wait_for_stage(job_id, "refine", 2)
        resumed_s = time.monotonic() - since
        self.service.wait(job_id)
        ran = self.service.ran(job_id)
        assert ran[:2] == ["capture", "shape"] and ran.count("shape") == 1, (
            f"a finished stage ran again: {ran}"
        )
        return resumed_s

    def forget_messages(self) -> None:
        """Kill the broker and delete what it kept."""
        if self.broker is None:
            for path in (self.service.setup.message_folder or Path()).rglob("*.msg"):
                path.unlink(missing_ok=True)
            return
        self.broker.kill()
        self.broker.forget()


def child_killed(cell: Cell) -> float:
    job_id = cell.middle()
    os.kill(cell.service.pids(job_id)[-1], signal.SIGKILL)
    return cell.goes_on(job_id, time.monotonic())


def worker_killed(cell: Cell) -> float:
    job_id = cell.middle()
    cell.owner(job_id).kill()
    return cell.goes_on(job_id, time.monotonic())


def broker_killed(cell: Cell) -> float:
    """One or two jobs run and others wait when the broker and all messages go; seconds until all ended."""
    first = cell.submit({"slow": "shape", "slow_s": 2})
    rest = [cell.submit({"slow": "shape", "slow_s": 1}) for _ in range(3)]
    cell.service.wait_for_stage(first, "shape")
    since = time.monotonic()
    cell.forget_messages()
    for job_id in (first, *rest):
        assert cell.service.wait(job_id).attempt == 1, "a job ran again"
    ended_s = time.monotonic() - since
    if cell.broker is not None:
        cell.broker.start()
    return ended_s


def database_restarted(cell: Cell) -> float:
    """Away for 2 s in the middle of a job, less than a lease: the job must not even notice."""
    job_id = cell.submit({"slow": "refine", "slow_s": 4})
    cell.service.wait_for_stage(job_id, "refine")
    if cell.database is None:
        locked = sqlite3.connect(cell.service.setup.data_folder / "jobs.db", isolation_level=None)
        with contextlib.closing(locked):
            locked.execute("BEGIN EXCLUSIVE")
            time.sleep(2)
            locked.execute("ROLLBACK")
    else:
        cell.database.kill()
        time.sleep(2)
        cell.database.start()
    since = time.monotonic()
    until(lambda: _answers(lambda: cell.service.job(job_id)), what="the database is back")
    assert cell.service.wait(job_id).attempt == 1, "the job ran again"
    return time.monotonic() - since


def stopped(cell: Cell) -> float:
    job_id = cell.middle()
    worker, since = cell.owner(job_id), time.monotonic()
    worker.terminate()
    resumed_s = cell.goes_on(job_id, since)
    assert worker.wait(60) == 0 and cell.service.job(job_id).failures == 0
    return resumed_s


def disk_full(cell: Cell) -> float:
    """The disk of the jobs at work fills up; the job fails, backs off, and goes on when there is room."""
    work = cell.service.setup.work_folder
    filler = work / ".filler"
    job_id = cell.submit({**MIDDLE, "slow_s": 3, "result_bytes": DISK_BYTES // 4})
    cell.service.wait_for_stage(job_id, "refine")
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()
    until(lambda: cell.service.job(job_id).failures >= 1, what="a failure is counted")
    error = cell.service.job(job_id).error
    assert error is not None and "No space left" in error["message"], error
    filler.unlink()
    since = time.monotonic()
    cell.service.wait(job_id)
    return time.monotonic() - since


def cancelled(cell: Cell) -> float:
    """In each stage once; the longest time until it is written."""
    longest_s = 0.0
    for stage in STAGES:
        job_id = cell.submit({"slow": stage})
        cell.service.wait_for_stage(job_id, stage)
        since = time.monotonic()
        store.cancel(cell.service.database, "a", job_id)
        cell.service.wait(job_id, "cancelled")
        longest_s = max(longest_s, time.monotonic() - since)
        assert cell.service.kinds(job_id) == ["queued", "started", "cancelled"]
    return longest_s


def lease_expired(cell: Cell) -> float:
    """A worker is paused for longer than its lease, and wakes up when another has the job."""
    job_id = cell.submit({"slow": "refine", "slow_s": 8})
    cell.service.wait_for_stage(job_id, "refine")
    worker, since = cell.owner(job_id), time.monotonic()
    first_attempt = cell.service.job(job_id).attempt
    paused = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    for process in paused:
        process.suspend()
    # As on a machine of its own: what the paused child has open stays its own.
    folder = cell.service.setup.work_folder / job_id
    folder.rename(folder.with_name(f"paused-{job_id}"))
    until(lambda: cell.service.job(job_id).attempt > first_attempt, what="another worker has it")
    resumed_s = time.monotonic() - since
    for process in paused:
        process.resume()
    cell.service.wait(job_id)
    return resumed_s


def random_deaths(cell: Cell, count: int, seed: int) -> float:
    """Many jobs come while workers die at random; seconds until all have ended."""
    rng = random.Random(seed)
    since = time.monotonic()
    jobs: list[str] = []
    submitting = threading.Thread(
        target=lambda: jobs.extend(cell.submit({"stage_s": 0.05}) for _ in range(count))
    )
    submitting.start()
    last = 0.0
    deaths = 0
    while submitting.is_alive() or not all(cell.service.job(job_id).is_finished for job_id in jobs):
        assert time.monotonic() - since < 600, "jobs are stuck"
        time.sleep(0.5)
        if time.monotonic() - last > 1.5 and deaths < 12:
            victim = rng.choice(cell.fleet)
            family = [
                victim.pid,
                *(child.pid for child in psutil.Process(victim.pid).children(recursive=True)),
            ]
            os.kill(rng.choice(family), signal.SIGKILL)
            deaths += 1
            time.sleep(0.2)
            cell.fleet = [worker for worker in cell.fleet if worker.poll() is None]
            while len(cell.fleet) < 2:
                cell.fleet.append(cell.service.start_worker())
            last = time.monotonic()
    return time.monotonic() - since


FAULTS: dict[str, Callable[[Cell], float]] = {
    "child_killed": child_killed, "worker_killed": worker_killed, "broker_killed_and_emptied": broker_killed,
    "database_away_2_s": database_restarted, "sigterm": stopped, "disk_full": disk_full,
    "cancel_in_each_stage": cancelled, "worker_paused_beyond_lease": lease_expired,
}  # fmt: skip


def judged(cell: Cell) -> dict[str, int]:
    """What became of all jobs that were accepted since the last judgement."""
    lost, twice = 0, 0
    for job_id in cell.accepted:
        job = cell.service.job(job_id)
        deliveries = cell.service.kinds(job_id).count("succeeded")
        twice += deliveries > 1
        files = cell.service.storage.tenant("a")
        is_there = job.artifacts is not None and b"".join(files.get(f"{job.artifacts['folder']}/model.glb"))
        is_ended = job.state == "cancelled" if job.cancel_requested else job.state == "succeeded" and is_there
        lost += not is_ended
    count = len(cell.accepted)
    cell.accepted.clear()
    return {"jobs": count, "lost": lost, "delivered_twice": twice}


@contextlib.contextmanager
def cell_named(name: str, folder: Path) -> Iterator[Cell]:
    with contextlib.ExitStack() as stack:
        broker: Server | None = None
        database: Server | None = None
        addresses: dict[str, str] = {}
        if name == "redis":
            broker = stack.enter_context(Redis(folder / "redis"))
            addresses["broker_url"] = broker.url
        if name == "rabbit":
            broker = stack.enter_context(RabbitMq(folder / "rabbit"))
            database = stack.enter_context(Postgres(folder / "postgres"))
            addresses |= {"broker_url": broker.url, "database_url": database.url}
        work = stack.enter_context(small_disk(folder / "work"))
        service = stack.enter_context(Service(folder / "service", **QUICK, **addresses, work_folder=work))
        cell = Cell(service, broker, database)
        try:
            yield cell
        finally:
            for worker in cell.fleet:
                worker.terminate()
            for worker in cell.fleet:
                worker.wait(60)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 4 MB of its own; needs root."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _answers(question: Callable[[], object]) -> bool:
    from objectscan.errors import DatabaseFailed

    try:
        question()
    except DatabaseFailed:
        return False
    return True


def run_cell(name: str, faults: list[str], runs: int, count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="faults-") as root, cell_named(name, Path(root)) as cell:
        for fault in faults:
            taken, totals = [], {"jobs": 0, "lost": 0, "delivered_twice": 0}
            for run in range(runs):
                cell.keep_fleet()
                many = fault == "random_deaths"
                taken.append(random_deaths(cell, count, run) if many else FAULTS[fault](cell))
                for key, value in judged(cell).items():
                    totals[key] += value
            seconds = {"median": round(sorted(taken)[len(taken) // 2], 1), "max": round(max(taken), 1)}
            print(
                json.dumps({"cell": name, "fault": fault, "runs": runs, **totals, "seconds": seconds}),
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", default=["files", "redis", "rabbit"])
    parser.add_argument("--faults", nargs="+", default=[*FAULTS, "random_deaths"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=200)
    options = parser.parse_args()
    for name in options.cells:
        run_cell(name, options.faults, options.runs, options.jobs)


if __name__ == "__main__":
    main()
