"""The command as a process of its own: killed, interrupted, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.jobs import write_ball_capture

_TESTS = Path(__file__).parents[1]
_SOURCE = _TESTS.parent / "src"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_ball_capture(tmp_path_factory.mktemp("photos"))


class _Job:
    def __init__(self, photos: Path, folder: Path):
        self.out, self.log = folder / "out", folder / "log"
        self._arguments = ("reconstruct", str(photos), "-o", str(self.out), "--preset", "preview")

    def start(self, mode: str) -> subprocess.Popen[str]:
        paths = os.pathsep.join([str(_SOURCE), str(_TESTS)])
        settings = {"PYTHONPATH": paths, "BALL_ENGINE": mode, "BALL_LOG": str(self.log)}
        command = [sys.executable, "-m", "cli.ball_command", *self._arguments]
        return subprocess.Popen(
            command, env={**os.environ, **settings}, cwd=_TESTS, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def ran(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def wait_for_refine(self) -> None:
        deadline = time.monotonic() + 60
        while "refine" not in self.ran():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.2)


@pytest.fixture
def job(photos, tmp_path):
    return _Job(photos, tmp_path)


def test_a_killed_run_resumes_after_its_last_finished_stage(job):
    killed = job.start("kill")
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert job.ran() == ["shape", "refine"] and not (job.out / "model.glb").exists()
    again = job.start("")
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert job.ran() == ["shape", "refine", "refine"] and (job.out / "model.glb").exists()


@pytest.mark.parametrize(
    ("mode", "number"), [("wait", signal.SIGINT), ("deaf", signal.SIGINT), ("wait", signal.SIGTERM)]
)
def test_ctrl_c_ends_the_run_soon_and_prints_how_to_go_on(job, mode, number):
    process = job.start(mode)
    job.wait_for_refine()
    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    # Including the end of an interpreter with torch on a busy machine; test_interrupt.py times the answer.
    assert time.monotonic() - began < 30.0
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert f"objectscan reconstruct {job._arguments[1]} -o {job.out} --preset preview" in errors
    assert (job.out / "stages" / "shape.npz").exists() and not (job.out / "model.glb").exists()


def test_a_second_run_in_a_folder_in_use_is_refused(job):
    first = job.start("wait")
    job.wait_for_refine()
    second = job.start("")
    _, errors = second.communicate(timeout=60)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert second.returncode == 2 and "Another run is using" in errors


def test_help_loads_nothing_heavy():
    code = (
        "import sys, objectscan.cli.main as m\n"
        "try: m.run(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numba', 'cv2', 'scipy', 'skimage'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(_SOURCE)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
