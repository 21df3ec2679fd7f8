from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.samples import ball, blob, cube, joined
from objectscan.mesh.intersections import intersecting_faces
from objectscan.mesh.topology import weld_by_position
from objectscan.types import Mesh


def crossing_pairwise(mesh: Mesh) -> np.ndarray:
    """Every edge against every face by solving for the crossing point."""
    corners = mesh.vertices[mesh.faces].astype(float)
    hit = np.zeros(len(corners), bool)
    for one in range(len(corners)):
        for two in range(len(corners)):
            if one == two or set(mesh.faces[one].tolist()) & set(mesh.faces[two].tolist()):
                continue
            for k in range(3):
                start, along = corners[one, k], corners[one, (k + 1) % 3] - corners[one, k]
                a, b, c = corners[two]
                matrix = np.stack([along, a - b, a - c], axis=1)
                if abs(np.linalg.det(matrix)) < 1e-12:
                    continue
                t, u, v = np.linalg.solve(matrix, a - start)
                if 0 < t < 1 and u > 0 and v > 0 and u + v < 1:
                    hit[[one, two]] = True
    return hit


@given(st.integers(0, 10_000), st.integers(2, 14), st.floats(0.1, 2.0))
@settings(deadline=None, max_examples=40)
def test_random_triangles_match_every_pair(seed: int, count: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(count, 1, 3)) + size * rng.normal(size=(count, 3, 3))
    mesh = Mesh(
        corners.reshape(-1, 3).astype(np.float32), np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    )
    assert np.array_equal(intersecting_faces(mesh), crossing_pairwise(mesh))


def test_a_body_does_not_cross_itself_and_two_through_each_other_do_along_a_ring() -> None:
    assert not intersecting_faces(weld_by_position(blob(3000))).any()
    shifted = Mesh(ball(3).vertices + np.float32(0.7), ball(3).faces)
    crossing = intersecting_faces(joined(ball(3), shifted))
    assert crossing[:1280].sum() == crossing[1280:].sum() or crossing.sum() > 60
    centres = joined(ball(3), shifted).vertices[joined(ball(3), shifted).faces].mean(axis=1)
    plane = np.abs(centres.sum(axis=1) - 3 * 0.35) / np.sqrt(3)
    assert plane[crossing].max() < 0.15


def test_boxes_that_touch_do_not_cross() -> None:
    assert not intersecting_faces(weld_by_position(joined(cube(), cube((1, 0, 0)), cube((1, 1, 0))))).any()
