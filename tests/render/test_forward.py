from __future__ import annotations

import numpy as np
import pytest

from helpers.shapes import sphere
from objectscan.errors import InputError
from objectscan.render import TexturedModel, render_textured
from objectscan.render.colour import linear_from_srgb_array, srgb_from_linear_array
from objectscan.types import Camera, Environment, Material, Mesh, UvMap

EVEN = Environment(np.full((6, 8, 8, 3), 0.6, np.float32))


def _camera(width=60, height=48, distance=3.0, focal=70.0):
    """At (0, 0, distance), looking at the origin; +x is right and +y up in the picture."""
    world_from_camera = np.diag([1.0, -1.0, -1.0, 1.0])
    world_from_camera[2, 3] = distance
    return Camera(
        np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]),
        world_from_camera,
        (width, height),
    )


def _square(texture_srgb, normal=None, half=1.0, roughness=1.0):
    """The square [-half, half]^2 of z = 0 facing +z, texture upright."""
    corners = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]])
    faces = np.int32([[0, 1, 2], [0, 2, 3]])
    vertices = np.pad((2 * corners - 1) * half, ((0, 0), (0, 1))).astype(np.float32)
    factors = np.broadcast_to(np.float32([1, roughness, 0]), texture_srgb.shape).copy()
    return Mesh(vertices, faces), UvMap(corners, faces), Material(texture_srgb, factors, normal)


def _quarters():
    """Bottom left red, bottom right green, top left blue, top right white; row 0 is the bottom."""
    texture = np.zeros((16, 16, 3), np.float32)
    texture[:8, :8, 0] = texture[:8, 8:, 1] = texture[8:, :8, 2] = texture[8:, 8:, :] = 1.0
    return texture


def test_the_texture_is_upright_and_not_mirrored():
    picture = render_textured(*_square(_quarters()), EVEN, _camera())
    height, width = picture.shape[:2]
    assert picture.shape == (48, 60, 4)
    low_left, low_right = picture[height // 2 + 9, width // 2 - 9], picture[height // 2 + 9, width // 2 + 9]
    high_left, high_right = picture[height // 2 - 9, width // 2 - 9], picture[height // 2 - 9, width // 2 + 9]
    assert (low_left[:3].argmax(), low_right[:3].argmax(), high_left[:3].argmax()) == (0, 1, 2)
    assert high_right[:3].min() > 0.7


def test_a_white_square_in_an_even_room_has_the_rooms_colour():
    picture = render_textured(*_square(np.ones((4, 4, 3), np.float32)), EVEN, _camera())
    centre = linear_from_srgb_array(picture[24, 30, :3].astype(float))
    assert np.allclose(
        centre, 0.6 * (1.0 + 0.04 * 0.31), atol=0.005
    )  # diffuse, and F0 times A at roughness 1


@pytest.mark.parametrize("supersampling", [1, 2, 4])
def test_coverage_is_the_area(supersampling):
    picture = render_textured(
        *_square(np.ones((4, 4, 3), np.float32), half=0.513), EVEN, _camera(), supersampling=supersampling
    )
    area_px = (2 * 0.513 * 70.0 / 3.0) ** 2
    assert picture[..., 3].sum() == pytest.approx(area_px, rel=0.01)


def test_supersampling_averages_light_not_codes():
    """A checker finer than pixels, black and white: half the light, not the code 0.5."""
    checker = (np.indices((64, 64)).sum(axis=0) % 2).astype(np.float32)[..., None].repeat(3, axis=-1)
    model = TexturedModel(*_square(checker, half=2.0), EVEN)
    picture = model.view(_camera(), supersampling=3)
    inner = linear_from_srgb_array(picture[10:-10, 10:-10, :3].astype(float))
    assert inner.mean() == pytest.approx(0.6 * (0.5 + 0.04 * 0.31), abs=0.01)


def test_edges_keep_their_colour():
    """Straight colour: pixels half covered by red are as red as the others."""
    red = np.broadcast_to(np.float32([0.8, 0.1, 0.1]), (4, 4, 3)).copy()
    picture = render_textured(*_square(red, half=0.53), EVEN, _camera(), supersampling=2)
    partly = (picture[..., 3] > 0.1) & (picture[..., 3] < 0.9)
    assert partly.sum() > 20
    assert np.abs(picture[partly][:, :3] - picture[24, 30, :3]).max() < 0.02


def test_a_normal_map_turns_the_shading():
    """Normals that lean to +u see the lamp at +x."""
    room = np.full((6, 16, 16, 3), 0.05, np.float32)
    room[0] = 0.8
    leaning = np.broadcast_to(np.float32([0.6, 0.0, 0.8]), (4, 4, 3)).copy()
    grey = np.full((4, 4, 3), 0.7, np.float32)
    flat, lean, away = (
        render_textured(*_square(grey, normal), Environment(room), _camera())[24, 30, 0]
        for normal in (None, leaning, leaning * np.float32([-1, 1, 1]))
    )
    assert lean > flat + 0.1 > away + 0.2


def test_a_back_face_is_lit_from_its_own_side():
    room = np.full((6, 16, 16, 3), 0.05, np.float32)
    room[4] = 0.8  # towards +z, where the camera is
    mesh, uv, material = _square(np.full((4, 4, 3), 0.7, np.float32))
    turned = (
        Mesh(mesh.vertices, mesh.faces[:, ::-1].copy()),
        UvMap(uv.coordinates, uv.faces[:, ::-1].copy()),
        material,
    )
    front, back = (
        render_textured(*m, Environment(room), _camera())[24, 30] for m in ((mesh, uv, material), turned)
    )
    assert np.allclose(front, back, atol=1e-5)


def test_layers_tell_depth_normal_and_material():
    vertices, faces = sphere(24)
    base = np.broadcast_to(np.float32([0.2, 0.5, 0.7]), (4, 4, 3)).copy()
    factors = np.broadcast_to(np.float32([0.9, 0.3, 1.0]), (4, 4, 3)).copy()
    corner = UvMap(np.full((1, 2), 0.5, np.float32), np.zeros_like(faces))
    model = TexturedModel(
        Mesh(vertices.astype(np.float32), faces), corner, Material(base, factors, None), EVEN
    )
    layers = model.layers(_camera(61, 49))
    assert layers.depth[24, 30] == pytest.approx(2.0, abs=0.01)
    assert np.allclose(layers.normals[24, 30], [0, 0, 1], atol=0.05)
    assert layers.normals[24, 45, 0] > 0.4 > abs(layers.normals[24, 45, 1])
    assert np.allclose(layers.base_color_srgb[24, 30], [0.2, 0.5, 0.7], atol=1e-4)
    assert np.allclose(layers.occlusion_roughness_metallic[24, 30], [0.9, 0.3, 1.0], atol=1e-4)
    assert not layers.covered[0, 0]
    assert np.isinf(layers.depth[0, 0])
    assert not layers.normals[0, 0].any()


def test_another_light_replaces_the_first():
    model = TexturedModel(*_square(np.full((4, 4, 3), 0.7, np.float32)), EVEN)
    before = model.view(_camera())[24, 30, :3]
    model.light_from(Environment(np.full((6, 8, 8, 3), 0.15, np.float32)))
    after = model.view(_camera())[24, 30, :3]
    ratio = linear_from_srgb_array(after.astype(float)) / linear_from_srgb_array(before.astype(float))
    assert np.allclose(ratio, 0.25, atol=1e-3)


def test_bright_light_is_clipped_to_white():
    model = TexturedModel(
        *_square(np.ones((4, 4, 3), np.float32)), Environment(np.full((6, 8, 8, 3), 9.0, np.float32))
    )
    picture = model.view(_camera())
    assert picture.max() == 1.0
    assert srgb_from_linear_array(np.array(1.0)) == pytest.approx(1.0)


def test_supersampling_below_one_is_refused():
    with pytest.raises(InputError, match="0"):
        render_textured(*_square(_quarters()), EVEN, _camera(), supersampling=0)
