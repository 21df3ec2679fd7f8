"""Pass 2: fixed topology. Vertices, textures, light, exposures and, on request, cameras together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from objectscan.engines.nvdiffrec.appearance import Appearance, render_views, shade
from objectscan.engines.nvdiffrec.batches import view_batches
from objectscan.engines.nvdiffrec.bridge import TexturedStart
from objectscan.engines.nvdiffrec.cameras import ViewCameras
from objectscan.engines.nvdiffrec.field import MaterialSample
from objectscan.engines.nvdiffrec.guards import ensure_finite
from objectscan.engines.nvdiffrec.live_picture import LivePicture
from objectscan.engines.nvdiffrec.loss_words import LossWords
from objectscan.engines.nvdiffrec.photo_loss import PhotoWeights, photo_loss
from objectscan.engines.nvdiffrec.photos import PhotoLevel, photo_level
from objectscan.engines.nvdiffrec.regularisers import normal_consistency
from objectscan.engines.nvdiffrec.textures import LearntTextures
from objectscan.engines.nvdiffrec.vertex_descent import VertexDescent
from objectscan.recipes import RefineOptions
from objectscan.render import (
    Hits,
    PrefilteredLight,
    bend_normals,
    build_adjacency,
    interpolate_covered,
    vertex_normals,
    vertex_tangents,
)
from objectscan.types import Mesh, PassReport, Progress, ProgressFn, View

STAGE = "refine"
_TEXTURE_RATES = np.array([0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01], np.float32)
_VERTEX_RATE_PX = 0.12
"""Largest move of a vertex a step, in photo pixels."""
_WEIGHTS = PhotoWeights()
_SMOOTHNESS = 12.0
_BENDING = 0.02
_LIGHT_RATE = 0.01
_GAIN_RATE = 0.002
_CAMERA_RATE = 0.001
"""Radians, distances to the object, and log focal length a step."""


@dataclass(frozen=True, slots=True)
class Refined:
    """Result of pass 2."""

    mesh: Mesh
    texels: Float[np.ndarray, "S S 8"]
    report: PassReport


class RefinePass:
    """State of pass 2; `run` is the whole loop."""

    def __init__(
        self, start: TexturedStart, appearance: Appearance, cameras: ViewCameras, views: Sequence[View],
        options: RefineOptions, *, held: Bool[np.ndarray, " V"] | None = None,
    ):  # fmt: skip
        """Begin at the bridge's mesh and textures; vertices that are `held` stay where they are."""
        self._options = options
        self._live, self._words = LivePicture(), LossWords()
        device = appearance.log_radiance.device
        self._photos: PhotoLevel = photo_level(views, options.image_edge_px, device=device)
        self._appearance, self._cameras, self._uv = appearance, cameras, start.uv
        self._faces = torch.from_numpy(start.mesh.faces).to(device)
        self._uv_faces = torch.from_numpy(start.uv.faces).to(device)
        self._uv_coordinates = torch.from_numpy(start.uv.coordinates).to(device)
        self._adjacency = build_adjacency(self._faces)
        self._vertices = VertexDescent(
            start.mesh.vertices, start.mesh.faces, smoothness=_SMOOTHNESS, device=device, held=held
        )
        self._textures = LearntTextures(start.texels, device=device)
        self._pixel = _pixel_at(self._photos, start.mesh.vertices.mean(axis=0))

    def run(self, rng: np.random.Generator, report: ProgressFn) -> Refined:
        """Optimise for the given number of steps."""
        began, steps = time.perf_counter(), self._options.steps
        shared = torch.optim.Adam(
            [
                {"params": [self._appearance.log_radiance], "lr": _LIGHT_RATE},
                {"params": [self._appearance.log_gains], "lr": _GAIN_RATE},
                {"params": [self._cameras.delta], "lr": _CAMERA_RATE},
            ],
            betas=(0.9, 0.99),
            fused=self._faces.is_cuda or None,
        )
        batches = view_batches(len(self._photos.pixels), self._options.views_per_step, rng)
        losses = torch.zeros(2)
        for step in range(steps):
            decay = 0.1 ** (step / steps)
            losses = self._step(next(batches), step)
            for group, rate in zip(shared.param_groups, (_LIGHT_RATE, _GAIN_RATE, _CAMERA_RATE), strict=True):
                group["lr"] = rate * decay
            shared.step()
            shared.zero_grad()
            self._textures.step(_TEXTURE_RATES * decay)
            self._vertices.step(_VERTEX_RATE_PX * self._pixel * decay)
            words = self._words.of(losses, step)
            report(Progress(STAGE, (step + 1) / steps, words, self._live.take()))
        facts = {
            "colour_loss": float(losses[0]),
            "mask_loss": float(losses[1]),
            "faces": float(len(self._faces)),
        }
        mesh = Mesh(self._vertices.array.astype(np.float32), self._faces.cpu().numpy())
        texels = self._textures.texels().copy()
        return Refined(mesh, texels, PassReport(STAGE, steps, time.perf_counter() - began, facts))

    def _step(self, index: Tensor, step: int) -> Tensor:
        light, prior = self._appearance.light_and_prior()
        rendered = self.render(self._photos, index, light)
        target = self._photos.targets(index)
        self._live.look(rendered, target)
        difference = photo_loss(rendered, target, _WEIGHTS)
        bending = normal_consistency(self._vertices.positions, self._faces, self._adjacency)
        loss = difference.total + _BENDING * bending + prior
        if self._cameras.delta.requires_grad:
            loss = loss + 1.0 * self._cameras.delta.square().sum()
        ensure_finite(STAGE, step, loss=loss)
        loss.backward()
        return difference.parts[:2]

    def render(self, photos: PhotoLevel, index: Tensor, light: PrefilteredLight) -> Float[Tensor, "B H W 4"]:
        """Pictures of the chosen views."""
        positions = self._vertices.positions
        clip = F.pad(positions, (0, 1), value=1.0) @ self._cameras.clip_from_world(photos, index).transpose(
            1, 2
        )
        centres = self._cameras.centres(photos, index)
        normals = vertex_normals(positions, self._faces)
        tangents = vertex_tangents(positions.detach(), self._faces, self._uv_coordinates, self._uv_faces)

        def colour_of(hits: Hits) -> Tensor:
            surface = interpolate_covered(torch.cat([positions, normals], dim=1), self._faces, hits)
            corner = interpolate_covered(
                torch.cat([self._uv_coordinates, tangents], dim=1), self._uv_faces, hits
            )
            texels = self._textures(corner[:, :2])
            tangent_space = F.pad(texels[:, 6:8], (0, 1), value=1.0)
            normal = bend_normals(F.normalize(surface[:, 3:], dim=1), corner[:, 2:], tangent_space)
            to_camera = F.normalize(centres[hits.views()] - surface[:, :3].detach(), dim=1)
            material = MaterialSample(texels[:, :3], texels[:, 3:6])
            return shade(material, normal, to_camera, light, self._appearance.gains(index, hits))

        return render_views(clip, self._faces, self._adjacency, photos.size, colour_of)


def _pixel_at(photos: PhotoLevel, point: np.ndarray) -> float:
    """World size of a photo pixel at the object, median over views."""
    depths = photos.camera_from_world[:, 2, :3] @ point + photos.camera_from_world[:, 2, 3]
    return float(np.median(depths / photos.intrinsics[:, 0, 0]))
