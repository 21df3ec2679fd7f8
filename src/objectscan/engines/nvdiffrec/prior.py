"""What a surface that stood before keeps: its side that no photo shows, in shape and in colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from objectscan.mesh.bake import surface_points, texel_coverage
from objectscan.mesh.visibility import SurfaceSamples, seen_by, smaller_camera
from objectscan.render import vertex_normals
from objectscan.types import Camera, Mesh, Reconstruction, UvMap

_DEPTH_EDGE_PX = 256
_BLEND_NEIGHBOURS = 8


def seen_vertices(mesh: Mesh, cameras: Sequence[Camera]) -> Bool[np.ndarray, " V"]:
    """Vertices that at least one camera sees: in the picture, not edge-on, not behind the surface itself."""
    normals = vertex_normals(torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)).numpy()
    lengths = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    samples = SurfaceSamples(mesh.vertices, (normals / lengths).astype(np.float32))
    seen = np.zeros(len(mesh.vertices), bool)
    for camera in cameras:
        seen |= seen_by(mesh, smaller_camera(camera, _DEPTH_EDGE_PX), samples)
    return seen


def unseen_faces(mesh: Mesh, seen: Bool[np.ndarray, " V"]) -> np.ndarray:
    """Indices of the faces none of whose corners was seen."""
    return np.flatnonzero(~seen[mesh.faces].any(axis=1)).astype(np.int32)


def with_earlier_colours(
    texels: Float[np.ndarray, "S S 8"],
    mesh: Mesh,
    uv: UvMap,
    prior: Reconstruction,
    seen: Bool[np.ndarray, " V"],
) -> Float[np.ndarray, "S S 8"]:
    """The textures of `mesh` with the prior's material where no photo shows the surface, blended at the edge.

    Args:
        texels: Base colour 3 (sRGB), occlusion-roughness-metallic 3, normal 2; row 0 is v = 0.
        mesh: In the prior's frame.
        uv: Its atlas.
        prior: The earlier surface with its textures.
        seen: For each vertex of `mesh`.
    """
    size_px = texels.shape[0]
    covered = texel_coverage(mesh, uv, size_px)
    points = surface_points(mesh, covered)
    shares = np.einsum("pk,pk->p", covered.barycentrics, seen[mesh.faces[covered.face]].astype(np.float64))
    wanted = shares < 1.0
    if not wanted.any():
        return texels
    earlier = material_at(points[wanted], prior)
    flat = texels.reshape(-1, texels.shape[2]).copy()
    index, share = covered.index[wanted], shares[wanted, None]
    flat[index, :6] = share * flat[index, :6] + (1.0 - share) * earlier
    flat[index, 6:] *= share
    return flat.reshape(texels.shape).astype(texels.dtype)


def material_at(points: np.ndarray, prior: Reconstruction) -> Float[np.ndarray, "P 6"]:
    """Mean material of the prior's nearest texels: nearer than a face's own corners, and no seams."""
    colour = prior.material.base_color_srgb
    texels = texel_coverage(prior.mesh, prior.uv, colour.shape[0])
    values = np.concatenate([colour, prior.material.occlusion_roughness_metallic], axis=2).reshape(-1, 6)
    tree = cKDTree(surface_points(prior.mesh, texels))
    distance, nearest = tree.query(points, k=min(_BLEND_NEIGHBOURS, tree.n))
    weights = 1.0 / (distance.reshape(len(points), -1) + 1e-9)
    weights /= weights.sum(axis=1, keepdims=True)
    found = values[texels.index[nearest.reshape(len(points), -1)]]
    return np.asarray(np.einsum("pk,pkc->pc", weights, found))
