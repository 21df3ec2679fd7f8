"""The losses of a running pass in words. On a GPU they are fetched now and then: each look waits for it."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

_GPU_EVERY = 16
"""Steps between two looks on a GPU: a wait costs the head start of the host, about a step."""


def is_looked_at(step: int, tensor: Tensor) -> bool:
    """Whether values on the tensor's device are looked at in this step: always on the CPU."""
    return tensor.device.type == "cpu" or step % _GPU_EVERY == 0


class LossWords:
    """Says what the last losses that were looked at are."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._words = ""

    def of(self, losses: Float[Tensor, " 2"], step: int) -> str:
        """The (colour, outline) losses of `step`, or of an earlier one."""
        if is_looked_at(step, losses):
            colour, outline = losses.tolist()
            self._words = f"colour {colour:.4f}, outline {outline:.4f}"
        return self._words
