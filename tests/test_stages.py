from __future__ import annotations

import numpy as np
import pytest

from objectscan import stages
from objectscan.errors import Cancelled
from objectscan.stages import Outlook, StageClock
from objectscan.types import Progress, ignore_progress


class _Hand:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_time_counts_for_the_stage_that_was_at_work(monkeypatch):
    hand = _Hand()
    monkeypatch.setattr(stages.time, "perf_counter", hand)
    clock = StageClock(ignore_progress, lambda: False)
    clock._last_time = 0.0
    for now, stage, fraction in ((1, "a", 0.0), (3, "a", 1.0), (7, "b", 0.5), (8, "c", 0.0), (10, "c", 1.0)):
        hand.now = float(now)
        clock.report(Progress(stage, fraction))
    # b said 0.5 and nothing more: the second until c's first message is b's. The 4 s before b are b's too.
    assert clock.seconds == {"a": 3.0, "b": 5.0, "c": 2.0}


def test_a_stop_is_answered_at_the_next_report_and_nothing_is_passed_on():
    heard = []
    clock = StageClock(heard.append, lambda: len(heard) == 2)
    for _ in range(2):
        clock.report(Progress("a", 0.1))
    with pytest.raises(Cancelled):
        clock.report(Progress("a", 0.2))
    assert len(heard) == 2


def test_only_messages_with_a_picture_reach_the_preview():
    shown = []
    clock = StageClock(ignore_progress, lambda: False, shown.append)
    clock.report(Progress("a", 0.1))
    clock.report(Progress("a", 0.2, preview_srgb=np.zeros((1, 1, 3), np.uint8)))
    assert [progress.fraction for progress in shown] == [0.2]


def test_the_whole_fraction_follows_the_shares_and_never_falls():
    outlook = Outlook((("a", 1.0), ("b", 3.0)))
    fractions = []
    for stage, fraction in (("a", 0.0), ("a", 1.0), ("b", 0.5), ("b", 0.2), ("unknown", 0.5), ("b", 1.0)):
        outlook.update(Progress(stage, fraction))
        fractions.append(outlook.fraction)
    assert fractions == [0.0, 0.25, 0.625, 0.625, 0.625, 1.0]


def test_the_remaining_time_extrapolates():
    hand = _Hand()
    outlook = Outlook((("a", 0.5), ("b", 0.5)), clock=hand)
    assert outlook.update(Progress("a", 0.01)) is None
    hand.now = 30.0
    assert outlook.update(Progress("a", 0.5)) == pytest.approx(90.0)


def test_stages_that_a_resumed_run_skips_do_not_make_it_look_fast():
    hand = _Hand()
    outlook = Outlook((("a", 0.8), ("b", 0.2)), clock=hand)
    hand.now = 10.0
    assert outlook.update(Progress("b", 0.5)) == pytest.approx(10.0)
