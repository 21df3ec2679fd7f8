"""Which backend works where tensors are, and tensors as arrays for the CPU's."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from objectscan.errors import InputError, ResourceError


def backend_of(*tensors: Tensor) -> ModuleType:
    """The functions that work where these tensors are: `render.cpu.operations` or `render.cuda.operations`.

    Loaded at first use: a GPU needs no numba, a CPU needs no CUDA.

    Raises:
        ResourceError: The tensors are on several devices, or on one without a backend.
    """
    devices = {tensor.device for tensor in tensors}
    if len(devices) > 1:
        names = " and ".join(sorted(str(device) for device in devices))
        raise ResourceError(
            f"The tensors of one rendering call are on {names}.", hint="Move all of them to one device."
        )
    kind = devices.pop().type
    if kind == "cpu":
        from objectscan.render.cpu import operations as on_cpu

        return on_cpu
    if kind == "cuda":
        from objectscan.render.cuda import operations as on_cuda

        return on_cuda
    raise ResourceError(
        f"The renderer has no backend for device '{kind}'.", hint="Move the tensors to 'cpu' or 'cuda'."
    )


def array_of(tensor: Tensor) -> np.ndarray:
    """The tensor's memory as a contiguous numpy array, without its gradient history."""
    return tensor.detach().contiguous().numpy()


def indices_of(faces: Tensor, rows: int) -> np.ndarray:
    """Faces as a contiguous int32 array [F 3], every index within `rows`: kernels don't look again.

    Raises:
        InputError: An index is out of range (0.03 ms for 100,000 faces), or the shape isn't [F 3].
    """
    if faces.dim() != 2 or faces.shape[1] != 3:
        raise InputError(
            f"Faces have the shape {tuple(faces.shape)}.", hint="Give one row of three indices a face."
        )
    if len(faces):
        lowest, highest = (int(bound) for bound in torch.aminmax(faces))
        if lowest < 0 or highest >= rows:
            wrong = lowest if lowest < 0 else highest
            raise InputError(
                f"A face has the corner {wrong}, but there are {rows} vertices.",
                hint="Use the faces that belong to these vertices.",
            )
    return faces.to(torch.int32).contiguous().numpy()
