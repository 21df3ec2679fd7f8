"""Which views a step looks at: every view once before any is seen again, in an order fixed by the seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def view_batches(views: int, batch: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Endless batches of view indices (int64)."""
    queue: list[int] = []
    while True:
        while len(queue) < batch:
            queue.extend(rng.permutation(views).tolist())
        yield torch.tensor(queue[:batch])
        queue = queue[batch:]
