"""Which of the engine's inner loops work where a tensor is."""

from __future__ import annotations

from types import ModuleType

from torch import Tensor

from objectscan.errors import ResourceError


def backend_of(tensor: Tensor) -> ModuleType:
    """`nvdiffrec.cpu.operations` or `nvdiffrec.cuda.operations`, loaded at first use.

    Raises:
        ResourceError: The engine can't compute on this device.
    """
    if tensor.device.type == "cpu":
        from objectscan.engines.nvdiffrec.cpu import operations as on_cpu

        return on_cpu
    if tensor.device.type == "cuda":
        from objectscan.engines.nvdiffrec.cuda import operations as on_cuda

        return on_cuda
    raise ResourceError(
        f"The engine 'nvdiffrec' can't compute on '{tensor.device}'.", hint="Use 'cpu' or 'cuda'."
    )
