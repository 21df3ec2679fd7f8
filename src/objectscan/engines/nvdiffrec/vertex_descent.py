"""Descent on vertex positions that stays smooth (Nicolet et al. 2021, 'Large Steps in Inverse Rendering')."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float

from objectscan.engines.nvdiffrec.devices import backend_of


class VertexDescent:
    """Adam with one step size for all vertices, in the coordinates u = (I + lambda L) x of the paper's eq.
    14.
    """

    def __init__(
        self, vertices: Float[np.ndarray, "V 3"], faces: np.ndarray, *, smoothness: float,
        device: torch.device, held: Bool[np.ndarray, " V"] | None = None,
    ):  # fmt: skip
        """Start at `vertices`. `smoothness` is lambda: about the squared reach of a push, in edges.

        Vertices that are `held` never move.
        """
        self._held = None if held is None else torch.from_numpy(held).to(device)[:, None]
        self.positions = torch.tensor(vertices, dtype=torch.float32, device=device, requires_grad=True)
        self._steps = backend_of(self.positions).VertexSteps(faces, len(vertices), smoothness, device)

    def step(self, rate: float, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        """Move by about `rate` (world units) where the gradient is largest; clears the gradient."""
        if self.positions.grad is None:
            return
        move = self._steps.move(self.positions.grad, betas)
        if self._held is not None:
            move = move.masked_fill(self._held, 0.0)
        with torch.no_grad():
            self.positions -= (rate * move).to(self.positions.dtype)
        self.positions.grad = None

    @property
    def array(self) -> Float[np.ndarray, "V 3"]:
        """The positions now."""
        return self.positions.detach().cpu().numpy()
