"""Numba kernels of rows that few gradients reach: Adam on the touched ones, and sums into them."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def step(values, gradient, touched, first_moment, second_moment, counts, rate, beta1, beta2, epsilon):
    """One step of Adam on each touched row; clears its gradient and mark."""
    for row in range(values.shape[0]):
        if not touched[row]:
            continue
        touched[row] = 0
        counts[row] += 1
        correction1 = 1.0 - beta1 ** counts[row]
        correction2 = 1.0 - beta2 ** counts[row]
        for c in range(values.shape[1]):
            g = gradient[row, c]
            gradient[row, c] = 0.0
            first_moment[row, c] = beta1 * first_moment[row, c] + (1.0 - beta1) * g
            second_moment[row, c] = beta2 * second_moment[row, c] + (1.0 - beta2) * g * g
            step = (first_moment[row, c] / correction1) / (
                np.sqrt(second_moment[row, c] / correction2) + epsilon
            )
            values[row, c] -= rate[c] * step


@njit(cache=True, nogil=True)
def scatter_add(index, upstream, gradient, touched):
    """Add each row of `upstream` to the gradient of the row that it belongs to."""
    for i in range(index.shape[0]):
        row = index[i]
        touched[row] = 1
        for c in range(upstream.shape[1]):
            gradient[row, c] += upstream[i, c]
