import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers.gradients import worst_gradient_error
from helpers.shapes import bumpy_sphere, sphere
from objectscan.engines.nvdiffrec.regularisers import (
    LaplacianSmoother,
    normal_consistency,
    saturated,
    sign_change,
)
from objectscan.render import build_adjacency


def tensors(mesh):
    vertices, faces = mesh
    faces = torch.from_numpy(faces)
    return torch.from_numpy(vertices), faces, build_adjacency(faces)


def consistency_slowly(vertices, faces, adjacency):
    """Twin of `normal_consistency`: one edge at a time."""
    a, b, c = (vertices[faces[:, k].long()] for k in range(3))
    normals = F.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    pairs = [(t, int(u)) for t in range(len(faces)) for u in adjacency[t] if u > t]
    return torch.stack([1 - normals[t] @ normals[u] for t, u in pairs]).mean()


def tent(angle_rad):
    """Two triangles that share an edge, bent by an angle."""
    wing = [np.cos(angle_rad), 0, np.sin(angle_rad)]
    vertices = torch.tensor(np.array([[0, 0, 0], [0, 1, 0], [-1, 0.5, 0], wing]), dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [1, 0, 3]], dtype=torch.int32)
    return vertices, faces, build_adjacency(faces)


@pytest.mark.parametrize("angle_rad", [0.0, 0.3, 1.2, 3.0])
def test_normal_consistency_of_a_bend_is_one_minus_its_cosine(angle_rad):
    assert float(normal_consistency(*tent(angle_rad))) == pytest.approx(1 - np.cos(angle_rad), abs=1e-12)


def test_normal_consistency_and_gradient_equal_the_slow_twin():
    vertices, faces, adjacency = tensors(bumpy_sphere(4))
    leaves = [vertices.clone().requires_grad_() for _ in range(2)]
    values = normal_consistency(leaves[0], faces, adjacency), consistency_slowly(leaves[1], faces, adjacency)
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*(torch.autograd.grad(v, x)[0] for v, x in zip(values, leaves, strict=True)))
    assert worst_gradient_error(lambda x: normal_consistency(x, faces, adjacency), [vertices]) < 1e-6


def test_a_crease_costs_hardly_more_than_its_limit_and_a_slight_bend_what_it_did():
    slight, sharp = (float(normal_consistency(*tent(angle), crease=0.02)) for angle in (0.02, 2.0))
    assert slight == pytest.approx(1 - np.cos(0.02), rel=0.02)
    assert 0.019 < sharp < 0.02


def test_the_gradient_with_a_crease_equals_the_slow_twin():
    vertices, faces, adjacency = tensors(bumpy_sphere(4))
    leaves = [vertices.clone().requires_grad_() for _ in range(2)]
    value = normal_consistency(leaves[0], faces, adjacency, crease=0.05)
    a, b, c = (leaves[1][faces[:, k].long()] for k in range(3))
    normals = F.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    pairs = torch.tensor([(t, int(u)) for t in range(len(faces)) for u in adjacency[t] if u > t])
    bends = 1 - (normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(dim=1)
    slow = saturated(bends, 0.05).mean()
    torch.testing.assert_close(value, slow)
    torch.testing.assert_close(
        *(torch.autograd.grad(v, x)[0] for v, x in zip((value, slow), leaves, strict=True))
    )


def test_normal_consistency_scales_with_nothing_but_shape():
    vertices, faces, adjacency = tensors(bumpy_sphere(5))
    value = float(normal_consistency(vertices, faces, adjacency))
    assert float(normal_consistency(1e-3 * vertices + 7, faces, adjacency)) == pytest.approx(value, rel=1e-6)


def test_normal_consistency_survives_a_face_without_area():
    vertices, faces, adjacency = tent(0.5)
    vertices[3] = vertices[0]
    vertices.requires_grad_()
    value = normal_consistency(vertices, faces, adjacency)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(vertices.grad).all()


def test_normal_consistency_of_nothing_is_zero():
    vertices = torch.zeros(3, 3, requires_grad=True)
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    for some in (faces, faces[:0]):
        value = normal_consistency(vertices, some, torch.full(some.shape, -1, dtype=torch.int32))
        value.backward()
        assert value.detach() == 0


def test_sign_change_is_the_cross_entropy_of_either_end_against_the_others_sign():
    values = torch.tensor([[-0.5, 2.0], [1.0, -3.0], [-0.1, 0.2]], dtype=torch.float64)

    def entropy(logit, positive):
        chance = 1 / (1 + np.exp(-logit))
        return -np.log(chance if positive else 1 - chance)

    expected = np.mean([entropy(a, b > 0) + entropy(b, a > 0) for a, b in values.tolist()])
    assert float(sign_change(values)) == pytest.approx(expected)
    assert worst_gradient_error(sign_change, [values]) < 1e-6


def test_descent_on_sign_change_makes_both_ends_agree():
    values = torch.tensor([[-0.2, 1.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(sign_change(values), values)
    assert gradient[0, 0] < 0 < gradient[0, 1]


def test_sign_change_of_no_edges_is_zero():
    assert float(sign_change(torch.zeros(0, 2))) == 0


def laplacian_of(faces, count):
    """Dense uniform graph Laplacian."""
    joined = np.zeros((count, count))
    for a, b, c in faces.tolist():
        for i, j in ((a, b), (b, c), (c, a)):
            joined[i, j] = joined[j, i] = 1
    return np.diag(joined.sum(axis=1)) - joined


@pytest.mark.parametrize("smoothness", [0.0, 1.0, 30.0])
def test_smoother_solves_the_system_of_the_paper(smoothness):
    vertices, faces = bumpy_sphere(3)
    smoother = LaplacianSmoother(faces, len(vertices), smoothness)
    system = np.eye(len(vertices)) + smoothness * laplacian_of(faces, len(vertices))
    np.testing.assert_allclose(smoother.apply(vertices), np.linalg.solve(system, vertices), atol=1e-12)


def test_smoother_keeps_a_shift_and_damps_noise():
    vertices, faces = sphere(8)
    smoother = LaplacianSmoother(faces, len(vertices), 20.0)
    np.testing.assert_allclose(smoother.apply(np.ones((len(vertices), 2))), 1.0)
    noise = np.random.default_rng(0).standard_normal(vertices.shape)
    assert smoother.apply(noise).std() < 0.15 * noise.std()


def test_smoother_counts_a_shared_edge_once_and_leaves_unused_vertices():
    faces = np.array([[0, 1, 2], [2, 1, 3]], np.int32)
    smoother = LaplacianSmoother(faces, 5, 2.0)
    values = np.random.default_rng(1).standard_normal((5, 3))
    system = np.eye(5) + 2.0 * laplacian_of(faces, 5)
    np.testing.assert_allclose(smoother.apply(values), np.linalg.solve(system, values))
    np.testing.assert_allclose(smoother.apply(values)[4], values[4])
