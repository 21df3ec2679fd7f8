"""Normals and tangents of meshes, differentiable."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor


def face_normals(vertices: Float[Tensor, "V 3"], faces: Int32[Tensor, "F 3"]) -> Float[Tensor, "F 3"]:
    """Cross products of the edges: direction outward, length twice the area."""
    a, b, c = (vertices.index_select(0, faces[:, k].long()) for k in range(3))
    return torch.linalg.cross(b - a, c - a)


def vertex_normals(vertices: Float[Tensor, "V 3"], faces: Int32[Tensor, "F 3"]) -> Float[Tensor, "V 3"]:
    """Unit area-weighted means of the faces around each vertex; zero for a vertex without area."""
    areas = face_normals(vertices, faces)
    total = torch.zeros_like(vertices)
    for k in range(3):
        total = total.index_add(0, faces[:, k].long(), areas)
    return F.normalize(total, dim=1)


def vertex_tangents(
    vertices: Float[Tensor, "V 3"],
    faces: Int32[Tensor, "F 3"],
    uv_coordinates: Float[Tensor, "T 2"],
    uv_faces: Int32[Tensor, "F 3"],
) -> Float[Tensor, "T 4"]:
    """Unit direction of growing u at each texture corner, and the handedness that makes +v.

    `bitangent = handedness * cross(normal, tangent)`. Charts are never mixed: corners belong to one chart. As
    MikkTSpace but for its angle weights.
    """
    a, b, c = (vertices.index_select(0, faces[:, k].long()) for k in range(3))
    ua, ub, uc = (uv_coordinates.index_select(0, uv_faces[:, k].long()) for k in range(3))
    (du1, dv1), (du2, dv2) = (ub - ua).unbind(1), (uc - ua).unbind(1)
    determinant = du1 * dv2 - du2 * dv1
    sign = torch.where(determinant < 0, -1.0, 1.0)[:, None]
    along_u = ((b - a) * dv2[:, None] - (c - a) * dv1[:, None]) * sign
    summed = uv_coordinates.new_zeros((len(uv_coordinates), 4))
    contribution = torch.cat([F.normalize(along_u, dim=1), sign], dim=1)
    for k in range(3):
        summed = summed.index_add(0, uv_faces[:, k].long(), contribution)
    handedness = torch.where(summed[:, 3:] < 0, -1.0, 1.0)
    return torch.cat([F.normalize(summed[:, :3], dim=1), handedness], dim=1)


def bend_normals(
    normals: Float[Tensor, "P 3"], tangents: Float[Tensor, "P 4"], tangent_space: Float[Tensor, "P 3"]
) -> Float[Tensor, "P 3"]:
    """Unit world normals from unit surface normals, tangents (with handedness) and tangent-space normals."""
    along = tangents[:, :3] - normals * (normals * tangents[:, :3]).sum(dim=1, keepdim=True)
    along_u = F.normalize(along, dim=1)
    along_v = torch.linalg.cross(normals, along_u) * torch.where(tangents[:, 3:] < 0, -1.0, 1.0)
    bent = along_u * tangent_space[:, :1] + along_v * tangent_space[:, 1:2] + normals * tangent_space[:, 2:]
    return F.normalize(bent, dim=1)
