"""Load on the API: a large upload, many small ones, long tables, many listeners. Prints JSON.

    python benchmarks/load.py [--megabytes 500] [--jobs 10000] [--listeners 1000] [--postgres]

Starts an API process in a temporary folder, with SQLite, or with a PostgreSQL of its own. States for
    upload     MB/s, growth of the API's memory over idle, /healthz p50 / p99 / max meanwhile
    clients    p50 / p99 from the last byte of a POST to the head of its answer, with 50 clients
    tables     p99 of a list page over HTTP and of a claim, with so many jobs in the table
    listeners  streams that got an event, and how long until the last one had it
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.servers import Postgres, free_port, until  # noqa: E402
from objectscan.jobs import claims  # noqa: E402
from objectscan.jobs.database import Database  # noqa: E402
from objectscan.jobs.keys import KeyRules, make_key, read_pepper  # noqa: E402
from objectscan.jobs.setup import setup_from  # noqa: E402
from objectscan.jobs.store import NewJob, submit  # noqa: E402
from objectscan.settings import settings_from  # noqa: E402

PHOTO_BYTES = 5_000_000
CLIENTS, POSTS = 50, 300
PAUSE_S = 4.0
"""Mean time between two posts of a client: 12 jobs a second in all, far above what workers can do."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--postgres", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        variables = {
            "OBJECTSCAN_DATA_FOLDER": str(folder / "data"),
            "OBJECTSCAN_MAX_REQUEST_BYTES": "1000000000",
        }
        if arguments.postgres:
            server = stack.enter_context(Postgres(folder / "postgres"))
            variables["OBJECTSCAN_DATABASE_URL"] = server.url
        variables["OBJECTSCAN_TENANT_MAX_WAITING"] = "0"
        run = stack.enter_context(served(folder, variables))
        result = {
            "database": "postgresql" if arguments.postgres else "sqlite",
            "upload": upload(run, arguments.megabytes),
            "clients": asyncio.run(many_clients(run)),
            "listeners": asyncio.run(listeners(run, arguments.listeners)),
            "tables": tables(run, arguments.jobs),
        }
    print(json.dumps(result, indent=1))
    return 0


class Run:
    """A running API."""

    def __init__(self, base: str, key: str, process: psutil.Process, database: Database):
        self.base, self.process, self.database = base, process, database
        self.headers = {"Authorization": f"Bearer {key}"}


@contextlib.contextmanager
def served(folder: Path, variables: dict[str, str]) -> Iterator[Run]:
    setup = setup_from(settings_from(variables))
    database = Database(setup.database_url)
    database.upgrade()
    pepper = read_pepper(setup.data_folder / "pepper")
    key = make_key(database, pepper, "load", "load", KeyRules(("jobs:read", "jobs:write")))[1]
    port = free_port()
    command = [sys.executable, "-m", "objectscan.cli.main", "api", "--port", str(port)]
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(base), what="the API")
        time.sleep(3)  # the checking process loads meanwhile
        yield Run(base, key, psutil.Process(process.pid), database)
    finally:
        process.terminate()
        process.wait(40)
        database.close()


def upload(run: Run, megabytes: int) -> dict[str, Any]:
    """One request of photos of 5 MB."""
    photo = b"\xff\xd8\xff\xe0" + np.random.default_rng(0).bytes(PHOTO_BYTES)
    count = megabytes * 1_000_000 // PHOTO_BYTES
    head = b'--b\r\nContent-Disposition: form-data; name="photos"; filename="%04d.jpg"\r\n\r\n'

    def body() -> Iterator[bytes]:
        for number in range(count):
            yield head % number
            for at in range(0, len(photo), 262_144):
                yield photo[at : at + 262_144]
            yield b"\r\n"
        yield b"--b--\r\n"

    watch = Watch(run)
    began = time.perf_counter()
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = httpx.post(f"{run.base}/v1/jobs", content=body(), headers={**run.headers, **kind}, timeout=600)
    seconds = time.perf_counter() - began
    assert answer.status_code == 202, answer.text
    return {"megabytes": megabytes, "megabytes_per_s": round(megabytes / seconds, 1), **watch.end()}


class Watch:
    """Memory of the API and the time of /healthz while something else goes on."""

    def __init__(self, run: Run):
        self._run, self._stop = run, threading.Event()
        self._idle = run.process.memory_info().rss
        self._peak, self._times = self._idle, list[float]()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        with httpx.Client(base_url=self._run.base) as client:
            while not self._stop.wait(0.01):
                began = time.perf_counter()
                client.get("/healthz")
                self._times.append(time.perf_counter() - began)
                self._peak = max(self._peak, self._run.process.memory_info().rss)

    def end(self) -> dict[str, float]:
        self._stop.set()
        self._thread.join()
        growth = (self._peak - self._idle) / 1e6
        return {
            "memory_growth_mb": round(growth, 1),
            "idle_mb": round(self._idle / 1e6, 1),
            **in_ms(self._times, "healthz"),
        }


async def many_clients(run: Run) -> dict[str, Any]:
    """Small jobs from many clients; the time counts from the last byte that was sent."""
    photo = b"\xff\xd8\xff\xe0" + bytes(20_000)
    part = b'--b\r\nContent-Disposition: form-data; name="photos"; filename="%d.jpg"\r\n\r\n%s\r\n'
    whole = b"".join(part % (number, photo) for number in range(5)) + b"--b--\r\n"
    kind = {**run.headers, "Content-Type": "multipart/form-data; boundary=b"}
    times: list[float] = []
    rng = np.random.default_rng(0)

    async def client_loop() -> None:
        async with httpx.AsyncClient(base_url=run.base, timeout=60) as client:
            for _ in range(POSTS // CLIENTS):
                await asyncio.sleep(rng.uniform(0, 2 * PAUSE_S))
                sent = 0.0

                async def body() -> Any:
                    nonlocal sent
                    yield whole
                    sent = time.perf_counter()

                answer = await client.post("/v1/jobs", content=body(), headers=kind)
                times.append(time.perf_counter() - sent)
                assert answer.status_code == 202, answer.text

    began = time.perf_counter()
    await asyncio.gather(*(client_loop() for _ in range(CLIENTS)))
    rate = POSTS / (time.perf_counter() - began)
    return {"clients": CLIENTS, "posts": POSTS, "posts_per_s": round(rate, 1), **in_ms(times, "post")}


async def listeners(run: Run, count: int) -> dict[str, Any]:
    """Streams of all jobs; then one job is made."""
    heard: list[float] = []
    ready = asyncio.Semaphore(0)

    async def listen() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(run.base.rsplit(":", 1)[1]))
        lines = [f"{name}: {text}" for name, text in run.headers.items()]
        writer.write("\r\n".join(["GET /v1/events HTTP/1.1", "Host: x", *lines, "", ""]).encode())
        await reader.readuntil(b"retry: 2000")
        ready.release()
        await reader.readuntil(b"event: queued")
        heard.append(time.perf_counter())
        writer.close()

    gate = asyncio.Semaphore(100)

    async def gently() -> None:
        async with gate:
            task = asyncio.create_task(listen())
            await asyncio.sleep(0.05)
        await task

    tasks = [asyncio.create_task(gently()) for _ in range(count)]
    for _ in range(count):
        await asyncio.wait_for(ready.acquire(), 120)
    idle = run.process.memory_info().rss
    cpu_before, at = sum(run.process.cpu_times()[:2]), time.perf_counter()
    await asyncio.sleep(3)
    cpu = (sum(run.process.cpu_times()[:2]) - cpu_before) / (time.perf_counter() - at)
    made = time.perf_counter()
    await asyncio.to_thread(submit, run.database, NewJob("load", "uploads/x"))
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    return {
        "listeners": count, "heard": len(heard), "last_after_s": round(max(heard) - made, 3),
        "memory_mb": round(idle / 1e6, 1), "idle_processor_share": round(cpu, 3),
    }  # fmt: skip


def tables(run: Run, count: int) -> dict[str, Any]:
    """A long line of jobs: pages of it, and claims from it."""
    for number in range(count):
        submit(run.database, NewJob("load", f"uploads/{number}"))
    pages, claimed = [], []
    with httpx.Client(base_url=run.base, headers=run.headers, timeout=60) as client:
        cursor = None
        for _ in range(200):
            began = time.perf_counter()
            page = client.get(
                "/v1/jobs", params={"limit": 50, **({"cursor": cursor} if cursor else {})}
            ).json()
            pages.append(time.perf_counter() - began)
            cursor = page["next_cursor"]
    for _ in range(200):
        began = time.perf_counter()
        assert claims.claim(run.database, "bench", 60) is not None
        claimed.append(time.perf_counter() - began)
    return {"jobs": count, **in_ms(pages, "list"), **in_ms(claimed, "claim")}


def in_ms(seconds: list[float], name: str) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        f"{name}_p50_ms": round(1000 * ordered[len(ordered) // 2], 1),
        f"{name}_p99_ms": round(1000 * ordered[int(0.99 * (len(ordered) - 1))], 1),
        f"{name}_max_ms": round(1000 * ordered[-1], 1),
    }


def answers(base: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{base}/healthz", timeout=1).status_code == 200
    return False


if __name__ == "__main__":
    sys.exit(main())
