"""Pictures of a finished, textured model: forward only, for previews, turntables and evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from objectscan.errors import InputError
from objectscan.render.antialias import antialias, build_adjacency
from objectscan.render.camera import clip_from_world, depth_range
from objectscan.render.colour import linear_from_srgb, srgb_from_linear
from objectscan.render.interpolate import interpolate_covered, scatter_covered
from objectscan.render.light import PrefilterOperator
from objectscan.render.normals import bend_normals, face_normals, vertex_normals, vertex_tangents
from objectscan.render.rasterize import Hits, rasterize
from objectscan.render.shading import shade_split_sum
from objectscan.render.texture import build_mips, sample_texture
from objectscan.types import Camera, Environment, Material, Mesh, Reconstruction, UvMap


@dataclass(frozen=True, slots=True)
class SurfaceLayers:
    """What the centre of each pixel sees of a model, without light."""

    covered: Bool[np.ndarray, "H W"]
    depth: Float32[np.ndarray, "H W"]
    """Along the optical axis, world units; infinite where nothing is."""
    normals: Float32[np.ndarray, "H W 3"]
    """Unit, world frame, with the normal map and turned towards the camera; zero where nothing is."""
    base_color_srgb: Float32[np.ndarray, "H W 3"]
    occlusion_roughness_metallic: Float32[np.ndarray, "H W 3"]


class TexturedModel:
    """One model seen from many cameras: what does not depend on the camera is computed once."""

    def __init__(self, mesh: Mesh, uv: UvMap, material: Material, environment: Environment):
        """Prepare textures, normals and light."""
        self._vertices, self._faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
        self._uv, self._uv_faces = torch.from_numpy(uv.coordinates), torch.from_numpy(uv.faces)
        base = linear_from_srgb(torch.from_numpy(material.base_color_srgb))
        factors = torch.from_numpy(material.occlusion_roughness_metallic)
        self._adjacency = build_adjacency(self._faces)
        self._flat_normals = face_normals(self._vertices, self._faces)
        self._normals = vertex_normals(self._vertices, self._faces)
        self._material_mips = build_mips(torch.cat([base, factors], dim=-1))
        self._normal_mips = None
        if material.normal is not None:
            self._normal_mips = build_mips(torch.from_numpy(material.normal))
            self._tangents = vertex_tangents(self._vertices, self._faces, self._uv, self._uv_faces)
        self.light_from(environment)

    @classmethod
    def of(cls, reconstruction: Reconstruction) -> TexturedModel:
        """A result under its own light."""
        return cls(
            reconstruction.mesh, reconstruction.uv, reconstruction.material, reconstruction.environment
        )

    def light_from(self, environment: Environment) -> None:
        """Use another light from now on."""
        radiance = torch.from_numpy(environment.radiance_linear)
        self._light = PrefilterOperator(radiance.shape[1])(radiance)

    def view(self, camera: Camera, *, supersampling: int = 1) -> Float32[np.ndarray, "H W 4"]:
        """Straight sRGB clipped to [0, 1], and coverage; rows from the top.

        Light is averaged before it is encoded, as a camera does: over the edges that `antialias` finds and
        over `supersampling` squared samples a pixel.

        Raises:
            InputError: `supersampling` is below 1.
        """
        fine = _finer_camera(camera, supersampling)
        hits, positions = self._hits(fine)
        surface = self._surface(hits, fine)
        radiance = shade_split_sum(
            surface.material[:, :3], surface.material[:, 3:], surface.normals, surface.to_camera, self._light
        )
        lit = scatter_covered(F.pad(radiance.clamp(0.0, 1.0), (0, 1), value=1.0), hits)
        smooth = antialias(lit, hits, positions, self._faces, self._adjacency)
        pooled = F.avg_pool2d(smooth.permute(0, 3, 1, 2), supersampling)[0].permute(1, 2, 0)
        colour = srgb_from_linear(pooled[..., :3] / pooled[..., 3:].clamp_min(1e-6))
        return torch.cat([colour, pooled[..., 3:]], dim=-1).clamp(0.0, 1.0).numpy()

    def layers(self, camera: Camera) -> SurfaceLayers:
        """Depth, normals and material; one sample a pixel, no edge is smoothed."""
        hits, _ = self._hits(camera)
        surface = self._surface(hits, camera)
        base_srgb = srgb_from_linear(surface.material[:, :3].clamp(0.0, 1.0))
        columns = [surface.depth, surface.normals, base_srgb, surface.material[:, 3:]]
        picture = scatter_covered(torch.cat(columns, dim=1), hits)[0].numpy()
        covered = hits.covered[0].numpy()
        depth = np.where(covered, picture[..., 0], np.float32(np.inf))
        return SurfaceLayers(covered, depth, picture[..., 1:4], picture[..., 4:7], picture[..., 7:10])

    def _hits(self, camera: Camera) -> tuple[Hits, Float[Tensor, "1 V 4"]]:
        near, far = depth_range(camera, self._vertices.numpy())
        clip = torch.from_numpy(clip_from_world(camera, near, far))
        positions = (F.pad(self._vertices, (0, 1), value=1.0) @ clip.T)[None]
        return rasterize(positions, self._faces, camera.size, derivatives=True), positions

    def _surface(self, hits: Hits, camera: Camera) -> _SurfacePoints:
        points = interpolate_covered(self._vertices, self._faces, hits)
        world_from_camera = torch.from_numpy(camera.world_from_camera.astype(np.float32))
        towards = world_from_camera[:3, 3] - points
        depth = -(towards @ world_from_camera[:3, 2:3])
        coordinates, footprint = interpolate_covered(self._uv, self._uv_faces, hits, derivatives=True)
        material = sample_texture(self._material_mips, coordinates, footprint=footprint)
        normals = F.normalize(interpolate_covered(self._normals, self._faces, hits), dim=1)
        if self._normal_mips is not None:
            tangents = interpolate_covered(self._tangents, self._uv_faces, hits)
            tangent_space = sample_texture(self._normal_mips, coordinates, footprint=footprint)
            normals = bend_normals(normals, tangents, tangent_space)
        facing = self._flat_normals[hits.triangle.reshape(-1)[hits.pixels()].long()]
        # glTF lights a back face with its normal reversed.
        behind = (facing * towards).sum(dim=1, keepdim=True) < 0.0
        return _SurfacePoints(
            torch.where(behind, -normals, normals), F.normalize(towards, dim=1), depth, material
        )


@dataclass(frozen=True, slots=True)
class _SurfacePoints:
    """The covered pixels' surface; `material` is linear base colour and occlusion, roughness, metallic."""

    normals: Float[Tensor, "P 3"]
    to_camera: Float[Tensor, "P 3"]
    depth: Float[Tensor, "P 1"]
    material: Float[Tensor, "P 6"]


def render_textured(
    mesh: Mesh,
    uv: UvMap,
    material: Material,
    environment: Environment,
    camera: Camera,
    *,
    supersampling: int = 1,
) -> Float32[np.ndarray, "H W 4"]:
    """One picture of a textured model: straight sRGB and coverage. For many, keep a `TexturedModel`."""
    return TexturedModel(mesh, uv, material, environment).view(camera, supersampling=supersampling)


def _finer_camera(camera: Camera, factor: int) -> Camera:
    """The same camera with `factor` times the pixels along each side."""
    if factor < 1:
        raise InputError(f"Supersampling of {factor} is not possible.", hint="Use 1 or more.")
    (width, height), scale = camera.size, np.diag([factor, factor, 1.0])
    return replace(camera, intrinsics=scale @ camera.intrinsics, size=(width * factor, height * factor))
