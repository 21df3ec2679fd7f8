"""What every reconstruction engine offers: two verbs, and an estimate of the memory they need."""

from __future__ import annotations

from typing import Protocol

from objectscan.errors import BadRecipe, InputError, ResourceError
from objectscan.recipes import Recipe
from objectscan.settings import Settings
from objectscan.types import Capture, Checkpoints, ProgressFn, Reconstruction


class Engine(Protocol):
    """Turns a capture into a textured surface."""

    name: str
    stages: tuple[tuple[str, float], ...]
    """(stage name, measured share of the engine's time), in order; `Progress.stage` uses these names."""

    def memory_bytes(self, capture: Capture, recipe: Recipe) -> int:
        """Estimated peak memory of `reconstruct`, without the interpreter and its libraries."""

    def prepare(self, device: str, settings: Settings) -> None:
        """Load or compile whatever the first reconstruction would otherwise wait for.

        Args:
            device: Where to compute; see `device_for`.
            settings: Where this machine keeps weights, and its limits.
        """

    def reconstruct(
        self, capture: Capture, recipe: Recipe, *, seed: int, report: ProgressFn, checkpoints: Checkpoints
    ) -> Reconstruction:
        """Reconstruct the object.

        Deterministic for a seed on one machine. `report` may raise `Cancelled`; what `checkpoints` hold from
        an earlier, killed run of the same recipe, capture and seed is not computed again.

        Raises:
            ReconstructionError: The photos did not work out.
        """


def engine_named(name: str) -> Engine:
    """The engine called `name`.

    Raises:
        BadRecipe: No such engine.
    """
    if name == "nvdiffrec":
        from objectscan.engines.nvdiffrec.engine import NvdiffrecEngine

        return NvdiffrecEngine()
    if name == "reconviagen":
        from objectscan.engines.reconviagen.engine import ReconViaGenEngine

        return ReconViaGenEngine()
    if name == "hybrid":
        from objectscan.engines.hybrid.engine import HybridEngine

        return HybridEngine()
    raise BadRecipe(f"There is no engine '{name}'.", hint="Known: nvdiffrec, reconviagen, hybrid.")


def device_for(settings: Settings) -> str:
    """Where engines compute on this machine: the setting `device`; by default on a GPU that is here.

    Raises:
        InputError: The setting is none of auto, cpu and cuda.
        ResourceError: It is cuda, and torch can't use a GPU here.
    """
    wanted = settings["device"]
    if wanted not in ("auto", "cpu", "cuda"):
        raise InputError(f"The setting device is {wanted!r}.", hint="Use auto, cpu or cuda.")
    if wanted == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise ResourceError(
            "The setting device is 'cuda', but torch can't use a GPU here.",
            hint="`objectscan doctor` says why; OBJECTSCAN_DEVICE=auto falls back to the processor.",
        )
    return "cpu"
