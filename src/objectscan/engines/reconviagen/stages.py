"""The stages of generation, each a function of arrays: what a stage returns is all that the next one needs.

photos -> `conditions` -> `structure` -> `latents` -> `decoded_surface`, `decoded_gaussians`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor

from objectscan.engines.reconviagen.gaussians import Gaussians, activated
from objectscan.engines.reconviagen.network_source import NetworkSource
from objectscan.engines.reconviagen.networks import published
from objectscan.engines.reconviagen.networks.structure_decoder import occupied_voxels
from objectscan.engines.reconviagen.networks.voxels import Voxels
from objectscan.engines.reconviagen.sampler import (
    LATENT_SAMPLING,
    STRUCTURE_SAMPLING,
    SamplerOptions,
    Step,
    sparse_deviation,
    walk,
)
from objectscan.engines.reconviagen.surface import surface
from objectscan.errors import EmptyForeground, OptimisationDiverged

Arrays: TypeAlias = dict[str, np.ndarray]
StageProgress = Callable[[float], None]
"""Receives the share of the stage that is done; may raise `Cancelled`."""

LATENT_MEAN = (
    -2.1687545776367188, -0.004347046371549368, -0.13352349400520325, -0.08418072760105133,
    -0.5271206498146057, 0.7238689064979553, -1.1414450407028198, 1.2039363384246826,
)  # fmt: skip
LATENT_STD = (
    2.377650737762451, 2.386378288269043, 2.124418020248413, 2.1748552322387695,
    2.663944721221924, 2.371192216873169, 2.6217446327209473, 2.684523105621338,
)  # fmt: skip
"""What normalised latents are multiplied by, and then added to (published with the weights)."""


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How to generate; the defaults are the published application's (version 0.2)."""

    structure: SamplerOptions = STRUCTURE_SAMPLING
    latents: SamplerOptions = LATENT_SAMPLING
    conditions: Literal["reconviagen", "trellis"] = "reconviagen"
    """`trellis` needs no VGGT: appearance only, one view a step for the structure; less consistent."""
    backbone_precision: torch.dtype = torch.bfloat16
    """Of VGGT's matrix products; its tokens stay float32, and so does DINOv2."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def conditions(
    images: Float[Tensor, "N 3 E E"], networks: NetworkSource, options: GenerationOptions, done: StageProgress
) -> Arrays:
    """Tokens that steer the two flows.

    Returns:
        `structure` [S, M, C], used in turn from step to step, and `latents` [N, L, C], one a view.
    """
    device = options.device
    images = images.to(device)
    with networks.open(published.DINOV2, device) as dino:
        appearance = torch.cat([dino.condition(image[None]) for image in images])
        special_tokens = int(dino.special_tokens)
    done(0.3)
    if options.conditions == "trellis":
        return {"structure": _array(appearance), "latents": _array(appearance)}
    with networks.open(published.VGGT, device, part="aggregator") as aggregator:
        half = options.backbone_precision
        with torch.autocast(device.type, half, enabled=half != torch.float32):
            geometry = [layer.float() for layer in aggregator(images[None])]
    done(0.7)
    with networks.open(published.STRUCTURE_CONDITION, device) as fuse:
        patches = [layer[:, :, special_tokens:] for layer in geometry]
        structure_tokens = fuse(patches, appearance[None, :, special_tokens:])
    with networks.open(published.LATENT_CONDITION, device) as fuse:
        latent_tokens = fuse([layer[0] for layer in geometry], appearance)
    return {"structure": _array(structure_tokens), "latents": _array(latent_tokens)}


def structure(
    tokens: Float[np.ndarray, "S M C"],
    networks: NetworkSource,
    options: GenerationOptions,
    seed: int,
    done: StageProgress,
) -> Arrays:
    """Occupied voxels, as `coordinates` [T, 3] of a grid of `resolution`.

    All noise comes from one generator on the CPU, as published: this stage's first, then that of the latents,
    for which the generator's `random_state` is returned.

    Raises:
        EmptyForeground: Nothing is occupied.
        OptimisationDiverged: A value became NaN or infinite.
    """
    device = options.device
    views = cycle([torch.from_numpy(view[None]).to(device) for view in tokens])
    with networks.open(published.STRUCTURE_FLOW, device) as flow:
        edge = flow.config.resolution
        rng = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, len(LATENT_MEAN), edge, edge, edge, generator=rng).to(device)
        steps = walk(
            noise,
            lambda state, times: flow(state, times, next(views)),
            lambda state, times: flow(state, times, None),
            options.structure,
        )
        latent = _last(steps, options.structure, "structure", done)
    with networks.open(published.STRUCTURE_DECODER, device) as decoder:
        logits = decoder(latent)
    coordinates = occupied_voxels(logits)[:, 1:]
    if not len(coordinates):
        raise EmptyForeground(
            "The generated structure is empty: no voxel is occupied.",
            hint="Check that the photos show one object on a removed background, or try another seed.",
        )
    return {
        "coordinates": _array(coordinates),
        "resolution": np.array(logits.shape[-1]),
        "random_state": rng.get_state().numpy(),
    }


def latents(
    grid: Arrays,
    tokens: Float[np.ndarray, "N L C"],
    networks: NetworkSource,
    options: GenerationOptions,
    done: StageProgress,
) -> Arrays:
    """Structured `latents` [T, 8] of the voxels in `grid`, which is what `structure` returned.

    Raises:
        OptimisationDiverged: A value became NaN or infinite.
    """
    device = options.device
    voxels = _voxels(grid["coordinates"], device)
    views = [torch.from_numpy(view[None]).to(device) for view in tokens]
    rng = torch.Generator()
    rng.set_state(torch.from_numpy(grid["random_state"]))
    noise = torch.randn(len(voxels), len(LATENT_MEAN), generator=rng).to(device)
    with networks.open(published.LATENT_FLOW, device) as flow:
        steps = walk(
            noise,
            lambda state, times: flow(state, voxels, times, views),
            lambda state, times: flow(state, voxels, times, None),
            options.latents,
            deviation=sparse_deviation(voxels.spans),
        )
        normalised = _last(steps, options.latents, "latents", done)
    mean, std = normalised.new_tensor(LATENT_MEAN), normalised.new_tensor(LATENT_STD)
    return {"latents": _array(normalised * std + mean)}


def decoded_surface(
    coordinates: Int32[np.ndarray, "T 3"],
    latents: Float[np.ndarray, "T 8"],
    *,
    resolution: int,
    networks: NetworkSource,
    device: torch.device,
) -> Arrays:
    """The mesh in [-0.5, 0.5]^3, z up: `vertices`, `faces` and `colours_srgb` [V, 3] in [0, 1].

    Raises:
        EmptyForeground: The decoded field has one sign.
        OptimisationDiverged: A value is NaN or infinite.
    """
    voxels = _voxels(coordinates, device)
    with networks.open(published.MESH_DECODER, device) as decoder:
        features, fine = decoder(torch.from_numpy(latents).to(device), voxels)
    _require_finite(features, "surface features", 0)
    mesh = surface(features, fine.coordinates[:, 1:], resolution=4 * resolution)
    return {
        "vertices": _array(mesh.vertices),
        "faces": _array(mesh.faces.int()),
        "colours_srgb": _array(mesh.attributes[:, :3]),
    }


def decoded_gaussians(
    coordinates: Int32[np.ndarray, "T 3"],
    latents: Float[np.ndarray, "T 8"],
    *,
    resolution: int,
    networks: NetworkSource,
    device: torch.device,
) -> Gaussians:
    """The same object as Gaussians, on the device."""
    voxels = _voxels(coordinates, device)
    with networks.open(published.GAUSSIAN_DECODER, device) as decoder:
        numbers = decoder(torch.from_numpy(latents).to(device), voxels)
        offsets = decoder.offset_perturbation
    _require_finite(numbers, "Gaussians", 0)
    return activated(numbers, voxels.coordinates[:, 1:], offsets, resolution=resolution)


def _last(steps: Iterator[Step], options: SamplerOptions, stage: str, done: StageProgress) -> Tensor:
    """The walk's end; reports each step."""
    for step in steps:
        _require_finite(step.state, f"state of the {stage}", step.number)
        done(step.number / options.steps)
    return step.state


def _require_finite(values: Tensor, what: str, step: int) -> None:
    if not bool(values.isfinite().all()):
        where = f" at step {step}" if step else ""
        raise OptimisationDiverged(
            f"The {what} became infinite or undefined{where}.",
            hint="Use bfloat16 or float32 instead of float16, or download the weights again.",
        )


def _voxels(coordinates: np.ndarray, device: torch.device) -> Voxels:
    item = np.zeros((len(coordinates), 1), np.int32)
    return Voxels(torch.from_numpy(np.concatenate([item, coordinates], axis=1)).to(device))


def _array(values: Tensor) -> np.ndarray:
    """On the CPU; half precision is widened, which loses nothing."""
    plain = values.float() if values.is_floating_point() else values
    result: np.ndarray = plain.contiguous().cpu().numpy()
    return result
