"""Metallic-roughness shading under a prefiltered environment (split sum, Karis 2013; glTF 2.0 appendix B)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.render.cubemap import sample_cubemap
from objectscan.render.light import PrefilteredLight, specular_level

SMALLEST_ROUGHNESS = 0.08
_DIELECTRIC = 0.04


def shade_split_sum(
    base_color_linear: Float[Tensor, "P 3"],
    occlusion_roughness_metallic: Float[Tensor, "P 3"],
    normals: Float[Tensor, "P 3"],
    directions_to_camera: Float[Tensor, "P 3"],
    light: PrefilteredLight,
) -> Float[Tensor, "P 3"]:
    """Linear radiance of surface points towards the camera.

    No shadows and no light from other parts of the object but for the occlusion factor (1 = fully lit), which
    multiplies all light. Differentiable in everything but the directions to the camera.

    Args:
        base_color_linear: Linear, [0, 1].
        occlusion_roughness_metallic: [0, 1]; perceptual roughness, alpha = roughness^2.
        normals: Unit, world frame.
        directions_to_camera: Unit, world frame.
        light: From `PrefilterOperator`.
    """
    occlusion, roughness, metallic = occlusion_roughness_metallic.split(1, dim=1)
    roughness = roughness.clamp_min(SMALLEST_ROUGHNESS)
    cosine = (normals * directions_to_camera).sum(dim=1, keepdim=True)
    reflected = 2.0 * cosine * normals - directions_to_camera
    scale, bias = environment_brdf(cosine.clamp_min(1e-3), roughness)
    normal_reflectance = _DIELECTRIC + metallic * (base_color_linear - _DIELECTRIC)
    diffuse = sample_cubemap([light.diffuse], normals) * base_color_linear * (1.0 - metallic)
    radiance = sample_cubemap(light.specular, reflected, specular_level(roughness[:, 0]))
    return (diffuse + radiance * (normal_reflectance * scale + bias)) * occlusion


def environment_brdf(
    cosine: Float[Tensor, "P 1"], roughness: Float[Tensor, "P 1"]
) -> tuple[Float[Tensor, "P 1"], Float[Tensor, "P 1"]]:
    """(scale, bias) with which GGX reflects a uniform environment: F0 scale + bias.

    Karis's closed fit ("Physically based shading on mobile", 2014) of the integral of the split sum's second factor;
    tests compare it with the integral. In: n.v and perceptual roughness in (0, 1].
    """
    r0 = 1.0 - roughness
    r1 = 0.0425 - 0.0275 * roughness
    r2 = 1.04 - 0.572 * roughness
    r3 = 0.022 * roughness - 0.04
    a004 = torch.minimum(r0 * r0, torch.exp2(-9.28 * cosine)) * r0 + r1
    return -1.04 * a004 + r2, 1.04 * a004 + r3
