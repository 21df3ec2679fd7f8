"""Between the passes: from the free surface and its texture field to a mesh with an atlas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from objectscan.engines.nvdiffrec.field import TextureField
from objectscan.engines.nvdiffrec.textures import CHANNELS, LOWER, UPPER
from objectscan.errors import EmptyForeground
from objectscan.mesh.bake import fill_gutters, surface_points, texel_coverage
from objectscan.mesh.simplify import simplify
from objectscan.mesh.topology import drop_floaters, weld_by_position
from objectscan.mesh.uv import lay_out
from objectscan.recipes import Budget
from objectscan.types import Finding, Mesh, Progress, ProgressFn, UvMap, View

STAGE = "bridge"
_ATLAS_USE = 0.6
"""Share of the atlas that charts cover: xatlas on blocks gives 0.6 to 0.7 (docs/decisions/0005)."""
_SMALLEST_TEXTURE_PX = 256


@dataclass(frozen=True, slots=True)
class TexturedStart:
    """Where pass 2 begins."""

    mesh: Mesh
    uv: UvMap
    texels: Float[np.ndarray, "S S 8"]
    findings: tuple[Finding, ...] = ()


def bridge(
    mesh: Mesh, field: TextureField, views: Sequence[View], budget: Budget, report: ProgressFn
) -> TexturedStart:
    """Clean and simplify the surface, lay out an atlas, and write the field into it.

    Raises:
        EmptyForeground: Nothing is left after cleaning.
        UvFailed: No atlas could be made.
    """
    whole = drop_floaters(weld_by_position(mesh))
    if not len(whole.faces):
        raise EmptyForeground("No surface is left after loose pieces were dropped.", hint="Check the masks.")
    small = simplify(whole, budget.faces)
    size_px = texture_size_px(small, views, budget.texture_size_px)
    layout = lay_out(
        small, texture_size_px=size_px, timeout_s=budget.layout_timeout_s,
        while_waiting=lambda: report(Progress(STAGE, 0.5)),
    )  # fmt: skip
    return TexturedStart(small, layout.uv, bake(small, layout.uv, field, size_px), layout.findings)


def texture_size_px(mesh: Mesh, views: Sequence[View], largest_px: int) -> int:
    """The power of two that gives about one texel for each pixel with which the nearest quarter of views sees
    it.
    """
    corners = mesh.vertices[mesh.faces]
    area = (
        0.5
        * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    )
    centre = mesh.vertices.mean(axis=0)
    density = [
        view.camera.intrinsics[0, 0] / np.linalg.norm(view.camera.world_from_camera[:3, 3] - centre)
        for view in views
    ]
    edge_px = float(np.quantile(density, 0.75) * np.sqrt(area / _ATLAS_USE))
    wanted = 2 ** int(np.ceil(np.log2(max(edge_px, 1.0)) - 0.25))
    return int(min(max(wanted, _SMALLEST_TEXTURE_PX), largest_px))


def bake(mesh: Mesh, uv: UvMap, field: TextureField, size_px: int) -> Float[np.ndarray, "S S 8"]:
    """The field's material at every covered texel, spread over the gutters so that no seam shows."""
    texels = texel_coverage(mesh, uv, size_px)
    points = torch.from_numpy(surface_points(mesh, texels)).to(field.rows.values.device)
    with torch.no_grad():
        sample = field(points)
    image = np.zeros((size_px * size_px, CHANNELS), np.float32)
    image[texels.index] = np.concatenate(
        [
            sample.base_color_srgb.cpu().numpy(),
            sample.occlusion_roughness_metallic.cpu().numpy(),
            np.zeros((len(points), 2)),
        ],
        axis=1,
    )
    covered = np.zeros(size_px * size_px, bool)
    covered[texels.index] = True
    filled = fill_gutters(image.reshape(size_px, size_px, CHANNELS), covered.reshape(size_px, size_px))
    return np.clip(filled, LOWER, UPPER)
