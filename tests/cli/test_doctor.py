from __future__ import annotations

import json

import pytest

from objectscan.cli import doctor
from objectscan.cli.main import run


def _facts(capsys, code: int) -> dict[str, dict]:
    with pytest.raises(SystemExit) as caught:
        run(["doctor", "--json"])
    assert caught.value.code == code
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {event["name"]: event for event in events if event["event"] == "fact"}


def test_a_machine_in_order_passes_and_every_fact_is_told(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "free_memory_bytes", lambda: 8 * 10**9)
    facts = _facts(capsys, 0)
    assert set(facts) == {
        "python", "packages", "settings", "processor", "memory", "disk", "shared memory", "kernel cache",
        "torch", "gpu", "weights",
    }  # fmt: skip
    assert facts["memory"]["value"] == "8.0 GB free"


def test_too_little_memory_gives_advice_and_exit_code_4(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "free_memory_bytes", lambda: 10**9)
    memory = _facts(capsys, 4)["memory"]
    assert not memory["ok"] and "preview" in memory["advice"]


def test_a_question_that_fails_is_an_answer(capsys, monkeypatch):
    def broken():
        raise OSError("driver on fire")

    monkeypatch.setattr(doctor, "free_memory_bytes", broken)
    memory = _facts(capsys, 4)["memory"]
    assert not memory["ok"] and "driver on fire" in memory["value"]


def test_a_missing_package_is_named(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_PACKAGES", ("numpy", "no-such-package"))
    assert "no-such-package" in _facts(capsys, 4)["packages"]["advice"]


def test_a_kernel_cache_that_can_not_be_written_is_found(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert not _facts(capsys, 4)["kernel cache"]["ok"]


def test_a_wrong_setting_is_a_fact_not_a_crash(capsys, monkeypatch):
    monkeypatch.setenv("OBJECTSCAN_THREADS", "all")
    assert "OBJECTSCAN_THREADS" in _facts(capsys, 4)["settings"]["value"]


def test_a_driver_that_hangs_is_in_nobodys_way(capsys, monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    gpu = _facts(capsys, 0)["gpu"]
    assert gpu["ok"] and "does not answer" in gpu["value"]
