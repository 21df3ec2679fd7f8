import hashlib
from itertools import permutations, product

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
from objectscan.engines.cube_cases import EDGES, CubeCases, cube_cases
from objectscan.engines.nvdiffrec import flexicubes
from objectscan.errors import EmptyForeground


def surface_of(field, weights=None):
    """(vertices, faces, topology) in index coordinates, float64."""
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    points, values = inputs_of(field, topology)
    vertices = flexicubes.place_vertices(points, values, weights, topology)
    return vertices.numpy(), flexicubes.triangles(topology, vertices).numpy(), topology


def inputs_of(field, topology):
    points = torch.from_numpy(points_of(field.shape)[topology.points.numpy()])
    return points, torch.from_numpy(field.ravel()[topology.points.numpy()].astype(np.float64))


def random_weights(topology, seed):
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(len(topology.cubes), flexicubes.WEIGHTS, generator=generator, dtype=torch.float64)
    return 1 + 0.99 * torch.tanh(raw)


def placed_slowly(points, field, weights, topology):
    """Twin of `place_vertices`: formula 4.2 of the paper, one dual vertex at a time."""
    vertices = []
    for d in range(len(topology.cube)):
        row, total, weight = weights[topology.cube[d]], 0.0, 0.0
        for e in range(topology.start[d], topology.start[d + 1]):
            a, b, edge = topology.first[e], topology.second[e], topology.edge[e]
            sa, sb = field[a] * row[EDGES[edge, 0]], field[b] * row[EDGES[edge, 1]]
            crossing = (points[a] * sb - points[b] * sa) / (sb - sa)
            total, weight = total + row[8 + edge] * crossing, weight + row[8 + edge]
        vertices.append(total / weight)
    return torch.stack(vertices)


def groups_of(tables, case):
    return {
        frozenset(np.flatnonzero(tables.group_of_edge[case] == group).tolist())
        for group in range(tables.groups[case])
    }


def moved(corner, axes, flips):
    """Corner number after a symmetry of the cube: axes permuted, some mirrored."""
    bits = [(corner >> axes[k] & 1) ^ flips[k] for k in range(3)]
    return bits[0] | bits[1] << 1 | bits[2] << 2


# ---- case tables


def test_case_tables_are_the_published_ones():
    tables = cube_cases()
    listed = [sorted(sorted(group) for group in groups_of(tables, case)) for case in range(256)]
    digest = hashlib.sha256("".join(map(str, listed)).encode()).hexdigest()
    assert digest.startswith("208bcc857d531cad")
    assert (tables.ambiguous_face >= 0).sum() == 36


def test_groups_hold_each_crossed_edge_once_and_only_those():
    tables = cube_cases()
    for case in range(256):
        crossed = {k for k, (a, b) in enumerate(EDGES) if (case >> a & 1) != (case >> b & 1)}
        assert sorted(k for group in groups_of(tables, case) for k in group) == sorted(crossed)
        assert all(len(group) >= 3 for group in groups_of(tables, case))


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_case_tables_have_the_symmetry_of_the_cube(axes):
    tables = cube_cases()
    number = {frozenset(edge): k for k, edge in enumerate(EDGES.tolist())}
    for flips in product((0, 1), repeat=3):
        corner = [moved(k, axes, flips) for k in range(8)]
        edge = [number[frozenset((corner[a], corner[b]))] for a, b in EDGES.tolist()]
        for case in range(256):
            image = sum(1 << corner[k] for k in range(8) if case >> k & 1)
            expected = {frozenset(edge[k] for k in group) for group in groups_of(tables, case)}
            assert groups_of(tables, image) == expected


def test_ambiguous_face_is_the_one_with_four_crossings():
    tables = cube_cases()
    for case in np.flatnonzero(tables.ambiguous_face >= 0):
        axis, side = divmod(int(tables.ambiguous_face[case]), 2)
        corners = [k for k in range(8) if (k >> axis & 1) == side]
        assert sorted(int(case) >> k & 1 for k in corners) == [0, 0, 1, 1]
        diagonal = [k for k in corners if int(case) >> k & 1]
        assert bin(diagonal[0] ^ diagonal[1]).count("1") == 2


# ---- topology


@pytest.mark.parametrize("smoothness", [0.0, 0.7, 1.5, 3.0])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(*[st.integers(4, 13)] * 3))
def test_surface_of_a_random_field_is_a_closed_oriented_manifold(smoothness, seed, shape):
    field = random_field(shape, smoothness, seed)
    if not (field < 0).any():
        return
    vertices, faces, _ = surface_of(field)
    assert (faces_an_edge(faces) == 2).all()
    assert is_consistently_wound(faces)
    assert (fans_a_vertex(faces) == 1).all()
    assert len(np.unique(faces)) == len(vertices)


def test_without_the_ambiguity_rule_random_signs_are_not_manifold(monkeypatch):
    tables = cube_cases()
    careless = CubeCases(tables.groups, tables.group_of_edge, np.full(256, -1, np.int8))
    monkeypatch.setattr(flexicubes, "cube_cases", lambda: careless)
    _, faces, _ = surface_of(random_field((14, 14, 14), 0.0, 1))
    assert (faces_an_edge(faces) == 4).any()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_surface_separates_inside_points_from_outside_points(seed):
    field = random_field((9, 8, 10), 1.0, seed)
    if not (field < 0).any():
        return
    vertices, faces, _ = surface_of(field)
    index = np.random.default_rng(seed).integers(0, field.size, 40)
    points = points_of(field.shape)[index]
    # Generalised winding number (van Oosterom and Strackee 1983): 1 inside, 0 outside.
    a, b, c = (vertices[faces[:, k]][None] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    triple = np.einsum("pfd,pfd->pf", a, np.cross(b, c))
    dots = [np.einsum("pfd,pfd->pf", *pair) for pair in ((a, b), (b, c), (c, a))]
    winding = np.arctan2(triple, la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb).sum(axis=1) / (
        2 * np.pi
    )
    np.testing.assert_allclose(winding, field.ravel()[index] < 0, atol=1e-6)


def test_faces_of_a_sphere_look_outward():
    vertices, faces, _ = surface_of(sphere_field((20, 22, 24), 7.3))
    assert volume(vertices, faces) == pytest.approx(4 / 3 * np.pi * 7.3**3, rel=0.03)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    centre = (np.array([20, 22, 24]) - 1) / 2 + 0.13
    assert (np.einsum("fd,fd->f", np.cross(b - a, c - a), a - centre) > 0).all()


def test_every_crossed_edge_has_one_quad_between_its_four_cubes():
    field = random_field((9, 10, 11), 0.6, 4)
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    inside = field < 0
    crossed = sum(int((np.diff(inside.astype(np.int8), axis=axis) != 0).sum()) for axis in range(3))
    assert len(topology.quads) == crossed
    cubes = topology.cubes[topology.cube[topology.quads.long()].long()].numpy()
    places = np.stack(np.unravel_index(cubes, tuple(n - 1 for n in field.shape)), axis=-1)
    assert (np.ptp(places, axis=1).sum(axis=1) == 2).all()


def test_points_and_cubes_are_exactly_those_at_the_surface():
    field = random_field((8, 9, 10), 0.8, 5)
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    inside = field < 0
    ends = np.zeros(field.shape, bool)
    for axis in range(3):
        changes = np.diff(inside.astype(np.int8), axis=axis) != 0
        np.moveaxis(ends, axis, 0)[:-1] |= np.moveaxis(changes, axis, 0)
        np.moveaxis(ends, axis, 0)[1:] |= np.moveaxis(changes, axis, 0)
    corners = np.stack([inside[i : i + 7, j : j + 8, k : k + 9] for i, j, k in product((0, 1), repeat=3)])
    active = corners.any(axis=0) & ~corners.all(axis=0)
    assert sorted(topology.points) == np.flatnonzero(ends).tolist()
    assert sorted(topology.cubes) == np.flatnonzero(active).tolist()


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_a_field_without_sign_change_is_refused(value):
    with pytest.raises(EmptyForeground, match="vanished"):
        flexicubes.extract_topology(torch.from_numpy(np.full((5, 5, 5), value, np.float32)))


# ---- placement


def test_vertices_lie_in_their_cubes_whatever_the_weights():
    field = random_field((9, 9, 9), 0.7, 2)
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    vertices, _, _ = surface_of(field, random_weights(topology, 3))
    low = np.stack(np.unravel_index(topology.cubes[topology.cube.long()].numpy(), (8, 8, 8)), axis=1)
    assert (vertices >= low - 1e-9).all()
    assert (vertices <= low + 1 + 1e-9).all()


def test_vertices_of_a_sphere_are_near_it():
    field = sphere_field((24, 24, 24), 9.0)
    vertices, _, _ = surface_of(field)
    radii = np.linalg.norm(vertices - 11.5 - 0.13, axis=1)
    assert abs(radii - 9).max() < 0.06


def test_placement_equals_its_slow_twin():
    field = random_field((7, 8, 6), 0.6, 7)
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    points, values = inputs_of(field, topology)
    weights = random_weights(topology, 8)
    fast = flexicubes.place_vertices(points, values, weights, topology)
    torch.testing.assert_close(fast, placed_slowly(points, values, weights, topology))


def test_no_weights_are_weights_of_one():
    field = random_field((7, 7, 7), 0.8, 9)
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    points, values = inputs_of(field, topology)
    ones = torch.ones(len(topology.cubes), flexicubes.WEIGHTS, dtype=torch.float64)
    plain = flexicubes.place_vertices(points, values, None, topology)
    torch.testing.assert_close(plain, flexicubes.place_vertices(points, values, ones, topology))


def test_gradients_of_placement_equal_those_of_the_slow_twin_and_differences():
    field = random_field((6, 7, 6), 0.6, 11)
    field += np.sign(field) * 0.2
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    inputs = (*inputs_of(field, topology), random_weights(topology, 12))
    upstream = torch.randn(
        len(topology.cube), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )

    def loss(place):
        return lambda *values: (place(*values, topology) * upstream).sum()

    assert worst_gradient_error(loss(flexicubes.place_vertices), inputs) < 1e-5
    leaves = [value.clone().requires_grad_() for value in inputs]
    fast = torch.autograd.grad(loss(flexicubes.place_vertices)(*leaves), leaves)
    slow = torch.autograd.grad(loss(placed_slowly)(*leaves), leaves)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other)


def test_placement_keeps_float32_and_the_gradient_of_each_active_cube_only():
    field = random_field((7, 7, 7), 0.8, 13)
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    points, values = (tensor.float() for tensor in inputs_of(field, topology))
    weights = torch.ones(len(topology.cubes), flexicubes.WEIGHTS, requires_grad=True)
    vertices = flexicubes.place_vertices(points, values, weights, topology)
    assert vertices.dtype == torch.float32
    (vertices**2).sum().backward()
    assert weights.grad.shape == (len(topology.cubes), flexicubes.WEIGHTS)
    assert (weights.grad.abs().sum(dim=1) > 0).float().mean() > 0.9


@pytest.mark.parametrize("tiny", [1e-25, 1e-38])
def test_fields_next_to_zero_give_finite_vertices(tiny):
    field = np.where(sphere_field((8, 8, 8), 2.6) < 0, -tiny, tiny).astype(np.float32)
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    points, values = (tensor.float().requires_grad_() for tensor in inputs_of(field, topology))
    vertices = flexicubes.place_vertices(points, values, None, topology)
    vertices.sum().backward()
    assert torch.isfinite(vertices).all()
    assert torch.isfinite(points.grad).all()


def test_quads_are_split_along_their_shorter_diagonal():
    vertices, faces, topology = surface_of(random_field((9, 9, 9), 0.9, 14))
    diagonals = np.linalg.norm(vertices[topology.quads[:, :2]] - vertices[topology.quads[:, 2:]], axis=2)
    for quad, pair, (across, along) in zip(topology.quads, faces.reshape(-1, 2, 3), diagonals, strict=True):
        shared = set(pair[0].tolist()) & set(pair[1].tolist())
        assert shared == set((quad[[0, 2]] if across <= along else quad[[1, 3]]).tolist())


# ---- deviation


def deviation_slowly(points, field, vertices, topology):
    """Twin of `deviation`."""
    values = []
    for d in range(len(topology.cube)):
        ends = slice(topology.start[d], topology.start[d + 1])
        a, b = topology.first[ends], topology.second[ends]
        t = (field[a] / (field[a] - field[b]))[:, None]
        distances = (points[a] * (1 - t) + points[b] * t - vertices[d]).norm(dim=1)
        values.append((distances - distances.mean()).abs().mean())
    return torch.stack(values).mean()


def test_deviation_and_its_gradients_equal_those_of_its_slow_twin():
    field = random_field((6, 6, 7), 0.6, 15)
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    points, values = inputs_of(field, topology)
    vertices = flexicubes.place_vertices(points, values, random_weights(topology, 16), topology)
    leaves = [value.clone().requires_grad_() for value in (points, values, vertices)]
    results = [twin(*leaves, topology) for twin in (flexicubes.deviation, deviation_slowly)]
    torch.testing.assert_close(*results)
    for one, other in zip(*(torch.autograd.grad(result, leaves) for result in results), strict=True):
        torch.testing.assert_close(one, other)


def test_deviation_is_zero_where_vertices_are_as_far_from_all_their_crossings():
    field = np.ones((3, 3, 3), np.float32)
    field[1, 1, 1] = -1.0
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    points, values = inputs_of(field, topology)
    vertices = flexicubes.place_vertices(points, values, None, topology)
    assert float(flexicubes.deviation(points, values, vertices, topology)) == pytest.approx(0, abs=1e-12)
    vertices[0, 0] += 0.1
    assert float(flexicubes.deviation(points, values, vertices, topology)) > 0.02 / 8
