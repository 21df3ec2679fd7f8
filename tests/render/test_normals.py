from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from helpers.gradients import worst_gradient_error
from helpers.shapes import bumpy_sphere, sphere
from objectscan.render import bend_normals, face_normals, vertex_normals, vertex_tangents


def _mesh(divisions, shape=sphere):
    vertices, faces = shape(divisions)
    return torch.from_numpy(vertices), torch.from_numpy(faces)


def _vertex_normals_by_hand(vertices, faces):
    total = np.zeros_like(vertices)
    for face in faces:
        a, b, c = vertices[face]
        for corner in face:
            total[corner] += np.cross(b - a, c - a)
    return total / np.linalg.norm(total, axis=1, keepdims=True)


def test_normals_of_a_sphere_point_outward():
    vertices, faces = _mesh(16)
    assert (vertex_normals(vertices, faces) * vertices).sum(dim=1).min() > 0.9995


def test_vertex_normals_equal_their_slow_twin():
    vertices, faces = _mesh(6, bumpy_sphere)
    expected = _vertex_normals_by_hand(vertices.numpy(), faces.numpy())
    assert np.allclose(vertex_normals(vertices, faces).numpy(), expected, atol=1e-12)


def test_face_normals_are_twice_the_area():
    vertices = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 3, 0]])
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    assert torch.equal(face_normals(vertices, faces), torch.tensor([[0.0, 0.0, 6.0]]))


def test_a_vertex_without_area_has_no_normal_and_no_nan():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]], requires_grad=True)
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2]], dtype=torch.int32))
    normals.sum().backward()
    assert torch.equal(normals, torch.zeros(4, 3))
    assert torch.isfinite(vertices.grad).all()


def test_gradients_of_vertex_normals():
    vertices, faces = _mesh(3, bumpy_sphere)
    weights = torch.randn(vertices.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = lambda moved: (vertex_normals(moved, faces) * weights).sum()  # noqa: E731
    assert worst_gradient_error(loss, [vertices]) < 1e-6


@pytest.mark.parametrize(
    ("uv_from_plane", "handedness"),
    [([[1.0, 0.0], [0.0, 1.0]], 1), ([[0.0, 1.0], [-1.0, 0.0]], 1), ([[-1.0, 0.0], [0.0, 1.0]], -1)],
    ids=["straight", "turned", "mirrored"],
)
def test_tangents_follow_u_and_the_bitangent_follows_v(uv_from_plane, handedness):
    plane = torch.rand(30, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    faces = torch.arange(30, dtype=torch.int32).reshape(10, 3)
    corners = plane.reshape(10, 3, 2)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    clockwise = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] < 0
    faces[clockwise] = faces[clockwise].flip(1)
    matrix = torch.tensor(uv_from_plane, dtype=torch.float64)
    vertices = torch.nn.functional.pad(plane, (0, 1))  # the plane z = 0 seen from +z
    tangents = vertex_tangents(vertices, faces, plane @ matrix.T, faces)
    along_u, along_v = torch.linalg.inv(matrix).T  # how the plane moves when u, or v, grows
    normal = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    assert torch.allclose(tangents[:, :2], along_u.expand(30, 2))
    assert (tangents[:, 3] == handedness).all()
    bitangent = tangents[:, 3:] * torch.linalg.cross(normal.expand(30, 3), tangents[:, :3])
    assert torch.allclose(bitangent[:, :2], along_v.expand(30, 2))


def _frames(count=20):
    generator = torch.Generator().manual_seed(1)
    normals, skew, bent = (
        normalize(torch.randn(count, 3, generator=generator, dtype=torch.float64), dim=1) for _ in range(3)
    )
    signs = torch.where(torch.rand(count, 1, generator=generator, dtype=torch.float64) < 0.5, -1.0, 1.0)
    return normals, torch.cat([skew, signs], dim=1), bent


def test_a_straight_tangent_space_normal_changes_nothing():
    normals, tangents, _ = _frames()
    straight = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(len(normals), 3)
    assert torch.allclose(bend_normals(normals, tangents, straight), normals)


def test_bent_normals_are_unit_and_keep_their_angle_to_the_surface():
    normals, tangents, bent = _frames()
    world = bend_normals(normals, tangents, bent)
    assert torch.allclose(world.norm(dim=1), torch.ones(len(world), dtype=torch.float64))
    assert torch.allclose((world * normals).sum(dim=1), bent[:, 2])


def test_bending_along_v_follows_the_handedness():
    normal = torch.tensor([[0.0, 0.0, 1.0]] * 2)
    tangents = torch.tensor([[1.0, 0, 0, 1], [1.0, 0, 0, -1]])
    up = torch.tensor([[0.0, 1.0, 0.0]] * 2)
    assert torch.allclose(bend_normals(normal, tangents, up), torch.tensor([[0.0, 1, 0], [0, -1, 0]]))


def test_gradients_of_bent_normals():
    normals, tangents, bent = _frames()
    weights = torch.randn(normals.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    along, sign = tangents[:, :3], tangents[:, 3:]

    def loss(n, t, b):
        return (bend_normals(n, torch.cat([t, sign], dim=1), b) * weights).sum()

    assert worst_gradient_error(loss, [normals, along, bent]) < 1e-6
