"""Colours at points of the surface, and where the delivered mesh stands."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.shapes import sphere
from objectscan.engines.reconviagen import asset
from objectscan.engines.reconviagen.pipeline import DELIVERED_FROM_GENERATED
from objectscan.errors import Cancelled, EmptyForeground
from objectscan.mesh.box_unwrap import box_unwrap
from objectscan.recipes import Budget
from objectscan.types import Mesh


def ball(count: int = 24, radius: float = 0.4) -> Mesh:
    vertices, faces = sphere(count)
    return Mesh((radius * vertices).astype(np.float32), faces.astype(np.int32))


def smooth(points: np.ndarray) -> np.ndarray:
    """A colour that changes slowly from place to place."""
    return (0.5 + points).astype(np.float32)


def test_smooth_colours_of_vertices_are_kept_between_them():
    dense, coarse = ball(96), ball(24)
    spacing = np.linalg.norm(dense.vertices[dense.faces[:, 0]] - dense.vertices[dense.faces[:, 1]], axis=1)
    colours_at = asset.from_vertices(
        dense.vertices, smooth(dense.vertices), spacing=float(np.median(spacing))
    )
    points = coarse.vertices[coarse.faces].mean(axis=1)
    assert np.abs(colours_at(points) - smooth(points)).max() < 0.02


def test_a_gaussian_counts_by_its_opacity_and_its_density_at_the_point():
    positions = np.array([[0.0, 0, 0], [1, 0, 0]], np.float32)
    colours = np.array([[1.0, 0, 0], [0, 1, 0]], np.float32)
    covariances = np.stack([np.diag([0.25, 1, 1]), np.diag([1.0, 1, 1])]).astype(np.float32)
    opacities = np.array([0.2, 0.8], np.float32)
    colour = asset.from_gaussians(positions, colours, opacities, covariances)(
        np.array([[0.5, 0, 0]], np.float32)
    )
    first, second = 0.2 * np.exp(-0.5 * 0.25 / 0.25), 0.8 * np.exp(-0.5 * 0.25)
    np.testing.assert_allclose(colour[0], [first / (first + second), second / (first + second), 0], atol=1e-6)


def test_a_point_far_from_all_gaussians_gets_a_colour_and_no_nan():
    one = np.eye(3, dtype=np.float32)[None]
    colours_at = asset.from_gaussians(
        np.zeros((2, 3), np.float32), np.full((2, 3), 0.25, np.float32), np.zeros(2, np.float32),
        np.concatenate([one, one]) * 1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(colours_at(np.full((1, 3), 9.0, np.float32)), 0.25)


def test_the_texture_has_the_colour_of_the_surface_and_is_matt():
    mesh = ball(16)
    uv = box_unwrap(mesh, 128)
    shares: list[float] = []
    material = asset.baked(mesh, uv, smooth, size_px=128, done=shares.append)
    places = np.minimum((uv.coordinates[uv.faces].mean(axis=1) * 128).astype(int), 127)
    seen = material.base_color_srgb[places[:, 1], places[:, 0]]
    wanted = smooth(mesh.vertices[mesh.faces].mean(axis=1))
    assert np.median(np.abs(seen - wanted)) < 0.01
    assert shares[-1] == 1.0
    assert material.normal is None
    np.testing.assert_array_equal(
        np.unique(material.occlusion_roughness_metallic.reshape(-1, 3), axis=0), [[1, 1, 0]]
    )


def test_baking_stops_on_request():
    def stop(share: float) -> None:
        raise Cancelled("stopped")

    mesh = ball(8)
    with pytest.raises(Cancelled):
        asset.baked(mesh, box_unwrap(mesh, 64), smooth, size_px=64, done=stop)


@pytest.mark.parametrize("turn", [np.eye(4), np.diag([1.0, -1, -1, 1]), DELIVERED_FROM_GENERATED])
def test_a_mesh_is_delivered_upright_on_the_origin_whatever_the_captures_frame(turn):
    vertices = np.array([[0.0, 0, -0.3], [0.2, 0, -0.3], [0, 0.1, -0.3], [0.1, 0.05, 0.5]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
    placed = asset.placed(Mesh(vertices, faces), turn, DELIVERED_FROM_GENERATED)
    delivered = placed.vertices @ turn[:3, :3].T
    np.testing.assert_allclose(delivered.min(axis=0), [-0.1, 0, -0.05], atol=1e-6)
    np.testing.assert_allclose(delivered.max(axis=0), [0.1, 0.8, 0.05], atol=1e-6)
    assert delivered[3, 1] == pytest.approx(0.8)  # the tip, which was up in z


def test_nothing_left_is_an_error():
    mesh = Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32))
    with pytest.raises(EmptyForeground, match="No surface is left"):
        asset.laid_out(mesh, Budget(faces=100, texture_size_px=64), lambda: None)
