"""The engine's flow on one screen: cut-out photos in, a coloured mesh out. Read `generate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from objectscan.engines.reconviagen import stages
from objectscan.engines.reconviagen.network_source import NetworkSource
from objectscan.engines.reconviagen.preparation import EDGE_PX, network_input, prepared
from objectscan.engines.reconviagen.stages import Arrays, GenerationOptions, StageProgress
from objectscan.errors import TooFewViews
from objectscan.types import Checkpoints, Mesh, PassReport, Progress, ProgressFn

STAGES = ("conditions", "structure", "latents", "surface")
"""In order; `Progress.stage`, `PassReport.name` and checkpoints use these names."""
DELIVERED_FROM_GENERATED = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
"""Generated meshes are z up, delivered ones y up."""


@dataclass(frozen=True, slots=True)
class CutOut:
    """One photo of the object."""

    name: str
    rgba_srgb: UInt8[np.ndarray, "H W 4"]
    """Straight alpha: the object's mask."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What generation made, in [-0.5, 0.5]^3, z up. Its scale and turn are free: they say nothing."""

    mesh: Mesh
    colours_srgb: Float32[np.ndarray, "V 3"]
    """Of the vertices, in [0, 1]. Light is baked in."""
    coordinates: np.ndarray
    """Occupied voxels [T 3] and their `latents` [T 8]: what the Gaussians are decoded from."""
    latents: np.ndarray
    resolution: int
    passes: tuple[PassReport, ...]


@torch.inference_mode()
def generate(
    photos: Sequence[CutOut],
    networks: NetworkSource,
    options: GenerationOptions,
    *,
    seed: int,
    report: ProgressFn,
    checkpoints: Checkpoints,
    edge_px: int = EDGE_PX,
) -> Generated:
    """Generate the object that the photos show, with the sides that they don't.

    Deterministic for a seed on one machine; the noise is the same on every device. The first photo is the
    reference of the geometry: their order matters. What `checkpoints` hold from an earlier run of the same
    photos, options and seed is not computed again. Between steps `report` may raise `Cancelled`.

    Args:
        photos: One to about sixteen.
        networks: Where the weights come from.
        options: How to generate.
        seed: Of the noise.
        report: Receives progress.
        checkpoints: Where finished stages are kept.
        edge_px: Edge of the networks' pictures, divisible by 14.

    Raises:
        TooFewViews: No photos.
        BadMasks: A photo shows nothing.
        EmptyForeground: Nothing was generated.
        OptimisationDiverged: A value became NaN or infinite.
    """
    if not photos:
        raise TooFewViews("There are no photos to generate from.", hint="Give at least one.")
    kept = _Kept(options, report, checkpoints)
    images = network_input([prepared(photo.rgba_srgb, name=photo.name, edge_px=edge_px) for photo in photos])
    tokens = kept.stage("conditions", lambda done: stages.conditions(images, networks, options, done))
    grid = kept.stage(
        "structure",
        lambda done: stages.structure(tokens["structure"], networks, options, seed, done),
    )
    slat = kept.stage(
        "latents",
        lambda done: stages.latents(grid, tokens["latents"], networks, options, done),
    )
    coordinates, latents, resolution = grid["coordinates"], slat["latents"], int(grid["resolution"])
    mesh = kept.stage(
        "surface",
        lambda done: stages.decoded_surface(
            coordinates, latents, resolution=resolution, networks=networks, device=options.device
        ),
    )
    return Generated(
        mesh=Mesh(mesh["vertices"], mesh["faces"]),
        colours_srgb=mesh["colours_srgb"],
        coordinates=coordinates,
        latents=latents,
        resolution=resolution,
        passes=tuple(kept.passes),
    )


class _Kept:
    """Runs stages or takes their results from checkpoints, and keeps account of them."""

    def __init__(self, options: GenerationOptions, report: ProgressFn, checkpoints: Checkpoints):
        self._steps = {"structure": options.structure.steps, "latents": options.latents.steps}
        self._is_cuda, self._report, self._checkpoints = options.device.type == "cuda", report, checkpoints
        self.passes: list[PassReport] = []

    def stage(self, name: str, compute: Callable[[StageProgress], Arrays]) -> Arrays:
        """The stage's arrays."""
        self._report(Progress(name, 0.0))
        arrays = self._checkpoints.load(name)
        if arrays is None:
            began = perf_counter()
            if self._is_cuda:
                torch.cuda.reset_peak_memory_stats()
            arrays = compute(lambda fraction: self._report(Progress(name, fraction)))
            arrays["seconds"] = np.array(perf_counter() - began)
            arrays["peak_bytes"] = np.array(torch.cuda.max_memory_allocated() if self._is_cuda else 0)
            self._checkpoints.save(name, arrays)
        self._report(Progress(name, 1.0))
        facts = {"peak_device_bytes": float(arrays["peak_bytes"])} if self._is_cuda else {}
        self.passes.append(PassReport(name, self._steps.get(name, 0), float(arrays["seconds"]), facts))
        return arrays
