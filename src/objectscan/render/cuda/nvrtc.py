"""CUDA C++ to machine code by NVRTC, the compiler library inside torch's CUDA wheels, through ctypes."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch

from objectscan.errors import MissingDependency, ResourceError

OLDEST_ARCHITECTURE = 75
"""Turing. Older cards miss the warp instructions that the kernels use, and CUDA 13 dropped them."""
_OPTIONS = ("--std=c++17",)


def compile_cubin(
    source: str, name: str, headers: Mapping[str, str], architecture: int, *, options: Sequence[str] = ()
) -> bytes:
    """Machine code of one CUDA C++ file.

    Args:
        source: The file's text.
        name: Its name, for messages.
        headers: Texts of the files that it includes, by name.
        architecture: Compute capability, 90 for 9.0. No GPU is needed.
        options: More of NVRTC's options, such as `-DNAME=VALUE`.

    Raises:
        MissingDependency: No NVRTC is installed.
        ResourceError: The architecture is older than Turing, or too new for the NVRTC that is installed.
    """
    if architecture < OLDEST_ARCHITECTURE:
        raise ResourceError(
            f"This GPU has compute capability {architecture / 10}; the renderer needs 7.5 (Turing) or newer.",
            hint="Use a newer GPU, or the CPU.",
        )
    nvrtc = _library()
    program = ctypes.c_void_p()
    texts = (ctypes.c_char_p * len(headers))(*[text.encode() for text in headers.values()])
    names = (ctypes.c_char_p * len(headers))(*[key.encode() for key in headers])
    _check(
        nvrtc.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), name.encode(), len(headers), texts, names
        ),
        "create a program",
    )
    try:
        given = [f"--gpu-architecture=sm_{architecture}", *_OPTIONS, *options]
        pointers = (ctypes.c_char_p * len(given))(*[option.encode() for option in given])
        if nvrtc.nvrtcCompileProgram(program, len(given), pointers):
            log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
            raise ResourceError(
                f"NVRTC {'.'.join(map(str, nvrtc_version()))} can't compile {name} for sm_{architecture}: "
                f"{log.decode(errors='replace').strip()}",
                hint="Install the torch build that belongs to this GPU and its driver.",
            )
        return _text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def nvrtc_version() -> tuple[int, int]:
    """(major, minor) of the installed NVRTC, such as (13, 0)."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(_library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "say its version")
    return major.value, minor.value


def _text(size_of: ctypes._CFuncPtr, fill: ctypes._CFuncPtr, program: ctypes.c_void_p) -> bytes:
    """What NVRTC has to give: it tells the size first, then fills a buffer."""
    size = ctypes.c_size_t()
    _check(size_of(program, ctypes.byref(size)), "tell a size")
    buffer = ctypes.create_string_buffer(size.value)
    _check(fill(program, buffer), "give its result")
    return buffer.raw


def _check(status: int, what: str) -> None:
    if status:
        describe = _library().nvrtcGetErrorString
        describe.restype = ctypes.c_char_p
        raise ResourceError(
            f"NVRTC could not {what}: {describe(status).decode()}.", hint="Reinstall torch for this GPU."
        )


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    for path in _candidates():
        try:
            # NVRTC opens its builtins by their bare name: they have to be loaded already, from beside it.
            for builtins in path.parent.glob("libnvrtc-builtins.so*"):
                ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    raise MissingDependency(
        "NVRTC, the compiler for GPU kernels, was not found.",
        hint="Install a CUDA build of torch, or the package nvidia-cuda-nvrtc.",
    )


def _candidates() -> list[Path]:
    """Where libnvrtc may be: NVIDIA's wheels, torch's own folder, the system. torch's CUDA version first."""
    folders = [Path(torch.__file__).parent / "lib"]
    try:
        import nvidia
    except ImportError:
        pass
    else:
        folders += [lib for root in nvidia.__path__ for lib in sorted(Path(root).glob("*/lib"))]
    major = (torch.version.cuda or "").partition(".")[0]
    found = [path for folder in folders for path in sorted(folder.glob("libnvrtc*.so*"))]
    usable = [path for path in found if re.fullmatch(r"libnvrtc(-[0-9a-f]+)?\.so[.\d]*", path.name)]
    usable.sort(key=lambda path: f".so.{major}" not in path.name)
    return [*usable, *([Path(f"libnvrtc.so.{major}")] if major else []), Path("libnvrtc.so")]
