"""A mesh becomes a signed distance."""

import numpy as np
import pytest
from tests.engines.nvdiffrec.captures import ball

from helpers.shapes import sphere
from objectscan.engines.nvdiffrec.mesh_field import mesh_field
from objectscan.types import Mesh

_BOX = np.array([[-1.1, -1.1, -1.1], [1.1, 1.1, 1.1]])


def _points(field):
    index = np.indices(field.values.shape).reshape(3, -1).T
    return (field.origin + field.spacing * index).reshape(*field.values.shape, 3)


@pytest.mark.parametrize("spacing", [0.1, 0.031])
def test_a_spheres_field_is_its_distance_up_to_two_cells(spacing):
    vertices, faces = sphere(24)
    field = mesh_field(Mesh(vertices.astype(np.float32), faces), _BOX, spacing)
    exact = np.linalg.norm(_points(field), axis=-1) - 1.0
    near = np.abs(exact) < 2 * spacing
    assert np.abs(field.values - exact)[near].max() < 0.003
    assert (np.sign(field.values) == np.sign(exact))[np.abs(exact) > 0.003].all()


def test_a_hole_and_a_missing_cap_are_closed_and_stay_inside():
    vertices, faces = sphere(24)
    middle = vertices[faces].mean(axis=1)
    kept = faces[(middle[:, 0] < 0.8) & (np.linalg.norm(middle - [0, 0, 1], axis=1) > 0.1)]
    field = mesh_field(Mesh(vertices.astype(np.float32), kept), _BOX, 0.1)
    points = _points(field)
    inside = (np.linalg.norm(points, axis=-1) < 0.9) & (points[..., 0] < 0.7)
    assert (field.values[inside] < 0).all()
    assert (field.values[points[..., 0] > 0.9] > 0).all()


def test_vertices_on_grid_points_turn_no_row_inside_out():
    vertices, faces = ball(rings=24)
    cube = np.sign(vertices) * np.minimum(np.abs(vertices) * 4, 1.0)
    field = mesh_field(Mesh(cube.astype(np.float32), faces), np.array([[-1.0] * 3, [1.0] * 3]), 0.25)
    points = _points(field)
    largest = np.abs(points).max(axis=-1)
    assert (field.values[largest < 0.55] < 0).all()
    assert (field.values[largest > 1.1] > 0).all()


def test_two_bodies_that_overlap_are_one():
    vertices, faces = sphere(12)
    shift = np.array([0.3, 0, 0])
    both = np.concatenate([vertices - shift, vertices + shift]).astype(np.float32)
    twice = np.concatenate([faces, faces + len(vertices)]).astype(np.int32)
    field = mesh_field(Mesh(both, twice), np.array([[-1.4, -1.1, -1.1], [1.4, 1.1, 1.1]]), 0.1)
    assert (field.values[np.linalg.norm(_points(field), axis=-1) < 0.5] < 0).all()
