"""Metallic-roughness shading under a prefiltered environment (split sum, Karis 2013; glTF 2.0 appendix B)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.errors import InputError
from objectscan.render.devices import backend_of
from objectscan.render.light import ROUGHNESS_LADDER, PrefilteredLight


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
    points = (base_color_linear, occlusion_roughness_metallic, normals, directions_to_camera)
    backend = backend_of(*points, *cubemaps)
    if len(light.specular) != len(ROUGHNESS_LADDER):
        raise InputError(
            f"The light has {len(light.specular)} specular levels instead of {len(ROUGHNESS_LADDER)}.",
            hint="Make it with PrefilterOperator.",
        )
    texels = torch.cat([cubemap.reshape(-1, 3) for cubemap in cubemaps])
    edges = tuple(cubemap.shape[1] for cubemap in cubemaps)
    shaded: Tensor = backend.shade(*points, texels, edges)
    return shaded
