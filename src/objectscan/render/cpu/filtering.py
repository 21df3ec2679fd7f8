"""Fixed sparse matrices times colours on the CPU, with their gradient."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from objectscan.render.cpu import lobes
from objectscan.render.devices import array_of
from objectscan.render.light import SparseOperator, SparseRows
from objectscan.render.threads import run_jobs, thread_count


def sparse_product(colours: Tensor, operator: SparseOperator) -> Tensor:
    """The operator's matrix times colours [columns, 3]."""
    product: Tensor = _Product.apply(colours, operator)
    return product


def _times(matrix: SparseRows, colours: np.ndarray) -> np.ndarray:
    products = np.zeros((len(matrix.starts) - 1, 3), colours.dtype)
    cuts = np.searchsorted(matrix.starts, np.linspace(0, matrix.starts[-1], thread_count() + 1))
    cuts[-1] = len(products)
    run_jobs(
        lambda first, last: lobes.multiply(
            matrix.starts, matrix.indices, matrix.weights, colours, first, last, products
        ),
        pairwise(cuts),
    )
    return products


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, colours: Tensor, operator: SparseOperator) -> Tensor:
        ctx.adjoint = operator.adjoint
        return torch.from_numpy(_times(operator.forward, array_of(colours)))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        return torch.from_numpy(_times(ctx.adjoint, array_of(upstream))), None
