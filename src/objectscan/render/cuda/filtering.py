"""Fixed sparse matrices times colours on the GPU, with their gradient.

An own kernel and not torch's sparse tensors: those warn of being a prototype, and wait for the GPU to look at
the matrix.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from objectscan.render.cuda.launch import blocks, launcher_on, plain, require_float32
from objectscan.render.light import SparseOperator

_THREADS = 128


def sparse_product(colours: Tensor, operator: SparseOperator) -> Tensor:
    """The operator's matrix times colours [columns, 3]."""
    require_float32(colours=colours)
    product: Tensor = _Product.apply(colours, operator)
    return product


@lru_cache(maxsize=32)
def _matrix(operator: SparseOperator, is_adjoint: bool, device: torch.device) -> tuple[Tensor, ...]:
    """(row starts, columns, weights) on the GPU. Kept: see `padded_tables`."""
    rows = operator.adjoint if is_adjoint else operator.forward
    return tuple(torch.from_numpy(array).to(device) for array in (rows.starts, rows.indices, rows.weights))


def _times(operator: SparseOperator, is_adjoint: bool, colours: Tensor) -> Tensor:
    matrix = _matrix(operator, is_adjoint, colours.device)
    rows = len(matrix[0]) - 1
    products = torch.empty((rows, 3), device=colours.device)
    launcher_on(colours.device).launch(
        "sparse", "multiply_rows", blocks(32 * rows, _THREADS), _THREADS, *matrix, colours, products, rows
    )
    return products


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, colours: Tensor, operator: SparseOperator) -> Tensor:
        ctx.operator = operator
        return _times(operator, False, plain(colours))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        return _times(ctx.operator, True, plain(upstream)), None
