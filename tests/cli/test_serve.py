"""`objectscan serve` and `objectscan api` as their operator sees them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from helpers.servers import free_port, until
from objectscan.cli.main import run
from objectscan.jobs.database import Database
from objectscan.jobs.keys import has_keys
from objectscan.jobs.setup import setup_from
from objectscan.settings import settings_from

_SOURCE = Path(__file__).parents[2] / "src"


class Served:
    """A running `objectscan serve`."""

    def __init__(self, folder: Path, *arguments: str):
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "objectscan.cli.main", "serve", "--json", "--port", str(self.port)]
        variables = {
            **os.environ, "PYTHONPATH": str(_SOURCE), "OBJECTSCAN_DATA_FOLDER": str(folder / "data"),
            "OBJECTSCAN_STOP_GRACE_S": "3",
        }  # fmt: skip
        self.log = (folder / "serve.log").open("ab")
        self.process = subprocess.Popen(
            [*command, *arguments], env=variables, stdout=subprocess.PIPE, stderr=self.log
        )

    def __enter__(self) -> Served:
        assert self.process.stdout is not None
        self.told = json.loads(self.process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.code = self.process.wait(40)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.log.close()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()


@pytest.mark.slow
def test_the_first_start_makes_a_key_and_all_ends_together(tmp_path):
    with Served(tmp_path, "--workers", "0") as served:
        address, key = served.told["address"], served.told["key"]
        assert address == f"{served.base}/#key={key}"
        headers = {"Authorization": f"Bearer {key}"}
        assert httpx.get(f"{served.base}/v1/info", headers=headers).status_code == 200
        children = served.children()
        assert len(children) == 1
        children[0].kill()  # the supervisor starts it again
        until(lambda: served.children() and served.children()[0].pid != children[0].pid)
        until(lambda: _answers(served.base), timeout_s=30)
        children = served.children()
    assert served.code == 0
    assert not any(child.is_running() for child in children)
    with Served(tmp_path, "--workers", "0") as again:
        assert again.told == {"event": "address", "address": f"{again.base}/", "key": None}
        assert httpx.get(f"{again.base}/v1/info", headers=headers).status_code == 200


def test_processes_end_with_their_supervisor_even_if_it_is_killed(tmp_path):
    with Served(tmp_path, "--workers", "0") as served:
        children = served.children()
        served.process.kill()
        until(lambda: not any(child.is_running() for child in children), timeout_s=30)


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("verb", ["serve", "api"])
def test_an_address_that_others_reach_needs_a_key_first(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.setenv("OBJECTSCAN_DATA_FOLDER", str(tmp_path / "data"))
    with pytest.raises(SystemExit) as ended:
        run([verb, "--host", "0.0.0.0", "--port", str(free_port())])
    assert ended.value.code == 2
    assert "--new-key" in capsys.readouterr().err
    database = Database(setup_from(settings_from(os.environ)).database_url)
    assert not has_keys(database)
    database.close()


def test_a_port_that_is_taken_is_said_so(tmp_path, monkeypatch, capsys):
    import socket

    monkeypatch.setenv("OBJECTSCAN_DATA_FOLDER", str(tmp_path / "data"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit) as ended:
            run(["serve", "--port", str(taken.getsockname()[1])])
    assert ended.value.code == 2
    assert "can't be opened" in capsys.readouterr().err
