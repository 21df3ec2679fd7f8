"""What the child does with orders, in this process; and once for real, with the pipeline."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from helpers.jobs import BallEngine, take_small_pictures, write_ball_capture
from objectscan import pipeline
from objectscan.errors import BadMasks, BadWorkspace, Cancelled, EmptyForeground, NotEnoughMemory
from objectscan.jobs import child
from objectscan.jobs.child import Child, Order, PipelineWork, resource_facts
from objectscan.recipes import PREVIEW, expanded, recipe_for, recipe_from
from objectscan.types import Progress


class Scripted:
    """Reports, then ends as it is told."""

    def __init__(self, end=None):
        self.end, self.orders = end, []

    def prepare(self):
        pass

    def shares(self, order):
        return (("shape", 0.5), ("refine", 0.5))

    def run(self, order, report, cancelled):
        self.orders.append(order)
        for step in range(1001):
            report(Progress("shape", step / 1000))
        report(Progress("refine", 0.5))
        if self.end is not None:
            raise self.end
        return {"score": float("nan"), "grade": "high", "folder": Path("x")}


def answers(work) -> list[dict]:
    out = io.BytesIO()
    Child(work, io.BytesIO(), out)._carry_out(Order("j", Path("photos"), Path("out"), {}, 0))
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_progress_is_thinned_out_and_tells_of_the_whole_job():
    told = answers(Scripted())
    progress = [message for message in told if message["event"] == "progress"]
    assert 3 <= len(progress) < 50
    assert [message["fraction"] for message in progress[-2:]] == [0.5, 0.75]
    assert progress[-1]["stage"] == "refine" and progress[-1]["stage_fraction"] == 0.5


def test_a_summary_has_nothing_that_json_lacks():
    done = answers(Scripted())[-1]
    assert done["event"] == "done" and done["summary"] == {"score": None, "grade": "high", "folder": "x"}
    assert done["memory_bytes"] > 1_000_000 and done["fragmentation"] is None


@pytest.mark.parametrize(
    ("end", "kind", "code"),
    [
        (BadMasks("Empty."), "photos", "bad_masks"),
        (EmptyForeground("Nothing."), "photos", "empty_foreground"),
        (BadWorkspace("Full."), "machine", "bad_workspace"),
        (NotEnoughMemory("99 GB."), "memory", "not_enough_memory"),
        (MemoryError(), "memory", "error"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "memory", "error"),
        (ZeroDivisionError("by cat"), "machine", "error"),
    ],
)
def test_an_error_says_whether_another_attempt_can_help(end, kind, code, capsys):
    failed = answers(Scripted(end))[-1]
    assert (failed["event"], failed["kind"], failed["error"]["code"]) == ("failed", kind, code)
    assert ("Traceback" in capsys.readouterr().err) == (code == "error")


def test_a_stopped_job_says_so():
    assert answers(Scripted(Cancelled("Stopped.")))[-1] == {"event": "stopped"}


def test_an_order_that_cannot_be_read_fails_and_ends_nothing():
    work = Scripted()
    work.shares = lambda order: (_ for _ in ()).throw(BadMasks("x"))
    assert answers(work)[-1]["event"] == "failed"


@pytest.mark.parametrize("preset", ["preview", "standard", "high"])
def test_a_recorded_recipe_is_the_recipe(preset):
    recipe = recipe_for(preset, {"budget.faces": 777, "refine_cameras": True})
    assert recipe_from(json.loads(json.dumps(expanded(recipe)))) == recipe


def test_graphics_memory_is_measured_where_torch_has_it(monkeypatch):
    class Cuda:
        is_available = is_initialized = staticmethod(lambda: True)
        empty_cache = staticmethod(lambda: None)
        memory_reserved = staticmethod(lambda: 1000)
        memory_allocated = staticmethod(lambda: 600)

    monkeypatch.setitem(sys.modules, "torch", type("torch", (), {"cuda": Cuda}))
    assert resource_facts()["fragmentation"] == pytest.approx(0.4)
    Cuda.memory_reserved = staticmethod(lambda: 0)
    assert resource_facts()["fragmentation"] == 0.0


def test_the_real_work_reconstructs_and_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "engine_named", BallEngine)
    monkeypatch.setattr("objectscan.engines.base.engine_named", BallEngine)
    take_small_pictures(monkeypatch)
    monkeypatch.setenv("BALL_LOG", str(tmp_path / "log"))
    photos = write_ball_capture(tmp_path / "photos")
    order = Order("j", photos, tmp_path / "out", json.loads(json.dumps(expanded(PREVIEW))), 0)
    work = PipelineWork()
    work.prepare()
    assert [name for name, _ in work.shares(order)] == ["capture", "shape", "refine", "evaluate", "preview"]
    heard: list[Progress] = []
    with pytest.raises(Cancelled):
        work.run(order, heard.append, lambda: any(progress.stage == "refine" for progress in heard))
    summary = work.run(order, heard.append, lambda: False)
    assert summary["grade"] in ("high", "medium", "low") and summary["reason"]
    assert (tmp_path / "log").read_text().split() == ["shape", "refine", "refine"]
    assert (tmp_path / "out" / "model.glb").stat().st_size > 1000
    assert child._kind(BadWorkspace("x")) == "machine"
