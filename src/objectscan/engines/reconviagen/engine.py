"""The engine `reconviagen`: photos, generated mesh, textured asset. Read `reconstruct`."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from objectscan.engines.reconviagen import asset
from objectscan.engines.reconviagen.network_source import FolderNetworks, NetworkSource
from objectscan.engines.reconviagen.pipeline import DELIVERED_FROM_GENERATED, CutOut, Generated, generate
from objectscan.engines.reconviagen.preparation import EDGE_PX
from objectscan.engines.reconviagen.sampler import LATENT_SAMPLING, STRUCTURE_SAMPLING
from objectscan.engines.reconviagen.stages import GenerationOptions, decoded_gaussians
from objectscan.engines.reconviagen.weights import require_collection
from objectscan.errors import BadMasks
from objectscan.mesh.uv import Layout
from objectscan.recipes import GenerativeOptions, Recipe
from objectscan.settings import DEFAULT_SETTINGS, Settings
from objectscan.types import (
    Capture,
    Checkpoints,
    Environment,
    Finding,
    Material,
    Mesh,
    PassReport,
    Progress,
    ProgressFn,
    Reconstruction,
    UvMap,
    View,
)
from objectscan.weights.folder import models_folder

_SURFACE_CELLS_PER_VOXEL = 4
_LIGHT_EDGE = 16


class ReconViaGenEngine:
    """Generates a whole object from a few photos with masks (ReconViaGen, ICLR 2026; TRELLIS, CVPR 2025).

    Cameras are not used. The result stands upright on the origin, but where the photos were taken from stays
    unknown, and so does its size: it is marked as not registered.
    """

    name = "reconviagen"
    # By operation counts with 4 photos on a GPU; not measured with published weights.
    stages: tuple[tuple[str, float], ...] = (
        ("conditions", 0.10),
        ("structure", 0.25),
        ("latents", 0.15),
        ("surface", 0.10),
        ("layout", 0.20),
        ("texture", 0.20),
    )

    def __init__(self) -> None:
        """On the CPU with the default folder of weights, until `prepare` says otherwise."""
        self._device = torch.device("cpu")
        self._models = models_folder(DEFAULT_SETTINGS, os.environ)

    def memory_bytes(self, capture: Capture, recipe: Recipe) -> int:
        """The largest network (VGGT, 5.0 GB) and its tokens if it runs in main memory; mesh and textures.

        By byte counts of tensors, not measured with published weights.
        """
        texture_bytes = 400 * recipe.budget.texture_size_px**2
        if torch.cuda.is_available():
            return int(2.5e9 + texture_bytes)
        largest_bytes = 5.1e9 if recipe.generative.conditions == "reconviagen" else 1.3e9
        photos = min(len(capture.views), recipe.generative.photos)
        return int(max(largest_bytes + 0.25e9 * photos, 4e9) + texture_bytes)

    def prepare(self, device: str, settings: Settings) -> None:
        """Choose device and folder. Networks are read when their stage begins: two never share the memory."""
        self._device, self._models = torch.device(device), models_folder(settings, os.environ)

    def reconstruct(
        self, capture: Capture, recipe: Recipe, *, seed: int, report: ProgressFn, checkpoints: Checkpoints
    ) -> Reconstruction:
        """See `engines.base.Engine.reconstruct`.

        Raises:
            MissingWeights: Names what is missing and the command that gets it.
            BadWeights: A file does not fit its network.
            BadMasks: A photo has no mask, or an empty one.
        """
        require_collection(recipe.generative.conditions, self._models)
        views = chosen_views(capture.views, recipe.generative.photos)
        options = _generation_options(recipe.generative, self._device)
        networks = _networks(recipe.generative, self._models, self._device)
        generated = generate(
            [_cut_out(view) for view in views], networks, options, seed=seed, report=report,
            checkpoints=checkpoints, edge_px=EDGE_PX,
        )  # fmt: skip
        laid_out = _laid_out(generated, recipe, report, checkpoints)
        material, texture_pass = self._textured(generated, laid_out, networks, recipe, report)
        return Reconstruction(
            mesh=asset.placed(laid_out.mesh, capture.delivered_from_world, DELIVERED_FROM_GENERATED),
            uv=laid_out.layout.uv,
            material=material,
            environment=Environment(np.ones((6, _LIGHT_EDGE, _LIGHT_EDGE, 3), np.float32)),
            passes=(*generated.passes, texture_pass),
            findings=(*_findings(capture.views, views), *laid_out.layout.findings),
            is_registered=False,
        )

    def _textured(
        self, generated: Generated, laid_out: asset.LaidOut, networks: NetworkSource, recipe: Recipe,
        report: ProgressFn,
    ) -> tuple[Material, PassReport]:  # fmt: skip
        report(Progress("texture", 0.0))
        began = perf_counter()
        colours_at = _colouring(generated, networks, recipe.generative, self._device)
        material = asset.baked(
            laid_out.mesh, laid_out.layout.uv, colours_at, size_px=recipe.budget.texture_size_px,
            done=lambda share: report(Progress("texture", 0.1 + 0.8 * share)),
        )  # fmt: skip
        report(Progress("texture", 1.0))
        return material, PassReport("texture", 0, perf_counter() - began)


def chosen_views(views: Sequence[View], most: int) -> tuple[View, ...]:
    """All views, or `most` that are evenly spaced in their order; the first one, the reference, is kept."""
    if len(views) <= most:
        return tuple(views)
    return tuple(views[number * len(views) // most] for number in range(most))


def _cut_out(view: View) -> CutOut:
    if view.mask is None:
        raise BadMasks(
            f"{view.name} has no mask.",
            hint="Give photos with an alpha channel, or a folder 'masks' with one picture per photo, white "
            "where the object is.",
        )
    return CutOut(view.name, np.concatenate([view.image_srgb, view.mask[..., None]], axis=2))


def _generation_options(wanted: GenerativeOptions, device: torch.device) -> GenerationOptions:
    structure = dataclasses.replace(
        STRUCTURE_SAMPLING, steps=wanted.structure_steps, strength=wanted.structure_guidance
    )
    latents = dataclasses.replace(LATENT_SAMPLING, steps=wanted.latent_steps, strength=wanted.latent_guidance)
    # Half precision is what the weights were published in; processors compute it slower than float32.
    backbone = torch.bfloat16 if device.type == "cuda" else torch.float32
    return GenerationOptions(structure, latents, wanted.conditions, backbone, device)


def _networks(wanted: GenerativeOptions, models: Path, device: torch.device) -> NetworkSource:
    torso = torch.float16 if device.type == "cuda" else torch.float32
    return FolderNetworks(models, collection=wanted.conditions, torso=torso)


def _laid_out(
    generated: Generated, recipe: Recipe, report: ProgressFn, checkpoints: Checkpoints
) -> asset.LaidOut:
    report(Progress("layout", 0.0))
    saved = checkpoints.load("layout")
    if saved is None:
        made = asset.laid_out(generated.mesh, recipe.budget, lambda: report(Progress("layout", 0.5)))
        found = json.dumps([dataclasses.asdict(finding) for finding in made.layout.findings])
        saved = {
            "vertices": made.mesh.vertices, "faces": made.mesh.faces, "uv": made.layout.uv.coordinates,
            "uv_faces": made.layout.uv.faces, "findings": np.array(found),
        }  # fmt: skip
        checkpoints.save("layout", saved)
    report(Progress("layout", 1.0))
    findings = tuple(
        Finding(**{**f, "photos": tuple(f["photos"])}) for f in json.loads(str(saved["findings"]))
    )
    layout = Layout(UvMap(saved["uv"], saved["uv_faces"]), findings)
    return asset.LaidOut(Mesh(saved["vertices"], saved["faces"]), layout)


@torch.inference_mode()
def _colouring(
    generated: Generated, networks: NetworkSource, wanted: GenerativeOptions, device: torch.device
) -> asset.Colouring:
    if wanted.texture_from == "vertices":
        spacing = 1 / (_SURFACE_CELLS_PER_VOXEL * generated.resolution)
        return asset.from_vertices(generated.mesh.vertices, generated.colours_srgb, spacing=spacing)
    gaussians = decoded_gaussians(
        generated.coordinates, generated.latents, resolution=generated.resolution, networks=networks,
        device=device,
    )  # fmt: skip
    parts = gaussians.positions, gaussians.colours, gaussians.opacities, gaussians.covariances()
    return asset.from_gaussians(*(part.float().cpu().numpy() for part in parts))


def _findings(given: Sequence[View], used: Sequence[View]) -> tuple[Finding, ...]:
    words = (
        "A network made this object up to resemble the photos: sides that no photo shows are imagined, and "
        "the light of the photos is part of the colours. Compare it with the object before you rely on it."
    )
    found = [Finding("generated", "warning", words)]
    if len(used) < len(given):
        text = f"{len(used)} of {len(given)} photos were looked at, evenly spaced; more take memory and time."
        found.append(Finding("photos_not_used", "info", text))
    return tuple(found)
