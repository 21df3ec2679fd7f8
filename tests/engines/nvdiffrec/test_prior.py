"""A surface that stood before is refined where photos show it, and kept where none does."""

import dataclasses

import numpy as np
import pytest
from tests.engines.nvdiffrec.captures import ball, camera_at, painted_ball, picture

from objectscan.engines.nvdiffrec.engine import NvdiffrecEngine
from objectscan.engines.nvdiffrec.prior import seen_vertices, unseen_faces, with_earlier_colours
from objectscan.mesh.box_unwrap import box_unwrap
from objectscan.recipes import recipe_for
from objectscan.types import (
    Capture,
    Environment,
    Material,
    Mesh,
    NoCheckpoints,
    Reconstruction,
    View,
    ignore_progress,
)

_SMALL = recipe_for(
    "preview",
    {
        "shape.resolutions": [20, 28], "shape.image_edges_px": [48, 96], "shape.steps": [40, 60],
        "shape.views_per_step": 3, "refine.image_edge_px": 96, "refine.steps": 20, "budget.faces": 3000,
        "budget.texture_size_px": 256,
    },
)  # fmt: skip
_GREEN = (0.1, 0.8, 0.2)


def _front() -> Capture:
    """Six photos of the painted ball from the side +x."""
    vertices, faces = ball()
    cameras = [
        camera_at(azimuth, height, 96)
        for azimuth, height in zip(np.linspace(-0.9, 0.9, 6), [0.3, -0.3] * 3, strict=True)
    ]
    pictures = [picture(camera, vertices, faces) for camera in cameras]
    views = [View(f"{k}.png", c, *p) for k, (c, p) in enumerate(zip(cameras, pictures, strict=True))]
    return Capture(tuple(views), np.eye(4))


def _green_ball_with(shape) -> Reconstruction:
    vertices, faces = ball(rings=32)
    mesh = Mesh(shape(vertices).astype(np.float32), faces)
    material = Material(
        np.broadcast_to(np.float32(_GREEN), (64, 64, 3)).copy(),
        np.broadcast_to(np.float32([1.0, 0.7, 0.0]), (64, 64, 3)).copy(),
        None,
    )
    light = Environment(np.ones((6, 16, 16, 3), np.float32))
    return Reconstruction(mesh, box_unwrap(mesh, 64), material, light, ())


def _bulged(vertices):
    """Too large towards the cameras, and with a nose on the far side."""
    towards = np.clip(vertices[:, :1], 0, 1)
    nose = 0.4 * np.exp(-30 * (1 + vertices[:, :1]))
    return vertices * (1 + 0.15 * towards) * (1 + nose)


@pytest.fixture(scope="module")
def prior() -> Reconstruction:
    return _green_ball_with(_bulged)


@pytest.fixture(scope="module")
def refined(prior) -> Reconstruction:
    return NvdiffrecEngine().reconstruct(
        _front(), _SMALL, seed=0, report=ignore_progress, checkpoints=NoCheckpoints(), prior=prior
    )


def test_what_photos_show_moves_to_where_it_is(refined, prior):
    def error(mesh):
        front = mesh.vertices[mesh.vertices[:, 0] > 0.4]
        return np.median(np.abs(np.linalg.norm(front, axis=1) - 1.0))

    assert error(prior.mesh) > 0.09
    assert error(refined.mesh) < 0.03


def test_what_no_photo_shows_keeps_its_shape(refined, prior):
    assert prior.mesh.vertices[:, 0].min() < -1.35
    assert refined.mesh.vertices[:, 0].min() == pytest.approx(
        prior.mesh.vertices[:, 0].min(), abs=0.08
    )  # a cell is 0.1
    back = refined.mesh.vertices[refined.mesh.vertices[:, 0] < -0.6]
    round_ball = back / np.linalg.norm(back, axis=1, keepdims=True)
    moved = np.linalg.norm(back, axis=1) - np.linalg.norm(_bulged(round_ball), axis=1)
    assert np.quantile(np.abs(moved), 0.95) < 0.06  # a cell is 0.1


def test_what_no_photo_shows_keeps_its_colour_and_is_told(refined):
    centre = refined.mesh.vertices[refined.mesh.faces[refined.invented_faces]].mean(axis=1)
    assert len(centre) and centre[:, 0].max() < 0.5
    assert (centre[:, 0] < -0.5).mean() > 0.4
    corner = refined.uv.coordinates[refined.uv.faces[refined.invented_faces]].mean(axis=1)
    size = refined.material.base_color_srgb.shape[0]
    place = np.clip((corner * size).astype(int), 0, size - 1)
    colours = refined.material.base_color_srgb[place[:, 1], place[:, 0]]
    assert np.median(np.abs(colours - _GREEN)) < 0.02


def test_seen_is_what_faces_a_camera_and_is_not_hidden():
    vertices, faces = ball()
    mesh = Mesh(vertices, faces)
    seen = seen_vertices(mesh, [camera_at(0.0, 0.0, 96)])
    assert seen[vertices[:, 0] > 0.5].all() and not seen[vertices[:, 0] < 0.1].any()
    assert mesh.vertices[mesh.faces[unseen_faces(mesh, seen)]][..., 0].max() < 0.5


def test_colours_of_what_is_seen_stay(prior):
    texels = np.full((64, 64, 8), 0.3)
    seen = np.ones(len(prior.mesh.vertices), bool)
    same = with_earlier_colours(texels, prior.mesh, prior.uv, prior, seen)
    assert np.array_equal(same, texels)
    none = with_earlier_colours(texels, prior.mesh, prior.uv, prior, ~seen)
    changed = (none != texels).any(axis=2)
    assert changed.any() and np.allclose(none[changed][:, :3], _GREEN, atol=1e-5)


def test_without_photos_of_a_side_nothing_depends_on_the_seed(prior):
    other = dataclasses.replace(_SMALL, refine=dataclasses.replace(_SMALL.refine, steps=2))
    results = [
        NvdiffrecEngine().reconstruct(
            painted_ball(views=4),
            other,
            seed=seed,
            report=ignore_progress,
            checkpoints=NoCheckpoints(),
            prior=prior,
        )
        for seed in (3, 3)
    ]
    assert np.array_equal(results[0].mesh.vertices, results[1].mesh.vertices)
