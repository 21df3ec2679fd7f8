"""`objectscan worker` as its operator sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.servers import until
from objectscan.cli.main import run
from objectscan.jobs import workers
from objectscan.jobs.database import Database
from objectscan.jobs.setup import setup_from
from objectscan.settings import settings_from

_SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("OBJECTSCAN_DATA_FOLDER", str(tmp_path / "data"))
    return tmp_path / "data"


def check(capsys) -> tuple[int, list[dict]]:
    with pytest.raises(SystemExit) as ended:
        run(["worker", "--check", "--json"])
    return ended.value.code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_check_says_whether_a_worker_of_this_host_is_ready(capsys):
    assert check(capsys)[0] == 4  # nothing was ever started here
    database = Database(setup_from(settings_from(os.environ)).database_url)
    database.upgrade()
    workers.enter(database, "w1", socket.gethostname(), 17)
    code, lines = check(capsys)
    assert code == 4 and [line["event"] for line in lines] == ["worker", "error"]
    workers.renew(database, "w1", "idle", None, {"jobs_done": 3})
    code, lines = check(capsys)
    assert code == 0 and (lines[0]["pid"], lines[0]["facts"]) == (17, {"jobs_done": 3})
    workers.leave(database, "w1")
    database.close()
    assert check(capsys)[0] == 4


def test_an_address_that_cannot_be_used_ends_the_worker_with_words(monkeypatch, capsys):
    monkeypatch.setenv("OBJECTSCAN_DATABASE_URL", "mysql://host/db")
    with pytest.raises(SystemExit) as ended:
        run(["worker", "--check"])
    assert ended.value.code == 2 and "mysql" in capsys.readouterr().err


def test_a_worker_gets_ready_with_the_real_engine_and_ends_by_sigterm(data, capsys):
    command = [sys.executable, "-m", "objectscan.cli.main", "worker"]
    log = data.parent / "log"
    with log.open("wb") as file:
        worker = subprocess.Popen(command, stderr=file, env={**os.environ, "PYTHONPATH": str(_SOURCE)})
    try:
        until(lambda: "The child is ready." in log.read_text(), timeout_s=300, what="readiness")
        until(lambda: check(capsys)[0] == 0, what="the check says so")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert {"The worker starts.", "The child is ready.", "The worker stops."} <= {
        one["message"] for one in lines
    }
    assert check(capsys)[0] == 4
