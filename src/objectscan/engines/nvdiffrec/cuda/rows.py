"""Rows of which few are touched, on the GPU."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from torch import Tensor

from objectscan.render.cuda.launch import blocks, launcher_on, plain

PACKAGE = "objectscan.engines.nvdiffrec.cuda"
"""Whose `kernels` folder the engine's kernels are in."""
_KERNELS = f"{PACKAGE}/rows"
_MOST_CHANNELS = 20
_EPSILON = 1e-12
_THREADS = 128


def step_rows(rows: Any, rates: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None) -> None:
    """See `SparseRows.step`."""
    count, channels = rows.values.shape
    launcher_on(rows.values.device).launch(
        _KERNELS, "step_rows", blocks(count, _THREADS), _THREADS, rows.values, rows.gradient, rows.touched,
        *rows.moments, rows.counts, _step(rates, bounds, rows.betas, channels), count,
    )  # fmt: skip


def _step(
    rates: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None, betas: tuple[float, float], channels: int
) -> bytes:
    """Bytes of `struct Step`."""
    limits = np.zeros((3, _MOST_CHANNELS), np.float32)
    limits[0, :channels] = rates
    if bounds is not None:
        limits[1, :channels], limits[2, :channels] = bounds
    return limits.tobytes() + struct.pack("3f 2i", *betas, _EPSILON, channels, bounds is not None)


def scatter_rows(rows: Any, index: Tensor, upstream: Tensor) -> None:
    """Add each row of `upstream` to the gradient of the row that `index` names."""
    count, channels = upstream.shape
    launcher_on(upstream.device).launch(
        _KERNELS, "scatter_rows", blocks(count * channels, _THREADS), _THREADS, index, plain(upstream),
        rows.gradient, rows.touched, count, channels,
    )  # fmt: skip
