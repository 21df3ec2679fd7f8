"""Loads or compiles the renderer's kernels before anybody waits for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from objectscan.render.antialias import antialias, build_adjacency
from objectscan.render.interpolate import interpolate_covered, scatter_covered
from objectscan.render.light import PrefilterOperator
from objectscan.render.rasterize import rasterize
from objectscan.render.shading import shade_split_sum
from objectscan.render.texture import build_mips, sample_texture

_SIZE_PX = (16, 16)
_LIGHT_EDGE = 32  # the engine's: its filter is made once a process, too


def load_kernels(device: str) -> None:
    """Render one lit, textured triangle and its gradients. Costs milliseconds where kernels are loaded."""
    corners = torch.tensor([[-0.8, -0.8, 0.0], [0.8, -0.8, 0.0], [0.0, 0.8, 0.0]], device=device)
    corners.requires_grad_()
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32, device=device)
    texture = torch.full((8, 8, 6), 0.5, device=device, requires_grad=True)
    radiance = torch.ones((6, _LIGHT_EDGE, _LIGHT_EDGE, 3), device=device, requires_grad=True)
    positions = F.pad(corners, (0, 1), value=1.0)[None]
    hits = rasterize(positions, faces, _SIZE_PX, derivatives=True)
    uv, footprint = interpolate_covered(0.5 * corners[:, :2] + 0.5, faces, hits, derivatives=True)
    material = sample_texture(build_mips(texture), uv, footprint=footprint)
    normals = F.normalize(torch.ones_like(material[:, :3]), dim=1)
    light = PrefilterOperator(_LIGHT_EDGE)(radiance)
    lit = shade_split_sum(material[:, :3], material[:, 3:], normals, normals, light)
    picture = antialias(scatter_covered(lit, hits), hits, positions, faces, build_adjacency(faces))
    picture.sum().backward()  # type: ignore[no-untyped-call]
