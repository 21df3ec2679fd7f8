import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.gradients import worst_gradient_error
from helpers.surfaces import (
    faces_an_edge,
    fans_a_vertex,
    is_consistently_wound,
    points_of,
    random_field,
    sphere_field,
    volume,
)
from objectscan.engines.nvdiffrec import dmtet
from objectscan.errors import EmptyForeground


def surface_of(field):
    """(vertices, faces, topology) in index coordinates, float64."""
    topology = dmtet.extract_topology(field)
    return dmtet.place_vertices(*inputs_of(field, topology), topology).numpy(), topology.faces, topology


def inputs_of(field, topology):
    points = torch.from_numpy(points_of(field.shape)[topology.points])
    return points, torch.from_numpy(field.ravel()[topology.points].astype(np.float64))


@pytest.mark.parametrize("smoothness", [0.0, 0.7, 2.0])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(*[st.integers(4, 11)] * 3))
def test_surface_of_a_random_field_is_a_closed_oriented_manifold(smoothness, seed, shape):
    field = random_field(shape, smoothness, seed)
    if not (field < 0).any():
        return
    vertices, faces, _ = surface_of(field)
    assert (faces_an_edge(faces) == 2).all()
    assert is_consistently_wound(faces)
    assert (fans_a_vertex(faces) == 1).all()
    assert len(np.unique(faces)) == len(vertices)


def test_volume_of_a_piecewise_linear_field_is_that_of_its_tetrahedra():
    # A linear field is reproduced exactly, so a box cut by a plane has an exact volume.
    shape = (8, 9, 10)
    points = points_of(shape)
    plane = points @ np.array([0.3, -0.5, 0.81]) - 2.37
    box = np.abs(points - [3.5, 4, 4.5]).max(axis=1) - 2.6
    vertices, faces, _ = surface_of(np.maximum(plane, box).reshape(shape).astype(np.float32))
    normal = np.array([0.3, -0.5, 0.81])
    flat = np.abs(vertices @ normal - 2.37) < 1e-6
    assert flat.sum() > 20
    a, b, c = (vertices[faces[flat[faces].all(axis=1)][:, k]] for k in range(3))
    directions = np.cross(b - a, c - a)
    directions = directions[np.linalg.norm(directions, axis=1) > 1e-6]
    np.testing.assert_allclose(
        directions / np.linalg.norm(directions, axis=1, keepdims=True),
        np.broadcast_to(normal / np.linalg.norm(normal), directions.shape),
        atol=1e-4,
    )


def test_faces_of_a_sphere_look_outward_and_hold_its_volume():
    vertices, faces, _ = surface_of(sphere_field((20, 22, 24), 7.3))
    assert volume(vertices, faces) == pytest.approx(4 / 3 * np.pi * 7.3**3, rel=0.02)
    centre = (np.array([20, 22, 24]) - 1) / 2 + 0.13
    np.testing.assert_allclose(np.linalg.norm(vertices - centre, axis=1), 7.3, atol=0.08)


def test_each_vertex_lies_where_the_field_is_zero_on_its_edge():
    field = random_field((7, 8, 9), 0.8, 3)
    vertices, _, topology = surface_of(field)
    points, values = (tensor.numpy() for tensor in inputs_of(field, topology))
    a, b = topology.first, topology.second
    assert ((values[a] < 0) != (values[b] < 0)).all()
    share = np.linalg.norm(vertices - points[a], axis=1) / np.linalg.norm(points[b] - points[a], axis=1)
    np.testing.assert_allclose(values[a] * (1 - share) + values[b] * share, 0, atol=1e-12)


def test_edges_are_unique_and_span_the_seven_directions_of_a_cube():
    field = random_field((8, 8, 8), 0.5, 4)
    topology = dmtet.extract_topology(field)
    grid = points_of(field.shape)[topology.points]
    steps = grid[topology.second] - grid[topology.first]
    assert set(map(tuple, steps.astype(int).tolist())) == {
        (i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1) if i + j + k
    }
    pairs = np.stack([topology.first, topology.second], axis=1)
    assert len(np.unique(pairs, axis=0)) == len(pairs)


def test_gradients_of_placement_equal_central_differences():
    field = random_field((6, 6, 7), 0.6, 5)
    field += np.sign(field) * 0.2
    topology = dmtet.extract_topology(field)
    upstream = torch.randn(
        len(topology.first), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )

    def loss(points, values):
        return (dmtet.place_vertices(points, values, topology) * upstream).sum()

    assert worst_gradient_error(loss, inputs_of(field, topology)) < 1e-5


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_a_field_without_sign_change_is_refused(value):
    with pytest.raises(EmptyForeground, match="vanished"):
        dmtet.extract_topology(np.full((5, 5, 5), value, np.float32))
