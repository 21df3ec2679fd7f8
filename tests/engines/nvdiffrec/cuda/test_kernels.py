"""The engine's kernels compile for the oldest and newest GPUs, without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.cuda.emulator import kernels_in
from objectscan.engines.nvdiffrec import cuda
from objectscan.render.cuda import cubins

SOURCES = sorted(path.stem for path in (Path(cuda.__file__).parent / "kernels").glob("*.cu"))


@pytest.mark.parametrize("architecture", [75, 90, 120])
@pytest.mark.parametrize("name", SOURCES)
def test_each_file_compiles(name, architecture, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    file = f"{cuda.__name__}/{name}"
    code = cubins.cubin(file, architecture, options=("--Ofast-compile=max",))
    assert all(f".text.{kernel}".encode() in code for kernel in kernels_in(cubins.source(file)))
    assert [path.suffix for path in (tmp_path / "cuda").iterdir()] == [".cubin"]
