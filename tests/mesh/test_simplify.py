from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from mesh.samples import ball, blob, is_closed_manifold, torus, without
from objectscan.mesh.simplify import simplify
from objectscan.mesh.topology import topology_facts
from objectscan.types import Mesh

simplify_module = importlib.import_module("objectscan.mesh.simplify")


def folded(mesh: Mesh) -> Mesh:
    """The same with an extra sheet on one edge, as a bad collapse leaves it."""
    a, b, _ = mesh.faces[0]
    vertices = np.concatenate([mesh.vertices, mesh.vertices[[a]] * np.float32(1.2)])
    return Mesh(vertices, np.concatenate([mesh.faces, [(a, b, len(mesh.vertices))]]).astype(np.int32))


def test_a_blob_with_a_tunnel_keeps_its_shape_and_topology_at_a_tenth_of_the_faces() -> None:
    mesh = blob(20_000)
    budget = len(mesh.faces) // 10
    small = simplify(mesh, budget)
    facts = topology_facts(small)
    assert 0.9 * budget <= len(small.faces) <= 1.1 * budget
    assert facts.is_watertight and facts.is_winding_consistent and facts.genus == 1
    assert facts.non_manifold_vertices == 0
    assert facts.volume == pytest.approx(topology_facts(mesh).volume, rel=0.01)
    diagonal = np.linalg.norm(np.ptp(mesh.vertices, axis=0))
    assert cKDTree(mesh.vertices).query(small.vertices)[0].max() < 0.02 * diagonal


def test_a_mesh_within_its_budget_comes_back_as_it_is() -> None:
    mesh = ball()
    assert simplify(mesh, len(mesh.faces)) is mesh


def test_a_budget_below_a_tetrahedron_is_refused() -> None:
    with pytest.raises(ValueError, match="face_budget is 3"):
        simplify(ball(), 3)


@given(st.integers(0, 1000), st.integers(60, 400))
@settings(deadline=None, max_examples=15)
def test_an_open_surface_gets_no_more_border_or_crowded_edges(seed: int, budget: int) -> None:
    mesh = torus(32, 24)
    start = np.random.default_rng(seed).integers(len(mesh.faces))
    centre = mesh.vertices[mesh.faces[start]].mean(axis=0)
    near = np.linalg.norm(mesh.vertices[mesh.faces].mean(axis=1) - centre, axis=1) < 0.3
    torn = without(mesh, np.flatnonzero(near))
    before, after = topology_facts(torn), topology_facts(simplify(torn, budget))
    assert after.boundary_edges <= before.boundary_edges
    assert after.non_manifold_edges == 0 and after.boundary_loops <= before.boundary_loops


def test_where_every_collapse_folds_a_closed_mesh_is_simplified_by_other_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = simplify_module._collapsed
    monkeypatch.setattr(simplify_module, "_collapsed", lambda *arguments: folded(original(*arguments)))
    mesh = blob(6000)
    small = simplify(mesh, 800)
    assert is_closed_manifold(small.faces)
    assert len(small.faces) <= 800
    assert topology_facts(small).volume == pytest.approx(topology_facts(mesh).volume, rel=0.05)


def test_where_every_collapse_folds_an_open_mesh_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    original = simplify_module._collapsed
    monkeypatch.setattr(simplify_module, "_collapsed", lambda *arguments: folded(original(*arguments)))
    small = simplify(without(ball(4), range(30)), 500)
    facts = topology_facts(small)
    assert facts.non_manifold_edges == 0 and facts.non_manifold_vertices == 0
    assert len(small.faces) <= 551


def test_a_collapse_that_stops_far_above_the_budget_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplify_module, "_collapsed", lambda mesh, *_: mesh)
    assert len(simplify(blob(6000), 800).faces) <= 800


def test_the_same_mesh_gives_the_same_result() -> None:
    first, second = simplify(blob(6000), 500), simplify(blob(6000), 500)
    assert np.array_equal(first.vertices, second.vertices) and np.array_equal(first.faces, second.faces)
