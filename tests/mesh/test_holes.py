from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.samples import as_mesh, ball, is_closed_manifold, torus, without
from objectscan.mesh import holes
from objectscan.mesh.holes import close_holes
from objectscan.mesh.topology import face_areas, topology_facts
from objectscan.types import Mesh


def triangulations(corners: list[int]) -> Iterator[list[tuple[int, int, int]]]:
    """All ways to cut a polygon into triangles, by recursion."""
    if len(corners) < 3:
        yield []
        return
    first, last = corners[0], corners[-1]
    for k in range(1, len(corners) - 1):
        for left in triangulations(corners[: k + 1]):
            for right in triangulations(corners[k:]):
                yield [*left, (first, corners[k], last), *right]


def area_of(points: np.ndarray, faces: np.ndarray) -> float:
    return float(face_areas(Mesh(points.astype(np.float32), np.asarray(faces, np.int32))).sum())


def test_a_pierced_torus_is_closed_and_the_new_faces_are_named() -> None:
    torn = without(torus(), [0, 1, 2, 100, 101, 300, 301, 302, 303])
    closed, invented = close_holes(torn)
    facts = topology_facts(closed)
    assert facts.is_watertight and facts.is_winding_consistent and facts.genus == 1
    assert invented.tolist() == list(range(len(torn.faces), len(closed.faces)))
    assert np.array_equal(closed.faces[: len(torn.faces)], torn.faces)
    assert np.array_equal(closed.vertices[: len(torn.vertices)], torn.vertices)


def test_a_cut_off_cap_is_closed_with_the_area_of_the_disc() -> None:
    mesh = ball(4)
    low = np.flatnonzero(mesh.vertices[mesh.faces].mean(axis=1)[:, 2] < -0.8)
    closed, invented = close_holes(without(mesh, low))
    assert topology_facts(closed).is_watertight
    assert face_areas(closed)[invented].sum() == pytest.approx(np.pi * (1 - 0.8**2), rel=0.08)


@given(st.integers(0, 1000), st.integers(3, 8))
@settings(deadline=None, max_examples=30)
def test_the_filling_has_the_least_area_of_all_triangulations(seed: int, count: int) -> None:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    got = holes._filling(points, np.zeros(0, np.int64))
    assert got is not None
    least = min(area_of(points, way) for way in triangulations(list(range(count))))
    assert area_of(points, got) == pytest.approx(least, rel=1e-5)


def test_a_filling_never_reuses_an_edge_of_the_surface() -> None:
    """A square hole whose shorter diagonal is an edge elsewhere must be cut along the other one."""
    points = np.array([(0, 0, 0), (1, 0.1, 0), (1.6, 1.6, 0), (0.1, 1, 0)], float)
    free = holes._filling(points, np.zeros(0, np.int64))
    chord = np.array([1 * 4 + 3])
    other = holes._filling(points, chord)
    assert free is not None and other is not None
    assert {1, 3} <= set(free[0].tolist()) and any({0, 2} <= set(t) for t in other.tolist())
    assert holes._filling(points, np.array([0 * 4 + 2, 1 * 4 + 3])) is None


def test_where_every_chord_is_taken_a_vertex_in_the_middle_closes_the_hole() -> None:
    """Four corners, all joined by two crossing ridges over the hole: the tetrahedron-like worst case."""
    vertices = np.array(
        [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 0.5, 1), (0.5, 0.5, -1)], np.float32
    )
    faces = np.array(
        [(0, 2, 4), (2, 0, 5), (1, 3, 5), (3, 1, 4), (0, 1, 4), (1, 0, 5), (2, 3, 4), (3, 2, 5)], np.int32
    )
    closed, _ = close_holes(Mesh(vertices, faces))
    counts = np.unique(
        np.sort(closed.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0, return_counts=True
    )[1]
    assert counts.max() == 2


def test_a_long_chain_is_closed_by_cutting_ears() -> None:
    import trimesh

    pipe = as_mesh(trimesh.creation.annulus(0.9, 1.0, 1.0, sections=700))
    open_end = without(pipe, np.flatnonzero((pipe.vertices[pipe.faces][:, :, 2] > 0.49).all(axis=1)))
    assert topology_facts(open_end).boundary_edges > 2 * holes._EXACT_CORNERS
    closed, _ = close_holes(open_end)
    assert is_closed_manifold(closed.faces)


def test_two_holes_that_touch_in_a_point_are_both_closed() -> None:
    mesh = ball(2)
    centre = mesh.faces[0, 0]
    around = np.flatnonzero((mesh.faces == centre).any(axis=1))
    ring = [around[0], around[len(around) // 2]]
    shared = set(mesh.faces[ring[0]].tolist()) & set(mesh.faces[ring[1]].tolist())
    assert len(shared) == 1
    assert topology_facts(close_holes(without(mesh, ring))[0]).is_watertight


def test_large_holes_stay_open_if_only_small_ones_are_asked_for() -> None:
    mesh = ball(3)
    low = np.flatnonzero(mesh.vertices[mesh.faces].mean(axis=1)[:, 2] < -0.5)
    torn = without(mesh, [*low.tolist(), int(mesh.vertices[mesh.faces].mean(axis=1)[:, 2].argmax())])
    closed, invented = close_holes(torn, most_corners=10)
    assert len(invented) == 1
    assert topology_facts(closed).boundary_loops == 1


def test_a_closed_surface_comes_back_as_it_is() -> None:
    closed, invented = close_holes(ball())
    assert np.array_equal(closed.faces, ball().faces) and not len(invented)
