"""Kernels of a device and how they start: the driver's API through ctypes, on torch's current stream."""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from objectscan.errors import InputError, MissingDependency, ResourceError
from objectscan.render.cuda.cubins import cubin

Argument = Tensor | int | float | bytes | None
"""A tensor (its address), None (no address), a whole number (32 or 64 bit), a float32, or a structure."""
Grid = tuple[int, int, int]

_INVALID_CONTEXT = 201
_OLD_DRIVER = "Install a newer NVIDIA driver, or a torch build for an older CUDA version."


class Launcher(Protocol):
    """Starts kernels on one device."""

    multiprocessors: int

    def launch(self, file: str, kernel: str, grid: Grid, threads: int, *arguments: Argument) -> None:
        """Start `kernel` of `file` (see `cubins.source`), `threads` threads in each block."""


class Packed:
    """Arguments as the driver wants them: an array of addresses, each of a slot of eight bytes."""

    def __init__(self, arguments: tuple[Argument, ...]):
        self._structures = [ctypes.create_string_buffer(a, len(a)) for a in arguments if isinstance(a, bytes)]
        self._slots = (ctypes.c_uint64 * len(arguments))(*[_slot(argument) for argument in arguments])
        first, structures = ctypes.addressof(self._slots), iter(self._structures)
        self.addresses = (ctypes.c_void_p * len(arguments))(
            *[
                ctypes.addressof(next(structures)) if isinstance(argument, bytes) else first + 8 * index
                for index, argument in enumerate(arguments)
            ]
        )


def _slot(argument: Argument) -> int:
    """The argument's bits; little endian, so that a 32-bit parameter finds the low half first."""
    if argument is None or isinstance(argument, bytes):
        return 0
    if isinstance(argument, Tensor):
        return argument.data_ptr()
    if isinstance(argument, float):
        return int.from_bytes(struct.pack("<f", argument), "little")
    return argument & 0xFFFFFFFFFFFFFFFF


class DeviceKernels:
    """All kernels on one GPU; each file is compiled and loaded at its first use."""

    def __init__(self, index: int, *, options: Sequence[str] = ()):
        """`options`: for NVRTC; macros that benchmarks vary."""
        self._index = index
        self._options = tuple(options)
        self._driver = _driver()
        self._lock = threading.Lock()
        self._functions: dict[tuple[str, str], ctypes.c_void_p] = {}
        self._modules: dict[str, ctypes.c_void_p] = {}
        facts = torch.cuda.get_device_properties(index)
        self._architecture = 10 * facts.major + facts.minor
        self.multiprocessors = int(facts.multi_processor_count)

    def launch(self, file: str, kernel: str, grid: Grid, threads: int, *arguments: Argument) -> None:
        """Start a kernel on the current stream; an empty grid starts nothing."""
        if 0 in grid:
            return
        with torch.cuda.device(self._index):
            function = self._functions.get((file, kernel)) or self._function(file, kernel)
            stream = ctypes.c_void_p(torch.cuda.current_stream(self._index).cuda_stream)
            packed = Packed(arguments)
            call = (function, *grid, threads, 1, 1, 0, stream, packed.addresses, None)
            status = self._driver.cuLaunchKernel(*call)
            if status == _INVALID_CONTEXT:  # a thread in which torch has not yet touched the GPU
                self._attach()
                status = self._driver.cuLaunchKernel(*call)
        _check(self._driver, status, f"start the kernel {kernel}")

    def _attach(self) -> None:
        """Make torch's context of this GPU the calling thread's."""
        device, context = ctypes.c_int(), ctypes.c_void_p()
        _check(self._driver, self._driver.cuDeviceGet(ctypes.byref(device), self._index), "find the GPU")
        status = self._driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
        _check(self._driver, status, "share torch's context")
        _check(self._driver, self._driver.cuCtxSetCurrent(context), "use torch's context")

    def _function(self, file: str, kernel: str) -> ctypes.c_void_p:
        with self._lock:
            if file not in self._modules:
                self._modules[file] = self._load(file)
            function = ctypes.c_void_p()
            _check(
                self._driver,
                self._driver.cuModuleGetFunction(
                    ctypes.byref(function), self._modules[file], kernel.encode()
                ),
                f"find the kernel {kernel}",
            )
            self._functions[file, kernel] = function
            return function

    def _load(self, file: str) -> ctypes.c_void_p:
        torch.zeros(1, device=torch.device("cuda", self._index))  # makes torch's context current here
        module = ctypes.c_void_p()
        code = cubin(file, self._architecture, options=self._options)
        _check(
            self._driver,
            self._driver.cuModuleLoadData(ctypes.byref(module), code),
            f"load the kernels {file}",
        )
        return module


@lru_cache(maxsize=64)
def _kernels_of(index: int) -> DeviceKernels:
    return DeviceKernels(index)


def launcher_on(device: torch.device) -> Launcher:
    """The kernels of the GPU that a tensor is on.

    Raises:
        MissingDependency: No driver or no NVRTC.
        ResourceError: The GPU is too old, or not a CUDA device.
    """
    if device.type != "cuda":
        raise ResourceError(f"'{device}' is no CUDA device.", hint="Move the tensors to 'cuda'.")
    return _kernels_of(torch.cuda.current_device() if device.index is None else device.index)


def require_float32(**tensors: Tensor | None) -> None:
    """Raise if a tensor has another type: the kernels know float32 only.

    Raises:
        InputError: Names the tensor and its type.
    """
    for name, tensor in tensors.items():
        if tensor is not None and tensor.dtype != torch.float32:
            raise InputError(
                f"{name} is {tensor.dtype}; on a GPU the renderer takes float32.", hint="Call .float() on it."
            )


def plain(tensor: Tensor) -> Tensor:
    """The tensor without its gradient history, contiguous."""
    return tensor.detach().contiguous()


def indices(faces: Tensor) -> Tensor:
    """Faces as a contiguous int32 tensor [F 3].

    Raises:
        InputError: The shape is another.
    """
    if faces.dim() != 2 or faces.shape[1] != 3:
        raise InputError(
            f"Faces have the shape {tuple(faces.shape)}.", hint="Give one row of three indices a face."
        )
    return faces.detach().to(torch.int32).contiguous()


def blocks(count: int, threads: int) -> Grid:
    """A grid that gives each of `count` things a thread."""
    return (-(-count // threads), 1, 1)


def _driver() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise MissingDependency(
            f"The NVIDIA driver was not found ({error}).", hint="Install it, or use the CPU."
        ) from error


def _check(driver: ctypes.CDLL, status: int, what: str) -> None:
    if status:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(status, ctypes.byref(text))
        reason = (text.value or b"unknown error").decode()
        hint = _OLD_DRIVER if status in (200, 209, 218, 222) else ""
        raise ResourceError(f"The GPU's driver could not {what}: {reason} ({status}).", hint=hint)
