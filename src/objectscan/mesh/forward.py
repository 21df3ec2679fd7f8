"""A finished model seen from a camera, shaded as a glTF viewer would."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from objectscan.render import (
    Hits,
    PrefilterOperator,
    antialias,
    bend_normals,
    build_adjacency,
    build_mips,
    clip_from_world,
    depth_range,
    interpolate_covered,
    linear_from_srgb,
    rasterize,
    sample_texture,
    scatter_covered,
    shade_split_sum,
    srgb_from_linear,
    vertex_normals,
    vertex_tangents,
)
from objectscan.types import Camera, Environment, Reconstruction


class ModelRenderer:
    """Renders one model from many cameras: what does not depend on the camera is computed once."""

    def __init__(self, reconstruction: Reconstruction):
        """Prepare textures, normals and the model's own light."""
        mesh, uv, material = reconstruction.mesh, reconstruction.uv, reconstruction.material
        self._vertices, self._faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
        self._uv, self._uv_faces = torch.from_numpy(uv.coordinates), torch.from_numpy(uv.faces)
        with torch.no_grad():
            self._adjacency = build_adjacency(self._faces)
            self._normals = vertex_normals(self._vertices, self._faces)
            base = linear_from_srgb(torch.from_numpy(material.base_color_srgb))
            self._colour_mips = build_mips(
                torch.cat([base, torch.from_numpy(material.occlusion_roughness_metallic)], dim=-1)
            )
            self._normal_mips = None
            if material.normal is not None:
                self._normal_mips = build_mips(torch.from_numpy(material.normal))
                self._tangents = vertex_tangents(self._vertices, self._faces, self._uv, self._uv_faces)
        self.light_from(reconstruction.environment)

    def light_from(self, environment: Environment) -> None:
        """Use another light from now on."""
        radiance = torch.from_numpy(environment.radiance_linear)
        with torch.no_grad():
            self._light = PrefilterOperator(radiance.shape[1])(radiance)

    def view(self, camera: Camera) -> Float32[np.ndarray, "H W 4"]:
        """Straight sRGB, clipped to [0, 1], and antialiased coverage."""
        near, far = depth_range(camera, self._vertices.numpy())
        clip = torch.from_numpy(clip_from_world(camera, near, far))
        positions = (F.pad(self._vertices, (0, 1), value=1.0) @ clip.T)[None]
        with torch.no_grad():
            hits = rasterize(positions, self._faces, camera.size, derivatives=True)
            colour = srgb_from_linear(self._radiance(hits, camera).clamp(0.0, 1.0))
            flat = scatter_covered(F.pad(colour, (0, 1), value=1.0), hits)
            premultiplied = antialias(flat, hits, positions, self._faces, self._adjacency)[0].numpy()
        coverage = premultiplied[..., 3:]
        straight = premultiplied[..., :3] / np.maximum(coverage, 1e-6)
        return np.concatenate([np.clip(straight, 0.0, 1.0), np.clip(coverage, 0.0, 1.0)], axis=-1)

    def _radiance(self, hits: Hits, camera: Camera) -> Float[Tensor, "P 3"]:
        """Linear radiance of the covered pixels towards the camera."""
        normals = F.normalize(interpolate_covered(self._normals, self._faces, hits), dim=1)
        points = interpolate_covered(self._vertices, self._faces, hits)
        centre = torch.from_numpy(camera.world_from_camera[:3, 3].astype(np.float32))
        to_camera = F.normalize(centre - points, dim=1)
        coordinates, footprint = interpolate_covered(self._uv, self._uv_faces, hits, derivatives=True)
        material = sample_texture(self._colour_mips, coordinates, footprint=footprint)
        if self._normal_mips is not None:
            tangents = interpolate_covered(self._tangents, self._uv_faces, hits)
            tangent_space = sample_texture(self._normal_mips, coordinates, footprint=footprint)
            normals = bend_normals(normals, tangents, tangent_space)
        return shade_split_sum(material[:, :3], material[:, 3:], normals, to_camera, self._light)
