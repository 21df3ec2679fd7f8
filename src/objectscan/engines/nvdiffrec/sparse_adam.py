"""Adam that touches only the rows which received a gradient (Kingma and Ba 2015; lazy rows).

A step looks at some thousand of the rows of a texture or grid; moving the others costs more than the rest of
the step: 1.0 M rows of 9 channels take 62 ms dense, 6 ms for the 8 % that a batch of views touches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from objectscan.engines.nvdiffrec.devices import backend_of


class SparseRows:
    """Rows of parameters with their own gradient buffer, filled by kernels rather than by autograd."""

    def __init__(self, values: Float[Tensor, "rows C"], *, betas: tuple[float, float] = (0.9, 0.99)):
        """Keep `values` (float32, contiguous, changed in place by `step`), on whatever device they are."""
        self.values = values
        self.gradient = torch.zeros_like(values)
        self.touched = torch.zeros(len(values), dtype=torch.uint8, device=values.device)
        self.moments = torch.zeros_like(values), torch.zeros_like(values)
        self.counts = torch.zeros(len(values), dtype=torch.int32, device=values.device)
        self.betas = betas

    def step(
        self, rate: float | Float[np.ndarray, " C"], *, bounds: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        """Move the touched rows by Adam with learning rate `rate` (one, or one a channel); clear the
        gradient.

        Args:
            rate: Largest move, in units of the values.
            bounds: Lowest and highest value of each channel, for the rows that moved.
        """
        rates = np.broadcast_to(np.asarray(rate, np.float32), (self.values.shape[1],)).copy()
        backend_of(self.values).step_rows(self, rates, bounds)

    def load(self, values: Float[np.ndarray, "rows C"]) -> None:
        """Replace the values."""
        self.values.copy_(torch.from_numpy(values))

    def saved(self) -> Float[np.ndarray, "rows C"]:
        """The values now, in main memory."""
        return self.values.cpu().numpy()

    def forget(self, rows: Bool[Tensor, " rows"]) -> None:
        """Drop the gradient of some rows: the next `step` leaves them as they are."""
        self.gradient.masked_fill_(rows[:, None], 0.0)
        self.touched.masked_fill_(rows, 0)


class _GatherRows(torch.autograd.Function):
    """rows.values[index] whose gradient goes to the sparse buffer."""

    @staticmethod
    def forward(ctx: Any, handle: Tensor, rows: SparseRows, index: Tensor) -> Tensor:
        ctx.rows, ctx.index = rows, index
        return rows.values[index]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, None, None]:
        backend_of(upstream).scatter_rows(ctx.rows, ctx.index, upstream)
        return None, None, None


def gather_rows(rows: SparseRows, index: Tensor) -> Float[Tensor, "I C"]:
    """`rows.values[index]` (int64 [I]); the gradient is added to the sparse buffer of `rows`."""
    handle = torch.zeros((), requires_grad=torch.is_grad_enabled())
    result: Tensor = _GatherRows.apply(handle, rows, index)
    return result
