"""Where tensors must be. One backend so far: the CPU."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from objectscan.errors import ResourceError


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
