"""Pass 1: free topology. A signed field and a texture field are fitted together, coarse to fine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from objectscan.engines.nvdiffrec.appearance import Appearance, render_views, shade
from objectscan.engines.nvdiffrec.batches import view_batches
from objectscan.engines.nvdiffrec.cameras import ViewCameras
from objectscan.engines.nvdiffrec.field import MaterialSample, TextureField
from objectscan.engines.nvdiffrec.guards import ensure_finite
from objectscan.engines.nvdiffrec.live_picture import LivePicture
from objectscan.engines.nvdiffrec.loss_words import LossWords
from objectscan.engines.nvdiffrec.photo_loss import PhotoWeights, photo_loss
from objectscan.engines.nvdiffrec.photos import PhotoLevel, photo_level
from objectscan.engines.nvdiffrec.prior import seen_vertices
from objectscan.engines.nvdiffrec.regularisers import normal_consistency, saturated, sign_change
from objectscan.engines.nvdiffrec.surface_grid import SurfaceGrid
from objectscan.recipes import ShapeOptions
from objectscan.render import Hits, PrefilteredLight, build_adjacency, interpolate_covered, vertex_normals
from objectscan.types import Mesh, PassReport, Progress, ProgressFn, View

STAGE = "shape"
_FIELD_RATE = 0.03
_LIGHT_RATE = 0.02
_DISTANCE_RATE = 0.2
"""Largest move of the surface a step, in grid cells."""
_REDISTANCE_EVERY = 40
_WARM_UP_STEPS = 40
"""Steps over which the surface's rate grows from 0: while colours are still grey they push the outline about.
"""
_WEIGHTS = PhotoWeights(contrast=4.0)
_BENDING = 1.5
_CREASE = 0.02
"""1 - cos of the angle (about 11 degrees) from which a bend counts as a crease and hardly costs more."""
_SIGN = 0.002
_PATCHES = 0.1
_FEW_MATERIALS = 0.3
_SAME_MATERIAL = 0.05
"""Difference of channels in [0, 1] above which two points are of different materials."""


class ShapePass:
    """State of pass 1; `run` is the whole loop."""

    def __init__(
        self, grid: SurfaceGrid, field: TextureField, appearance: Appearance, cameras: ViewCameras,
        views: Sequence[View], options: ShapeOptions, *, only_seen: bool = False,
    ):  # fmt: skip
        """Begin at the surface of `grid`; with `only_seen` what no view shows stays as it is there."""
        self.grid, self._field, self._appearance, self._cameras = grid, field, appearance, cameras
        self._views, self._options, self._only_seen = views, options, only_seen
        self._live, self._words = LivePicture(), LossWords()
        self._device = appearance.log_radiance.device

    def run(self, rng: np.random.Generator, report: ProgressFn) -> tuple[Mesh, PassReport]:
        """Optimise through all levels; the mesh is in world coordinates."""
        began, done, total = time.perf_counter(), 0, sum(self._options.steps)
        shared = torch.optim.Adam(
            [
                {"params": [self._appearance.log_radiance], "lr": _LIGHT_RATE},
                {"params": [self._appearance.log_gains], "lr": 0.002},
            ],
            betas=(0.9, 0.99),
            fused=self._device.type == "cuda" or None,
        )
        losses = torch.zeros(2)
        levels = zip(
            self._options.resolutions, self._options.image_edges_px, self._options.steps, strict=True
        )
        for resolution, edge_px, steps in levels:
            self.grid.refine(resolution)
            photos = photo_level(self._views, edge_px, device=self._device)
            batches = view_batches(len(self._views), self._options.views_per_step, rng)
            for step in range(steps):
                decay = 0.1 ** (done / total)
                if done % _REDISTANCE_EVERY == 0 or step == 0:
                    self._tidy()
                losses = self._step(photos, next(batches), rng, done)
                shared.step()
                shared.zero_grad()
                self._field.rows.step(_FIELD_RATE * decay)
                self.grid.step(_DISTANCE_RATE * decay * min(1.0, done / _WARM_UP_STEPS))
                words = self._words.of(losses, done)
                done += 1
                report(Progress(STAGE, done / total, words, self._live.take()))
        mesh = self.grid.mesh()
        facts = {
            "colour_loss": float(losses[0]),
            "mask_loss": float(losses[1]),
            "faces": float(len(mesh.faces)),
        }
        return mesh, PassReport(STAGE, total, time.perf_counter() - began, facts)

    def _tidy(self) -> None:
        self.grid.redistance()
        if self._only_seen:
            mesh = self.grid.mesh()
            seen = seen_vertices(mesh, [view.camera for view in self._views])
            self.grid.move_only_near(mesh.vertices[seen])

    def _step(self, photos: PhotoLevel, index: Tensor, rng: np.random.Generator, step: int) -> Tensor:
        surface = self.grid.surface()
        adjacency = build_adjacency(surface.faces)
        light, prior = self._appearance.light_and_prior()
        rendered, points = self._render(photos, index, surface.vertices, surface.faces, adjacency, light)
        target = photos.targets(index)
        self._live.look(rendered, target)
        difference = photo_loss(rendered, target, _WEIGHTS)
        bending = normal_consistency(surface.vertices, surface.faces, adjacency, crease=_CREASE)
        loss = difference.total + _BENDING * bending + _SIGN * sign_change(surface.edge_values)
        loss = loss + surface.regularisation + prior
        loss = loss + self._material_prior(points, rng)
        ensure_finite(STAGE, step, loss=loss, vertices=surface.vertices)
        loss.backward()
        return difference.parts[:2]

    def _render(
        self, photos: PhotoLevel, index: Tensor, vertices: Tensor, faces: Tensor, adjacency: Tensor,
        light: PrefilteredLight,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        clip = F.pad(vertices, (0, 1), value=1.0) @ self._cameras.clip_from_world(photos, index).transpose(
            1, 2
        )
        centres = self._cameras.centres(photos, index)
        attributes = torch.cat([vertices, vertex_normals(vertices, faces)], dim=1)
        seen: list[Tensor] = []

        def colour_of(hits: Hits) -> Tensor:
            values = interpolate_covered(attributes, faces, hits)
            points = values[:, :3]
            seen.append(points.detach())
            material = self._field(points)
            normal = F.normalize(values[:, 3:], dim=1)
            to_camera = F.normalize(centres[hits.views()] - points.detach(), dim=1)
            return shade(material, normal, to_camera, light, self._appearance.gains(index, hits))

        return render_views(clip, faces, adjacency, photos.size, colour_of), seen[0]

    def _material_prior(self, points: Tensor, rng: np.random.Generator) -> Tensor:
        """Few materials, in patches: else the colour explains the shading and the shape stays as it began.

        Compares points with others half a cell away and with others anywhere on the object.
        """
        if len(points) == 0:
            return points.new_zeros(())
        device = points.device
        index = torch.from_numpy(rng.integers(0, len(points), min(4096, len(points))))
        chosen = points[index.to(device, non_blocking=True)]
        moves = torch.from_numpy(rng.standard_normal(chosen.shape).astype(np.float32))
        shift = moves.to(device, non_blocking=True) * (0.5 * self.grid.spacing)
        here, near = self._field(chosen), self._field(chosen + shift)
        shuffled = torch.from_numpy(rng.permutation(len(chosen))).to(device, non_blocking=True)
        anywhere = MaterialSample(
            here.base_color_srgb.index_select(0, shuffled),
            here.occlusion_roughness_metallic.index_select(0, shuffled),
        )
        return _PATCHES * _material_difference(here, near) + _FEW_MATERIALS * _material_difference(
            here, anywhere
        )


def _material_difference(first: MaterialSample, second: MaterialSample) -> Tensor:
    """Mean difference of colour and of the other channels, saturating: edges of paint are cheap."""
    colour = (first.base_color_srgb - second.base_color_srgb).abs().mean(dim=1)
    rest = (first.occlusion_roughness_metallic - second.occlusion_roughness_metallic).abs().mean(dim=1)
    return saturated(colour, _SAME_MATERIAL).mean() + saturated(rest, _SAME_MATERIAL).mean()
