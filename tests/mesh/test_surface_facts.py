from __future__ import annotations

import numpy as np
import pytest
import trimesh

from objectscan.mesh.surface_facts import boundary_loops, surface_facts
from objectscan.mesh.topology import face_areas
from objectscan.types import Environment, Material, Mesh, Reconstruction, UvMap


def result(vertices: np.ndarray, faces: np.ndarray, invented: tuple[int, ...] = ()) -> Reconstruction:
    blank = np.zeros((4, 4, 3), np.float32)
    return Reconstruction(
        Mesh(np.asarray(vertices, np.float32), np.asarray(faces, np.int32)),
        UvMap(np.zeros((3, 2), np.float32), np.zeros((len(faces), 3), np.int32)),
        Material(blank, blank, None),
        Environment(np.ones((6, 2, 2, 3), np.float32)),
        (),
        invented_faces=np.array(invented, np.int32),
    )


BALL = trimesh.creation.icosphere(3, radius=1.0)


def test_a_closed_ball_has_nothing_to_report_even_if_its_vertices_are_split() -> None:
    split_vertices = BALL.vertices[BALL.faces].reshape(-1, 3)
    facts = surface_facts(result(split_vertices, np.arange(len(split_vertices)).reshape(-1, 3)))
    assert facts.loose_pieces == 0 and facts.hole_diameters == () and facts.non_manifold_edges == 0
    assert facts.open_area == facts.loose_area == facts.invented_area == 0.0
    assert facts.longest_side == pytest.approx(2.0, rel=1e-2)
    assert facts.topology["area_per_hull_area"] == pytest.approx(1.0, abs=0.01)
    assert facts.topology["volume_per_hull_volume"] == pytest.approx(1.0, abs=0.01)


def test_a_cut_off_cap_is_one_hole_of_its_size() -> None:
    keep = BALL.triangles_center[:, 1] < 0.8
    facts = surface_facts(result(BALL.vertices, BALL.faces[keep]))
    assert len(facts.hole_diameters) == 1
    assert facts.hole_diameters[0] == pytest.approx(2 * 0.6, rel=0.1)
    assert facts.open_area == pytest.approx(np.pi * 0.36 / (4 * np.pi), rel=0.3)


def test_floaters_are_counted_and_weighed() -> None:
    parts = [BALL] + [
        trimesh.creation.icosphere(1, radius=0.1).apply_translation((2 + k, 0, 0)) for k in range(4)
    ]
    whole = trimesh.util.concatenate(parts)
    facts = surface_facts(result(whole.vertices, whole.faces))
    assert facts.loose_pieces == 4
    assert facts.loose_area == pytest.approx(1 - BALL.area / whole.area, rel=1e-4)


def test_invented_faces_count_by_area() -> None:
    areas = face_areas(Mesh(np.asarray(BALL.vertices, np.float32), np.asarray(BALL.faces, np.int32)))
    facts = surface_facts(result(BALL.vertices, BALL.faces, (0, 5, 7)))
    assert facts.invented_area == pytest.approx(areas[[0, 5, 7]].sum() / areas.sum(), rel=1e-5)


def test_an_edge_of_three_faces_is_non_manifold() -> None:
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]]
    facts = surface_facts(result(np.array(vertices), np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]])))
    assert facts.non_manifold_edges == 1


def test_boundary_loops_follow_the_open_edges_once_each() -> None:
    strip = np.array([[0, 1, 2], [2, 1, 3], [2, 3, 4], [4, 3, 5]])
    (loop,) = boundary_loops(strip)
    assert sorted(loop) == [0, 1, 2, 3, 4, 5]
    assert boundary_loops(np.asarray(BALL.faces)) == []
    touching = np.array([[0, 1, 2], [0, 3, 4]])
    assert sum(len(loop) for loop in boundary_loops(touching)) == 6


def test_a_flat_surface_is_measured_without_a_hull() -> None:
    facts = surface_facts(result(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]])))
    assert "area_per_hull_area" not in facts.topology and facts.open_area == pytest.approx(0.5)
