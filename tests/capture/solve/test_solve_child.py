"""The child process: ended in time, its failures told, its parent unharmed."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path

import psutil
import pytest

from objectscan.capture.solve import child
from objectscan.capture.solve.child import ChildRun, run_operation
from objectscan.errors import CamerasNotFound, Cancelled, MissingDependency, NotEnoughMemory


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts another program in the place of the solver's."""

    def write(text: str) -> None:
        file = tmp_path / "program.py"
        file.write_text(text)
        monkeypatch.setattr(child, "_PROGRAM", file)

    return write


def run_in(folder: Path, *, timeout_s: float = 20.0, report=lambda fraction, message: None) -> ChildRun:
    return ChildRun(folder, time.monotonic() + timeout_s, 0, report)


def test_progress_is_passed_on(tmp_path: Path, program):
    program('print(\'{"fraction": 0.25, "message": "a quarter"}\', flush=True)')
    told: list[tuple[float, str]] = []
    run_operation("mapping", {}, run_in(tmp_path, report=lambda *values: told.append(values)))
    assert told[-1] == (0.25, "a quarter")


def test_a_crash_is_told_with_its_last_words(tmp_path: Path, program):
    program("import os, sys\nprint('check failed: x > 0', file=sys.stderr, flush=True)\nos.abort()")
    with pytest.raises(CamerasNotFound, match="exit code -6") as caught:
        run_operation("matches", {}, run_in(tmp_path))
    assert caught.value.details["reason"] == "solver_crashed"
    assert "check failed: x > 0" in str(caught.value.details["log"])


def test_a_hung_child_that_ignores_sigterm_is_killed_at_its_time(tmp_path: Path, program):
    program("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)")
    began = time.monotonic()
    with pytest.raises(CamerasNotFound) as caught:
        run_operation("mapping", {}, run_in(tmp_path, timeout_s=1.0))
    assert caught.value.details["reason"] == "timeout"
    assert time.monotonic() - began < 3.0
    assert psutil.Process().children() == []


def test_a_stop_kills_the_child_within_a_second(tmp_path: Path, program):
    program('import time\nprint(\'{"fraction": 0.5, "message": "half"}\', flush=True)\ntime.sleep(60)')
    asked: list[float] = []

    def stop(fraction: float, message: str) -> None:
        if fraction > 0:
            asked.append(time.monotonic())
            raise Cancelled("Stopped on request.")

    with pytest.raises(Cancelled):
        run_operation("mapping", {}, run_in(tmp_path, report=stop))
    assert time.monotonic() - asked[0] < 1.0
    assert psutil.Process().children() == []


def test_too_little_memory_is_told_as_that(tmp_path: Path, program):
    program("import sys\nprint('std::bad_alloc', file=sys.stderr)\nsys.exit(1)")
    with pytest.raises(NotEnoughMemory, match="matches"):
        run_operation("matches", {}, run_in(tmp_path))


def test_a_missing_pycolmap_is_told_as_that(tmp_path: Path, program):
    program("import pycolmap_is_not_here")
    with pytest.raises(CamerasNotFound):
        run_operation("matches", {}, run_in(tmp_path))
    program("raise ModuleNotFoundError(\"No module named 'pycolmap'\")")
    with pytest.raises(MissingDependency, match="pycolmap"):
        run_operation("matches", {}, run_in(tmp_path))


def test_the_real_program_leaves_when_its_stdin_ends_as_with_a_killed_parent(tmp_path: Path):
    task = tmp_path / "task.json"
    task.write_text(json.dumps({"operation": "mapping", "seed": 0, "memory_bytes": 0}))
    with (tmp_path / "log").open("wb") as log:
        running = child._start(task, log, log)
        assert running.stdin is not None
        running.stdin.close()
        assert running.wait(timeout=20) == 3


def test_the_real_program_imports_zlib_before_all_else():
    tree = ast.parse(child._PROGRAM.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    first = min(imports, key=lambda node: node.lineno)
    assert isinstance(first, ast.Import) and first.names[0].name == "zlib"


def test_the_real_program_obeys_its_memory_limit(tmp_path: Path):
    values = {"seed": 0}
    run = ChildRun(tmp_path, time.monotonic() + 30, 300_000_000, lambda fraction, message: None)
    with pytest.raises(NotEnoughMemory):
        run_operation("mapping", values, run)
