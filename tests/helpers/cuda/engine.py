"""Inner loops of the engine with their gradients, on the CPU or a GPU: what tests compare."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from helpers.surfaces import points_of, random_field
from objectscan.engines.nvdiffrec import flexicubes
from objectscan.engines.nvdiffrec.field import TextureField
from objectscan.engines.nvdiffrec.photo_loss import PhotoWeights, photo_loss
from objectscan.engines.nvdiffrec.regularisers import normal_consistency
from objectscan.engines.nvdiffrec.sparse_adam import SparseRows, gather_rows
from objectscan.engines.nvdiffrec.textures import CHANNELS, LearntTextures
from objectscan.engines.nvdiffrec.vertex_descent import VertexDescent
from objectscan.render import build_adjacency


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def field_read(device: str = "cpu") -> list[Tensor]:
    """Rows of points as pixels see them: many in one coarse cell; the last level is hashed."""
    field = TextureField(np.full(3, -1.0), 2.0, (4, 16, 80), device=device)
    field.rows.values.copy_(0.1 * numbers(*field.rows.values.shape, seed=1))
    along = torch.linspace(-0.97, 1.1, 700)
    points = torch.stack([along, 0.3 * torch.sin(3 * along), along.square() - 0.4], dim=1).to(device)
    points.requires_grad_()
    raw = field.raw(points)
    (raw * numbers(*raw.shape, seed=2).to(device)).sum().backward()
    return [raw.detach(), points.grad, field.rows.gradient, field.rows.touched.float()]


def field_steps(device: str = "cpu") -> list[Tensor]:
    field = TextureField(np.full(3, -1.0), 2.0, (4, 16), device=device)
    points = (0.5 * numbers(300, 3, seed=1)).to(device)
    for _ in range(3):
        sample = field(points)
        (sample.base_color_srgb - 0.9).square().sum().backward()
        field.rows.step(0.03)
    return [field.rows.values, field.rows.gradient, field.rows.touched.float()]


def atlas_steps(device: str = "cpu") -> list[Tensor]:
    """Reads of an atlas, and steps that meet the bounds."""
    texels = np.random.default_rng(1).random((16, 16, CHANNELS)).astype(np.float32)
    textures = LearntTextures(texels, device=device)
    uv = (0.5 + 0.3 * numbers(500, 2, seed=2)).to(device)
    for _ in range(3):
        read = textures(uv)
        (read * numbers(500, CHANNELS, seed=3).to(device)).sum().backward()
        gradient = textures.rows.gradient.clone()
        textures.step(np.linspace(0.1, 0.4, CHANNELS).astype(np.float32))
    return [read.detach(), gradient, textures.rows.values, textures.rows.touched.float()]


def row_gradients(device: str = "cpu") -> list[Tensor]:
    rows = SparseRows(numbers(50, 4, seed=1).to(device))
    index = torch.tensor([3, 7, 7, 49, 0], device=device)
    gather_rows(rows, index).square().sum().backward()
    return [rows.gradient, rows.touched.float()]


def surface(device: str = "cpu") -> dict[str, Tensor]:
    """A rough surface in one canonical order, and the gradients of its vertices and of L_dev."""
    field = torch.from_numpy(random_field((11, 9, 10), 0.8, 5).astype(np.float32)).to(device)
    topology = flexicubes.extract_topology(field)
    points = torch.from_numpy(points_of(tuple(field.shape))).float().to(device)[topology.points]
    points = points.requires_grad_()
    values = field.reshape(-1)[topology.points].requires_grad_()
    weights = 1 + 0.2 * torch.sin(topology.cubes[:, None] + torch.arange(20, device=device))
    weights = weights.float().requires_grad_()
    vertices = flexicubes.place_vertices(points, values, weights, topology)
    uneven = flexicubes.deviation(points, values, vertices, topology)
    (vertices * torch.sin(37 * vertices.detach())).sum().add(uneven).backward()
    faces = flexicubes.triangles(topology, vertices)
    order = torch.argsort(topology.points)
    corners = vertices.detach()[faces.long()].cpu().numpy().reshape(len(faces), 9).round(4)
    return {
        "points": topology.points[order], "cubes": topology.cubes,
        "start": topology.start, "cube": topology.cube, "edge": topology.edge,
        "ends": topology.points[torch.stack([topology.first, topology.second]).long()],
        "vertices": vertices.detach(), "uneven": uneven.detach(),
        "points_grad": points.grad[order], "values_grad": values.grad[order], "weights_grad": weights.grad,
        "triangles": torch.from_numpy(corners[np.lexsort(corners.T)]),
    }  # fmt: skip


def bend(device: str = "cpu", crease: float = 0.05) -> list[Tensor]:
    vertices, faces = ball_of(device)
    value = normal_consistency(vertices, faces, build_adjacency(faces), crease=crease)
    (3 * value).backward()
    return [value.detach(), vertices.grad]


def photo_losses(device: str = "cpu") -> list[Tensor]:
    """Two pictures with a soft mask and unknown pixels, wider than the widest stride; not whole blocks."""
    rendered = numbers(2, 19, 23, 4, seed=1).to(device).requires_grad_()
    target = numbers(2, 19, 23, 5, seed=2)
    target[..., 3] = target[..., 3].clamp(0.0, 1.0)
    target[..., 4] = (target[..., 4] > -0.5).float()
    loss = photo_loss(rendered, target.to(device), PhotoWeights(0.7, 1.3, 2.0))
    (3 * loss.total).backward()
    return [loss.total.detach(), loss.parts, rendered.grad]


def descent(device: str = "cpu") -> list[Tensor]:
    """Vertices after steps towards a larger, shifted ball."""
    start, faces = ball_of("cpu")
    steps = VertexDescent(start.detach().numpy(), faces.numpy(), smoothness=12.0, device=torch.device(device))
    aim = 1.2 * start.detach().to(device) + 0.1
    for _ in range(5):
        (steps.positions - aim).square().sum().backward()
        steps.step(0.01)
    return [steps.positions.detach() - start.detach().to(device)]


def ball_of(device: str) -> tuple[Tensor, Tensor]:
    from tests.engines.nvdiffrec.captures import ball

    vertices, faces = ball(rings=12)
    noisy = torch.from_numpy(vertices) + 0.02 * numbers(*vertices.shape, seed=4)
    return noisy.to(device).requires_grad_(), torch.from_numpy(faces).to(device)
