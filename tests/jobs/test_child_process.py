from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from helpers.servers import until
from helpers.service import is_gone
from objectscan.errors import WorkerLost
from objectscan.jobs.child_process import ChildProcess

READY = 'print(json.dumps({"event": "ready"}), flush=True)'


@pytest.fixture
def start():
    children = []

    def begin(code: str) -> ChildProcess:
        program = "import json, os, signal, subprocess, sys, time\n" + textwrap.dedent(code)
        child = ChildProcess([sys.executable, "-c", program], {"MARK": "here"})
        children.append(child)
        return child

    yield begin
    for child in children:
        child.kill()


def ready(child: ChildProcess) -> ChildProcess:
    child.wait_ready(60, threading.Event())
    return child


def test_messages_go_both_ways(start):
    child = ready(
        start(f"{READY}\nfor line in sys.stdin: print(json.dumps({{'event': line.strip()}}), flush=True)")
    )
    child.send({"a": 1})
    until(lambda: (message := child.next_message(0.1)) and message == {"event": '{"a": 1}'})


def test_the_child_leads_its_own_group_and_has_its_variables(start):
    child = ready(
        start(f"{READY}\nprint(json.dumps({{'event': os.environ['MARK']}}), flush=True); sys.stdin.read()")
    )
    assert os.getpgid(child.pid) == child.pid != os.getpgrp()
    until(lambda: child.next_message(0.1) == {"event": "here"})


def test_a_child_that_ends_is_told_with_its_code_and_last_words(start):
    child = start("sys.stderr.write('no more\\n'); sys.exit(3)")
    with pytest.raises(WorkerLost, match="code 3") as told:
        child.wait_ready(60, threading.Event())
    assert told.value.details["log"] == ["no more"]


def test_a_child_that_is_killed_is_told_with_the_signal_after_its_last_message(start):
    child = start(f"{READY}\nos.kill(os.getpid(), signal.SIGKILL)")
    ready(child)
    with pytest.raises(WorkerLost, match="SIGKILL"):
        until(lambda: child.next_message(0.1))


def test_a_child_that_is_never_ready_is_given_up(start):
    with pytest.raises(WorkerLost, match=r"0\.3 s"):
        start("time.sleep(600)").wait_ready(0.3, threading.Event())


def test_lines_that_are_no_messages_are_passed_over(start):
    code = f"print('hello'); print('[1]'); print('{{}}'); {READY}; sys.stdin.read()"
    ready(start(code))


def test_a_child_that_listens_stops_its_job_and_stays(start):
    code = f"{READY}\nfor line in sys.stdin: print(json.dumps({{'event': 'stopped'}}), flush=True)"
    child = ready(start(code))
    assert child.stop_job(60) == {"event": "stopped"} and child.is_alive


def test_a_child_that_listens_to_nothing_is_killed_with_all_that_it_started(start):
    grandchild = "import time; time.sleep(600)"
    child = ready(start(f"""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for session in (False, True):
            subprocess.Popen([sys.executable, "-c", {grandchild!r}], start_new_session=session)
        {READY}
        while True: time.sleep(1)
    """))  # fmt: skip
    family = [child.pid, *(process.pid for process in psutil.Process(child.pid).children(recursive=True))]
    assert len(family) == 3
    began = time.monotonic()
    assert child.stop_job(0.2) is None
    assert time.monotonic() - began < 60 and all(is_gone(pid) for pid in family)


def test_a_killed_child_can_be_killed_again(start):
    child = ready(start(f"{READY}\ntime.sleep(600)"))
    child.kill()
    child.kill()
    assert not child.is_alive
    with pytest.raises(WorkerLost, match="SIGTERM"):
        child.send({})


def test_the_real_child_ends_itself_when_its_worker_dies(tmp_path):
    """The worker is killed, not stopped: nobody is left to end the child but itself."""
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'helpers.fake_child'], stdin=subprocess.PIPE, "
        "stdout=subprocess.PIPE, start_new_session=True)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(600)"
    )
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = os.pathsep.join([os.path.join(os.path.dirname(tests), "src"), tests])
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    with parent:
        child = int(parent.stdout.readline())
        assert not is_gone(child)
        os.kill(parent.pid, signal.SIGKILL)
    until(lambda: is_gone(child))
