"""Checks that stop a run at the step where a value goes wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from objectscan.engines.nvdiffrec.loss_words import is_looked_at
from objectscan.errors import OptimisationDiverged


def ensure_finite(stage: str, step: int, **tensors: Tensor) -> None:
    """Raise if a tensor holds NaN or infinity. On a GPU only every 16th step waits for the answer: what goes
    wrong stays wrong.

    Raises:
        OptimisationDiverged: The message names the stage, the step and the tensor.
    """
    for name, tensor in tensors.items():
        if is_looked_at(step, tensor) and not bool(torch.isfinite(tensor).all()):
            share = float((~torch.isfinite(tensor)).float().mean())
            raise OptimisationDiverged(
                f"In {stage}, step {step}, {100 * share:.3g} % of '{name}' is not finite.",
                hint="A defect of the program or of the cameras: try `objectscan inspect` on the capture.",
                details={"stage": stage, "step": step, "tensor": name},
            )
