"""The engine `hybrid`: generate the whole object, then fit what the photos show of it. Read `reconstruct`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from objectscan.engines.base import Engine
from objectscan.engines.hybrid.registration import STAGE, Registration, moved, register
from objectscan.engines.nvdiffrec.engine import NvdiffrecEngine
from objectscan.engines.reconviagen.engine import ReconViaGenEngine
from objectscan.errors import BadCameras
from objectscan.recipes import Recipe
from objectscan.settings import Settings
from objectscan.types import Capture, Checkpoints, Finding, PassReport, ProgressFn, Reconstruction

_GENERATE_SHARE, _REGISTER_SHARE = 0.3, 0.05


class HybridEngine:
    """A generated object (ReconViaGen) whose seen side is optimised against the photos (nvdiffrec).

    What no photo shows stays as it was generated; `Reconstruction.invented_faces` tells which faces it is.
    """

    name = "hybrid"

    def __init__(self, generator: Engine | None = None) -> None:
        """`generator` makes the first surface; ReconViaGen unless another is given."""
        self._generator = generator or ReconViaGenEngine()
        self._refiner = NvdiffrecEngine()
        rest = 1.0 - _GENERATE_SHARE - _REGISTER_SHARE
        self.stages = (
            *((name, _GENERATE_SHARE * share) for name, share in self._generator.stages),
            (STAGE, _REGISTER_SHARE),
            *((name, rest * share) for name, share in self._refiner.stages if name != "stereo"),
        )

    def memory_bytes(self, capture: Capture, recipe: Recipe) -> int:
        """The larger of the two: they work one after the other."""
        return max(engine.memory_bytes(capture, recipe) for engine in (self._generator, self._refiner))

    def prepare(self, device: str, settings: Settings) -> None:
        """Both engines compute on `device`."""
        self._generator.prepare(device, settings)
        self._refiner.prepare(device, settings)

    def reconstruct(
        self, capture: Capture, recipe: Recipe, *, seed: int, report: ProgressFn, checkpoints: Checkpoints
    ) -> Reconstruction:
        """See `engines.base.Engine.reconstruct`.

        Raises:
            BadCameras: The capture's cameras are not known.
            NotRegistered: The generated object does not lie over the photos anywhere.
            MissingWeights: For the generator.
        """
        if not capture.cameras_known:
            raise BadCameras(
                "The engine 'hybrid' needs cameras, and this capture has none.",
                hint="Give a folder of plain photos, so that they are found, or use --engine reconviagen.",
            )
        generated = self._generator.reconstruct(
            capture, recipe, seed=seed, report=report, checkpoints=checkpoints
        )
        found = _registered(generated, capture, report, checkpoints)
        prior = moved(generated, found.world_from_surface)
        refined = self._refiner.reconstruct(
            capture, recipe, seed=seed, report=report, checkpoints=checkpoints, prior=prior
        )
        laid = PassReport(STAGE, 0, 0.0, {"overlap": found.overlap})
        share = len(refined.invented_faces) / max(len(refined.mesh.faces), 1)
        return replace(
            refined,
            passes=(*generated.passes, laid, *refined.passes),
            findings=(_imagined(share), *refined.findings),
        )


def _registered(
    generated: Reconstruction, capture: Capture, report: ProgressFn, checkpoints: Checkpoints
) -> Registration:
    saved = checkpoints.load(STAGE)
    if saved is not None:
        return Registration(saved["world_from_surface"], float(saved["overlap"]))
    found = register(generated, capture, report)
    checkpoints.save(
        STAGE, {"world_from_surface": found.world_from_surface, "overlap": np.array(found.overlap)}
    )
    return found


def _imagined(share: float) -> Finding:
    words = (
        f"No photo shows {100 * share:.0f} % of the faces: a network made them up to resemble the photos. "
        "Compare them with the object before you rely on them."
    )
    return Finding("partly_generated", "warning", words)
