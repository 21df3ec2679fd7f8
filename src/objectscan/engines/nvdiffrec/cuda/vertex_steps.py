"""Smooth steps of vertices on the GPU, where a factorised solver would wait for the host."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.engines.nvdiffrec.cuda.rows import PACKAGE
from objectscan.engines.nvdiffrec.regularisers import neighbours_of
from objectscan.render.cuda.launch import blocks, launcher_on

_KERNELS = f"{PACKAGE}/smoothing"
_THREADS = 128
_ERROR = 1e-3
"""Of the smoothing, relative: it only preconditions a step."""
_LARGEST_SHARE = 0.001


class GraphSmoother:
    """(I + smoothness L)^-1 by Chebyshev's iteration (Saad 2003, algorithm 12.1), as one CUDA graph.

    With the diagonal as preconditioner all eigenvalues lie in 1 +- q, q = s d / (1 + s d) for the largest
    valence d: the number of iterations is known beforehand, 64 for a valence of 12 and a smoothness of 12.
    """

    def __init__(self, faces: np.ndarray, vertex_count: int, smoothness: float, device: torch.device):
        """Buffers for `vertex_count` vertices."""
        graph = neighbours_of(faces, vertex_count)
        self._starts = torch.from_numpy(graph.indptr.astype(np.int32)).to(device)
        self._neighbours = torch.from_numpy(graph.indices.astype(np.int32)).to(device)
        reach = smoothness * float(np.diff(graph.indptr).max())
        self._smoothness, self._spread = smoothness, reach / (1.0 + reach)
        self._given, *self._buffers = (torch.zeros((vertex_count, 3), device=device) for _ in range(5))
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda":
            self._graph = self._captured(device)

    def apply(self, values: Float[Tensor, "V 3"]) -> Float[Tensor, "V 3"]:
        """Smoothed values; valid until the next call."""
        self._given.copy_(values)
        if self._graph is None:
            self._iterate()
        else:
            self._graph.replay()
        return self._buffers[0]

    def _captured(self, device: torch.device) -> torch.cuda.CUDAGraph:
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            self._iterate()  # compiles the kernels
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._iterate()
        return graph

    def _iterate(self) -> None:
        smoothed, residual, direction, following = self._buffers
        gpu, count = launcher_on(smoothed.device), len(smoothed)
        grid, spread = blocks(3 * count, _THREADS), self._spread
        gpu.launch(
            _KERNELS, "begin_smoothing", grid, _THREADS, self._given, self._starts, smoothed, residual,
            direction, self._smoothness, 1.0, count,
        )  # fmt: skip
        share = spread
        for _ in range(iterations(spread)):
            after = 1.0 / (2.0 / spread - share)
            gpu.launch(
                _KERNELS, "iterate_smoothing", grid, _THREADS, self._starts, self._neighbours, smoothed,
                residual, direction, following, self._smoothness, after * share, 2.0 * after / spread, count,
            )  # fmt: skip
            share, direction, following = after, following, direction


def iterations(spread: float) -> int:
    """How many reduce the error to `_ERROR` for eigenvalues in 1 +- spread (Saad 2003, eq. 6.128)."""
    if spread <= 0.0:
        return 1
    rate = (1.0 - math.sqrt(1.0 - spread * spread)) / spread
    return math.ceil(math.log(_ERROR / 2.0) / math.log(rate))


class VertexSteps:
    """Adam with one second moment for all, between two smoothings; see `VertexDescent`."""

    def __init__(self, faces: np.ndarray, vertex_count: int, smoothness: float, device: torch.device):
        """Start without momentum."""
        self._smoother = GraphSmoother(faces, vertex_count, smoothness, device)
        self._first = torch.zeros((vertex_count, 3), device=device)
        self._second = torch.zeros((), device=device)
        self._count = 0
        self._largest = max(1, round(_LARGEST_SHARE * 3 * vertex_count))

    def move(self, gradient: Float[Tensor, "V 3"], betas: tuple[float, float]) -> Float[Tensor, "V 3"]:
        """The step for this gradient, of size about 1 where it is largest; nothing waits."""
        smooth = self._smoother.apply(gradient)
        self._count += 1
        self._first = torch.lerp(self._first, smooth, 1.0 - betas[0])
        # One second moment for all (the paper's AdamUniform): a moment a coordinate would undo the smoothing.
        largest = smooth.abs().flatten().topk(self._largest, sorted=False).values.min()
        self._second = torch.lerp(self._second, largest.square(), 1.0 - betas[1])
        scale = (self._second / (1.0 - betas[1] ** self._count)).sqrt() + 1e-30
        return self._smoother.apply(self._first / (1.0 - betas[0] ** self._count) / scale)
