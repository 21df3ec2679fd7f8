"""Metallic-roughness shading under a prefiltered environment (split sum, Karis 2013; glTF 2.0 appendix B)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.errors import InputError
from objectscan.render.brdf import environment_brdf
from objectscan.render.cpu import shade
from objectscan.render.cubemap import _sources
from objectscan.render.devices import array_of, require_cpu
from objectscan.render.light import ROUGHNESS_LADDER, PrefilteredLight
from objectscan.render.threads import run_jobs, split_range


def shade_split_sum(
    base_color_linear: Float[Tensor, "P 3"],
    occlusion_roughness_metallic: Float[Tensor, "P 3"],
    normals: Float[Tensor, "P 3"],
    directions_to_camera: Float[Tensor, "P 3"],
    light: PrefilteredLight,
) -> Float[Tensor, "P 3"]:
    """Linear radiance of surface points towards the camera.

    With n the normal, F0 = 0.04 (1 - metallic) + base metallic and (A, B) from `environment_brdf`:
    occlusion (diffuse(n) base (1 - metallic) + specular(reflected, roughness) (F0 A + B)). The reflected
    direction leans towards n as roughness grows, as real lobes do.
    No shadows and no light from other parts of the object but for the occlusion factor (1 = fully lit), which
    multiplies all light. Differentiable in everything but the directions to the camera; roughness below 0.08
    counts as 0.08 and has no gradient there.

    Args:
        base_color_linear: Linear, [0, 1].
        occlusion_roughness_metallic: [0, 1]; perceptual roughness, alpha = roughness^2.
        normals: Unit, world frame.
        directions_to_camera: Unit, world frame, from the surface.
        light: From `PrefilterOperator`.
    """
    cubemaps = (light.diffuse, *light.specular)
    require_cpu(base_color_linear, occlusion_roughness_metallic, normals, directions_to_camera, *cubemaps)
    if len(light.specular) != len(ROUGHNESS_LADDER):
        raise InputError(
            f"The light has {len(light.specular)} specular levels instead of {len(ROUGHNESS_LADDER)}.",
            hint="Make it with PrefilterOperator.",
        )
    texels = torch.cat([cubemap.reshape(-1, 3) for cubemap in cubemaps])
    edges = tuple(cubemap.shape[1] for cubemap in cubemaps)
    shaded: Tensor = _Shade.apply(
        base_color_linear, occlusion_roughness_metallic, normals, directions_to_camera, texels, edges
    )
    return shaded


class _Shade(torch.autograd.Function):
    """One pass over the points instead of forty torch operations: 42 ms became 17 for 50,000 points."""

    @staticmethod
    def forward(
        ctx: Any,
        base: Tensor,
        material: Tensor,
        normals: Tensor,
        views: Tensor,
        texels: Tensor,
        edges: tuple[int, ...],
    ) -> Tensor:
        points = tuple(array_of(tensor) for tensor in (base, material, normals, views))
        stack = (array_of(texels), *_sources(edges), np.asarray(ROUGHNESS_LADDER), environment_brdf())
        colours = np.zeros_like(points[0])
        run_jobs(lambda a, b: shade.shade(points, stack, a, b, colours), split_range(len(colours)))
        ctx.points, ctx.stack = points, stack
        return torch.from_numpy(colours)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        jobs = split_range(len(upstream))
        gradients = tuple(np.zeros_like(array) for array in ctx.points[:3])
        texels = ctx.stack[0]
        parts = np.zeros((len(jobs), *texels.shape), texels.dtype)
        gradient = array_of(upstream)
        run_jobs(
            lambda k, a, b: shade.shade_backward(
                ctx.points, ctx.stack, a, b, gradient, (*gradients, parts[k])
            ),
            [(k, *job) for k, job in enumerate(jobs)],
        )
        base, material, normals = (torch.from_numpy(array) for array in gradients)
        return base, material, normals, None, torch.from_numpy(parts.sum(axis=0)), None
