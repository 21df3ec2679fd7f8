"""The CUDA backend on the CPU: its kernels built by g++ with `emulator.h`, its torch code as it is."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from objectscan.render.cuda import cubins
from objectscan.render.cuda.launch import Argument, Grid, Packed

_HERE = Path(__file__).parent
_KERNEL = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(')
_FLAGS = ("-O2", "-std=c++17", "-shared", "-fPIC", "-U_FORTIFY_SOURCE", "-Wall", "-Wno-unused-function")
_QUIET = ("-Wno-unknown-pragmas", "-Wno-clobbered")


def kernels_in(text: str) -> list[str]:
    """Names of the kernels in a source."""
    return _KERNEL.findall(text)


class Emulator:
    """A `Launcher` for tensors on the CPU. Few multiprocessors: grids that only fill the GPU stay small."""

    multiprocessors = 1

    def __init__(self, folder: Path):
        self._folder = folder
        self._libraries: dict[str, ctypes.CDLL] = {}
        self.launched: list[str] = []

    def launch(self, file: str, kernel: str, grid: Grid, threads: int, *arguments: Argument) -> None:
        self.launched.append(kernel)
        if 0 in grid:
            return
        if file not in self._libraries:
            self._libraries[file] = ctypes.CDLL(str(_built(file, self._folder)))
        packed = Packed(arguments)
        getattr(self._libraries[file], f"emulate_{kernel}")(
            (ctypes.c_int * 3)(*grid), threads, packed.addresses
        )


@contextmanager
def emulated(folder: Path) -> Iterator[Emulator]:
    """While it lasts, rendering with CPU tensors goes through the CUDA backend.

    Fails in CI and skips elsewhere if there is no g++.
    """
    if shutil.which("g++") is None:
        message = "No g++: the CUDA kernels can't be built for the CPU."
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    from objectscan.engines.nvdiffrec.cuda import operations as engine_operations
    from objectscan.render.cuda import operations

    emulator = Emulator(folder)
    packages = {"objectscan.render.": operations, "objectscan.engines.nvdiffrec.": engine_operations}
    with pytest.MonkeyPatch.context() as patch:
        for package, backend in packages.items():
            for module in [module for name, module in sys.modules.items() if name.startswith(package)]:
                if hasattr(module, "launcher_on"):
                    patch.setattr(module, "launcher_on", lambda device: emulator)
                if hasattr(module, "backend_of") and not module.__name__.endswith(".devices"):
                    patch.setattr(module, "backend_of", lambda *tensors, backend=backend: backend)
        yield emulator


def _built(name: str, folder: Path) -> Path:
    text = cubins.source(name)
    key = repr((text, sorted(cubins.headers().items()), (_HERE / "emulator.h").read_text(), _FLAGS))
    library = folder / f"{name.rpartition('/')[2]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    wrappers = [
        f'extern "C" void emulate_{kernel}(const int* grid, int threads, void** arguments) '
        f"{{ emulator::launch(&{kernel}, grid, threads, arguments); }}\n"
        for kernel in kernels_in(text)
    ]
    beside = folder / f"{library.stem}.{os.getpid()}"
    unit = beside.with_suffix(".cpp")
    unit.write_text('#include "emulator.h"\n' + text + "".join(wrappers))
    kernels = Path(cubins.__file__).parent / "kernels"
    command = ["g++", *_FLAGS, *_QUIET, f"-I{_HERE}", f"-I{kernels}", "-o", str(beside), str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"g++ could not build {name}.cu for the emulator:\n{done.stderr}")
    unit.unlink()
    beside.replace(library)
    return library
