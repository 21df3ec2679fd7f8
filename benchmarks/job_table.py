"""How long the statements of the job table take with 10,000 jobs in it: one JSON line a database.

    python benchmarks/job_table.py [--jobs 10000] [--repeats 300]

Starts a PostgreSQL of its own. Of the jobs half wait, half are finished; 20 tenants. `claim` is timed
with one claimer and with four threads at once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.servers import Postgres
from objectscan.jobs import claims, store
from objectscan.jobs.claims import StageProgress
from objectscan.jobs.database import Database, now
from objectscan.jobs.model import jobs
from objectscan.jobs.store import Filters, NewJob

TENANTS = 20


def fill(database: Database, count: int) -> None:
    """Copies of one submitted job, so that every column has its usual size."""
    template = store.submit(database, NewJob("t0", "uploads/x", preset="preview"))[0]
    with database.writing() as connection:
        row = dict(connection.execute(sa.select(jobs).where(jobs.c.id == template.id)).one()._mapping)
        del row["number"]
        rows = []
        for number in range(count - 1):
            is_over = number % 2 == 1
            rows.append(
                {
                    **row, "id": f"{number:036d}", "tenant": f"t{number % TENANTS}", "priority": number % 10,
                    "state": "succeeded" if is_over else "queued",
                    "started_at": time.time() - (number % 7200) if is_over else None,
                    "finished_at": time.time() if is_over else None,
                }
            )  # fmt: skip
        connection.execute(sa.insert(jobs), rows)
    with database.writing() as connection:
        connection.execute(sa.text("ANALYZE"))


def timed(action: Callable[[], object], repeats: int) -> list[float]:
    """Milliseconds of each call."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def summary(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "p50_ms": round(statistics.median(ordered), 2),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 2),
        "calls": len(ordered),
    }


def claimed_by_four(database: Database, repeats: int) -> list[float]:
    taken: list[float] = []
    threads = [
        threading.Thread(
            target=lambda: taken.extend(timed(lambda: claims.claim(database, "w", 600), repeats // 4))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def measure(database: Database, count: int, repeats: int) -> dict[str, object]:
    fill(database, count)
    job = store.list_jobs(database, "t0", Filters(states=("queued",))).jobs[0]
    middle = store.list_jobs(database, "t1", limit=100).next_cursor
    mine = claims.claim(database, "me", 600)
    assert mine is not None
    progress = StageProgress("shape", 0.5, 0.5, 1.0)
    calls: dict[str, Callable[[], object]] = {
        "list_first_page": lambda: store.list_jobs(database, "t1"),
        "list_middle_page_by_state": lambda: store.list_jobs(
            database, "t1", Filters(states=("queued",)), cursor=middle
        ),
        "get": lambda: store.get_job(database, "t0", job.id),
        "queue_position": lambda: store.position_of(database, job),
        "submit": lambda: store.submit(database, NewJob("t3", "uploads/x", preset="preview")),
        "beat_with_event": lambda: claims.beat(database, mine, 60, progress, tell=True),
        "listen": lambda: claims.listen(database, mine),
        "reap_nothing": lambda: claims.reap(database, claims.Limits(3, 300)),
        "claim": lambda: claims.claim(database, "w", 600),
    }
    results = {name: summary(timed(call, repeats)) for name, call in calls.items()}
    results["claim_by_four_at_once"] = summary(claimed_by_four(database, repeats))
    with database.reading() as connection:
        claimed = connection.execute(sa.select(sa.func.count()).where(jobs.c.state == "running")).scalar()
        assert connection.execute(sa.select(now())).scalar()
    assert claimed == 1 + repeats + 4 * (repeats // 4), "a claim was lost or made twice"
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Postgres(folder / "postgres") as server:
            urls = {"sqlite": f"sqlite:///{folder / 'jobs.db'}", "postgresql": server.url}
            for kind, url in urls.items():
                database = Database(url)
                database.upgrade()
                results = measure(database, options.jobs, options.repeats)
                database.close()
                print(json.dumps({"database": kind, "jobs": options.jobs, "milliseconds": results}))


if __name__ == "__main__":
    main()
