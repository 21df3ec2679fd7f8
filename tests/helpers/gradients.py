"""Is an analytic gradient right? Directional central differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def worst_gradient_error(
    loss: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    *,
    step: float = 1e-6,
    directions: int = 12,
    seed: int = 0,
) -> float:
    """Largest relative error of the backward against central differences along random directions.

    Each input is moved by itself so that a small wrong gradient can't hide behind a large right one.
    """
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    gradients = torch.autograd.grad(loss(*leaves), leaves, allow_unused=True)
    generator = torch.Generator().manual_seed(seed)
    worst = 0.0
    for index, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        if leaf.dtype != torch.float64:
            raise TypeError(f"Input {index} is {leaf.dtype}: differences need float64.")
        for _ in range(directions):
            direction = torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)
            moved = [list(leaves), list(leaves)]
            with torch.no_grad():
                moved[0][index], moved[1][index] = leaf + step * direction, leaf - step * direction
                numeric = float(loss(*moved[0]) - loss(*moved[1])) / (2 * step)
            analytic = 0.0 if gradient is None else float((gradient * direction).sum())
            scale = max(abs(numeric), abs(analytic), 1e-9)
            worst = max(worst, abs(numeric - analytic) / scale)
    return worst
