from __future__ import annotations

import os
import signal
import time

import pytest

from objectscan.cli.interrupt import StopRequest
from objectscan.errors import Cancelled


def _sleep_until_stopped() -> float:
    began = time.monotonic()
    with pytest.raises(Cancelled):
        time.sleep(10)
    return time.monotonic() - began


def test_the_first_signal_only_asks():
    with StopRequest() as stop:
        assert not stop.is_made()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        assert stop.is_made()


def test_work_that_does_not_answer_is_stopped_within_a_second():
    with StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
        assert 0.2 < _sleep_until_stopped() < 1.0


def test_a_second_signal_stops_at_once():
    with StopRequest() as stop, pytest.raises(Cancelled):
        os.kill(os.getpid(), signal.SIGINT)
        while not stop.is_made():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        pytest.fail("the second signal was ignored")


def test_afterwards_signals_do_what_they_did_and_no_alarm_comes():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.9)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
