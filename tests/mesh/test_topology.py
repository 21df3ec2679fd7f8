from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.samples import ball, blob, cube, edge_uses, is_closed_manifold, joined, soup, torus, without
from objectscan.mesh.topology import (
    connected_components,
    corner_fans,
    drop_double_faces,
    drop_floaters,
    edge_table,
    face_areas,
    split_non_manifold,
    topology_facts,
    weld_by_position,
)
from objectscan.types import Mesh

SOUPS = st.builds(
    lambda seed, faces, steps: Mesh(
        np.random.default_rng(seed).integers(-steps, steps + 1, (3 * faces, 3)).astype(np.float32),
        np.arange(3 * faces, dtype=np.int32).reshape(-1, 3),
    ),
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.integers(1, 4),
)
"""Triangles between grid points: many coincide, fold, cross and degenerate."""

BLOCKS = st.sets(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=14)


def shell_of_blocks(cells: set[tuple[int, int, int]]) -> Mesh:
    """Unit cubes with the walls between them removed: touching edges and corners remain."""
    return drop_double_faces(weld_by_position(joined(*(cube(cell) for cell in sorted(cells)))))


def test_a_soup_of_triangles_becomes_the_closed_ball_it_was() -> None:
    welded = weld_by_position(soup(ball()))
    assert len(welded.vertices) == len(ball().vertices)
    assert is_closed_manifold(welded.faces)


@given(SOUPS)
@settings(deadline=None, max_examples=60)
def test_welding_twice_changes_nothing_and_keeps_every_triangle_with_three_corners(mesh: Mesh) -> None:
    once = weld_by_position(mesh)
    twice = weld_by_position(once)
    assert np.array_equal(once.vertices, twice.vertices) and np.array_equal(once.faces, twice.faces)
    wanted = [t for t in mesh.vertices[mesh.faces].tolist() if len({tuple(corner) for corner in t}) == 3]
    assert once.vertices[once.faces].tolist() == wanted
    assert len({tuple(v) for v in once.vertices.tolist()}) == len(once.vertices)


def test_negative_zero_is_the_same_place_as_zero() -> None:
    vertices = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (-0.0, 0, 0), (0, 1, -0.0), (0, 0, 1)], np.float32)
    welded = weld_by_position(Mesh(vertices, np.array([(0, 1, 2), (3, 4, 5)], np.int32)))
    assert len(welded.vertices) == 4


@given(SOUPS)
@settings(deadline=None, max_examples=60)
def test_edges_and_their_uses_match_a_count_one_by_one(mesh: Mesh) -> None:
    faces = weld_by_position(mesh).faces
    edges, edge_of = edge_table(faces)
    uses = np.bincount(edge_of, minlength=len(edges))
    assert dict(zip(map(tuple, edges.tolist()), uses.tolist(), strict=True)) == edge_uses(faces)


@given(SOUPS)
@settings(deadline=None, max_examples=60)
def test_components_match_a_flood_fill(mesh: Mesh) -> None:
    mesh = weld_by_position(mesh)
    labels = connected_components(mesh)
    for seed in range(len(mesh.faces)):
        reached, front = {seed}, [seed]
        while front:
            touching = np.isin(mesh.faces, mesh.faces[front.pop()]).any(axis=1)
            new = set(np.flatnonzero(touching).tolist()) - reached
            reached |= new
            front += list(new)
        assert reached == set(np.flatnonzero(labels == labels[seed]).tolist())


def test_small_pieces_and_cavities_go_and_a_second_large_piece_stays() -> None:
    moved = Mesh(ball().vertices + np.float32(5), ball().faces)
    speck = Mesh(ball(1, 0.05).vertices + np.float32(2), ball(1).faces)
    cavity = Mesh(ball(2, 0.8).vertices, ball(2).faces[:, ::-1])
    kept = drop_floaters(joined(ball(), moved, speck, cavity))
    assert len(kept.faces) == 2 * len(ball().faces)
    assert len(kept.vertices) == 2 * len(ball().vertices)


def test_an_open_piece_is_no_cavity_whatever_its_orientation() -> None:
    turned = without(ball(), [0, 1])
    turned = Mesh(turned.vertices + np.float32(5), turned.faces[:, ::-1])
    assert len(drop_floaters(joined(ball(), turned)).faces) == len(ball().faces) + len(turned.faces)


def test_faces_back_to_back_vanish_and_repeated_ones_stay_once() -> None:
    mesh = ball(1)
    extra = np.concatenate([mesh.faces, mesh.faces[:3], np.array([(0, 1, 40), (40, 1, 0)], np.int32)])
    vertices = (
        np.concatenate([mesh.vertices, np.zeros((1, 3), np.float32)])
        if len(mesh.vertices) <= 40
        else mesh.vertices
    )
    cleaned = drop_double_faces(Mesh(vertices, extra))
    assert len(cleaned.faces) == len(mesh.faces)
    assert is_closed_manifold(cleaned.faces)


def test_facts_of_a_torus_with_a_hole_and_without() -> None:
    whole = topology_facts(torus())
    assert whole.is_watertight and whole.is_winding_consistent and whole.genus == 1
    assert whole.components == 1 and whole.boundary_loops == 0
    assert whole.volume == pytest.approx(2 * np.pi**2 * 0.4**2, rel=0.06)
    pierced = topology_facts(without(torus(), [0, 1, 300]))
    assert not pierced.is_watertight and pierced.genus is None
    assert pierced.boundary_edges == 7 and pierced.boundary_loops == 2
    assert topology_facts(blob(3000)).genus == 1


def test_one_turned_face_makes_the_winding_inconsistent() -> None:
    faces = ball().faces.copy()
    faces[7] = faces[7, ::-1]
    assert not topology_facts(Mesh(ball().vertices, faces)).is_winding_consistent


def test_two_cubes_on_one_edge_come_apart_and_each_is_closed() -> None:
    pair = weld_by_position(joined(cube(), cube((1, 1, 0))))
    assert topology_facts(pair).non_manifold_edges == 1
    split = split_non_manifold(pair)
    assert is_closed_manifold(split.faces)
    assert topology_facts(split).components == 2
    assert np.array_equal(split.vertices[split.faces], pair.vertices[pair.faces])


def test_two_cubes_on_one_corner_come_apart() -> None:
    pair = weld_by_position(joined(cube(), cube((1, 1, 1))))
    assert topology_facts(pair).non_manifold_vertices == 1
    assert topology_facts(split_non_manifold(pair)).non_manifold_vertices == 0


@pytest.mark.parametrize("reach", [1.5, 0.6], ids=["outside", "inside"])
def test_a_fin_gets_an_open_border_and_the_body_stays_closed(reach: float) -> None:
    body = ball(2)
    a, b, _ = body.faces[0]
    tip = (np.float32(reach) * body.vertices[a])[None]
    faces = np.concatenate([body.faces, [(a, b, len(body.vertices))]]).astype(np.int32)
    split = split_non_manifold(Mesh(np.concatenate([body.vertices, tip]), faces))
    labels = connected_components(split)
    assert sorted(np.bincount(labels).tolist()) == [1, len(body.faces)]
    assert is_closed_manifold(split.faces[labels == np.bincount(labels).argmax()])


@given(BLOCKS)
@settings(deadline=None, max_examples=60)
def test_any_pile_of_blocks_splits_into_closed_manifolds_that_keep_every_triangle(
    cells: set[tuple[int, int, int]],
) -> None:
    shell = shell_of_blocks(cells)
    assert all(count % 2 == 0 for count in edge_uses(shell.faces).values())
    split = split_non_manifold(shell)
    assert is_closed_manifold(split.faces)
    facts = topology_facts(split)
    assert facts.non_manifold_vertices == 0 and facts.is_winding_consistent
    assert np.array_equal(split.vertices[split.faces], shell.vertices[shell.faces])
    assert facts.volume == pytest.approx(len(cells), rel=1e-5)


def test_the_corners_of_a_cube_have_three_fans_under_a_crease_and_one_without() -> None:
    box = weld_by_position(cube())
    assert len(np.unique(corner_fans(box))) == 8
    assert len(np.unique(corner_fans(box, largest_bend_rad=1.0))) == 24


def test_areas_add_up_to_the_cube() -> None:
    assert face_areas(cube()).sum() == pytest.approx(6.0)
