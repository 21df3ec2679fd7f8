"""Where tensors must be. One backend so far: the CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from objectscan.errors import InputError, ResourceError


def require_cpu(*tensors: Tensor) -> None:
    """Raise if a tensor is elsewhere.

    Raises:
        ResourceError: Names the device.
    """
    for tensor in tensors:
        if tensor.device.type != "cpu":
            raise ResourceError(
                f"The renderer has no backend for device '{tensor.device}'.",
                hint="Move the tensors to 'cpu'.",
            )


def array_of(tensor: Tensor) -> np.ndarray:
    """The tensor's memory as a contiguous numpy array, without its gradient history."""
    return tensor.detach().contiguous().numpy()


def indices_of(faces: Tensor, rows: int) -> np.ndarray:
    """Faces as a contiguous int32 array [F 3], every index within `rows`: kernels don't look again.

    Raises:
        InputError: An index is out of range (0.03 ms for 100,000 faces), or the shape isn't [F 3].
    """
    require_cpu(faces)
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
