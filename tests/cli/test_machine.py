from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from objectscan.cli import machine
from objectscan.settings import settings_from


@pytest.fixture(autouse=True)
def _no_other_place(monkeypatch, tmp_path):
    """Neither the package nor the user's cache can be written."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(machine.os, "access", lambda path, mode: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def _cache(**environment: str) -> Path | None:
    return machine.kernel_cache(settings_from(environment))


def test_the_last_resort_is_a_folder_that_only_we_can_read():
    folder = _cache()
    assert folder is not None and folder.stat().st_mode & 0o777 == 0o700
    assert _cache() == folder  # and it is used again


def test_a_folder_that_others_could_have_filled_is_not_used(tmp_path):
    trap = tmp_path / f"objectscan-kernels-{os.getuid()}"
    trap.mkdir(mode=0o777)
    trap.chmod(0o777)
    folder = _cache()
    assert folder != trap and folder is not None and folder.stat().st_mode & 0o077 == 0


def test_a_link_to_elsewhere_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    trap = tmp_path / f"objectscan-kernels-{os.getuid()}"
    trap.symlink_to(tmp_path / "elsewhere")
    assert _cache() != trap


def test_the_setting_and_the_variable_of_numba_win(monkeypatch, tmp_path):
    assert _cache(OBJECTSCAN_CACHE_FOLDER=str(tmp_path / "mine")) == tmp_path / "mine" / "kernels"
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/numba")
    assert _cache(OBJECTSCAN_CACHE_FOLDER="/mine") == Path("/numba")


def test_a_package_folder_that_can_be_written_needs_no_other_place(monkeypatch):
    monkeypatch.setattr(machine.os, "access", lambda path, mode: True)
    assert _cache() is None
