"""Every kernel compiles for every generation of GPUs, without one: NVRTC is all that it needs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers.cuda.emulator import kernels_in
from objectscan.errors import MissingDependency, ResourceError
from objectscan.render.cuda import cubins, nvrtc

GENERATIONS = {75: "Turing", 86: "Ampere", 90: "Hopper", 120: "Blackwell"}
FAST = ("--Ofast-compile=max",)
"""Same language, same instructions to choose from, a fifth of the time. The GPU's own tests optimise."""


@pytest.mark.parametrize("architecture", GENERATIONS)
def test_all_kernels_compile(architecture, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(lambda name: cubins.cubin(name, architecture, options=FAST), cubins.SOURCES))
    for name, code in zip(cubins.SOURCES, codes, strict=True):
        assert code[:4] == b"\x7fELF"
        assert all(f".text.{kernel}".encode() in code for kernel in kernels_in(cubins.source(name)))
    assert len(list((tmp_path / "cuda").iterdir())) == len(cubins.SOURCES)


def test_a_kernel_is_compiled_once(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    first = cubins.cubin("lists", 90)
    monkeypatch.setattr(cubins, "compile_cubin", lambda *_, **__: pytest.fail("compiled again"))
    assert cubins.cubin("lists", 90) == first


def test_a_folder_that_can_not_be_written_costs_time_only(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert cubins.cubin("lists", 90)[:4] == b"\x7fELF"


def test_an_old_gpu_is_refused_by_its_capability():
    with pytest.raises(ResourceError, match=r"compute capability 6\.1"):
        cubins.cubin("lists", 61)


def test_a_gpu_newer_than_the_compiler_is_refused_with_its_words():
    with pytest.raises(ResourceError, match="sm_999"):
        cubins.cubin("lists", 999)


def test_a_mistake_in_a_kernel_is_reported_with_its_line():
    with pytest.raises(ResourceError, match=r"broken\.cu\(2\)"):
        nvrtc.compile_cubin('extern "C" __global__ void f() {\n nonsense; }', "broken.cu", {}, 90)


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setattr(nvrtc, "_candidates", list)
    nvrtc._library.cache_clear()
    try:
        with pytest.raises(MissingDependency, match="NVRTC") as caught:
            nvrtc.nvrtc_version()
    finally:
        nvrtc._library.cache_clear()
    assert "nvidia-cuda-nvrtc" in caught.value.hint


def test_every_source_is_listed():
    folder = cubins.resources.files("objectscan.render.cuda") / "kernels"
    assert sorted(
        file.name.removesuffix(".cu") for file in folder.iterdir() if file.name.endswith(".cu")
    ) == list(cubins.SOURCES)
