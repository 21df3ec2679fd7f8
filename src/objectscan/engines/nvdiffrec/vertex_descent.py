"""Descent on vertex positions that stays smooth (Nicolet et al. 2021, 'Large Steps in Inverse Rendering')."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float

from objectscan.engines.nvdiffrec.regularisers import LaplacianSmoother


class VertexDescent:
    """Adam with one step size for all vertices, in the coordinates u = (I + lambda L) x of the paper's eq.
    14.
    """

    def __init__(
        self,
        vertices: Float[np.ndarray, "V 3"],
        faces: np.ndarray,
        *,
        smoothness: float,
        held: Bool[np.ndarray, " V"] | None = None,
    ):
        """Start at `vertices`. `smoothness` is lambda: about the squared reach of a push, in edges.

        Vertices that are `held` never move.
        """
        self._held = held
        self.positions = torch.tensor(vertices, dtype=torch.float32, requires_grad=True)
        self._smoother = LaplacianSmoother(faces, len(vertices), smoothness)
        self._first = np.zeros(vertices.shape)
        self._second = 0.0
        self._count = 0

    def step(self, rate: float, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        """Move by about `rate` (world units) where the gradient is largest; clears the gradient."""
        if self.positions.grad is None:
            return
        gradient = self._smoother.apply(self.positions.grad.double().numpy())
        self._count += 1
        self._first = betas[0] * self._first + (1 - betas[0]) * gradient
        # One second moment for all (the paper's AdamUniform): a moment a coordinate would undo the smoothing.
        largest = float(np.quantile(np.abs(gradient), 0.999))
        self._second = betas[1] * self._second + (1 - betas[1]) * largest**2
        mean = self._first / (1 - betas[0] ** self._count)
        scale = np.sqrt(self._second / (1 - betas[1] ** self._count)) + 1e-30
        move = self._smoother.apply(mean / scale)
        if self._held is not None:
            move[self._held] = 0.0
        with torch.no_grad():
            self.positions -= torch.from_numpy(rate * move).to(self.positions.dtype)
        self.positions.grad = None

    @property
    def array(self) -> Float[np.ndarray, "V 3"]:
        """The positions now."""
        return self.positions.detach().numpy()
