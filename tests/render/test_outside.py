"""Programs that share no code with ours are the judges here: the path tracer Mitsuba, and arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from helpers.shapes import bumpy_sphere, sphere
from objectscan.render import clip_from_world, depth_range, rasterize
from objectscan.render.colour import linear_from_srgb_array, srgb_from_linear_array
from objectscan.render.cubemap import texel_directions
from objectscan.render.forward import TexturedModel
from objectscan.types import Camera, Environment, Material, Mesh, UvMap

mitsuba = pytest.importorskip("mitsuba")
SAMPLE = Path(__file__).parents[2] / "samples" / "rocket"
SIZE = 72


@pytest.fixture(scope="module", autouse=True)
def _scalar_variant():
    mitsuba.set_variant("scalar_rgb")


def _camera(size=SIZE):
    """Off the axes and rolled, so that a swapped or mirrored axis shows."""
    backward = np.array([0.5, 0.3, 0.8]) / np.linalg.norm([0.5, 0.3, 0.8])
    right = np.cross([0.2, 1.0, 0.1], backward)
    right /= np.linalg.norm(right)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.stack([right, -np.cross(backward, right), -backward], axis=1)
    world_from_camera[:3, 3] = 4.0 * backward
    focal = 0.5 * size / np.tan(np.deg2rad(20.0))
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Camera(intrinsics, world_from_camera, (size, size))


def _room(directions):
    """Radiance below 1 that is different along every axis."""
    lamps = [
        ((0.8, 0.5, 0.2), (0.7, 0.5, 0.2)),
        ((-0.3, 0.2, 0.9), (0.1, 0.3, 0.6)),
        ((0, -1, 0.2), (0.1, 0.4, 0.1)),
    ]
    radiance = 0.06 + 0.05 * directions[..., :1] * np.ones(3)
    for towards, colour in lamps:
        cosine = directions @ (np.array(towards) / np.linalg.norm(towards))
        radiance = radiance + np.array(colour) * np.exp(12.0 * (cosine[..., None] - 1.0))
    return radiance.astype(np.float32)


def _traced(shape, samples, size=SIZE):
    """Linear RGBA from Mitsuba under `_room`."""
    v, u = np.meshgrid((np.arange(128) + 0.5) / 128, (np.arange(256) + 0.5) / 256, indexing="ij")
    azimuth, polar = 2 * np.pi * u, np.pi * v
    sky = np.stack(
        [np.sin(azimuth) * np.sin(polar), np.cos(polar), -np.cos(azimuth) * np.sin(polar)], axis=-1
    )
    to_world = _camera().world_from_camera @ np.diag(
        [-1.0, -1.0, 1.0, 1.0]
    )  # Mitsuba: x left, y up, z forward
    film = {
        "type": "hdrfilm",
        "width": size,
        "height": size,
        "pixel_format": "rgba",
        "rfilter": {"type": "box"},
    }
    sensor = {
        "type": "perspective",
        "fov": 40.0,
        "to_world": mitsuba.ScalarTransform4f(to_world),
        "film": film,
        "sampler": {"type": "multijitter", "sample_count": samples},
    }
    scene = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 2, "hide_emitters": True},
        "sensor": sensor,
        "light": {"type": "envmap", "bitmap": mitsuba.Bitmap(_room(sky))},
        "shape": shape,
    }
    return np.array(mitsuba.render(mitsuba.load_dict(scene)))


def _ball(roughness, metallic=1.0, colour=(1.0, 1.0, 1.0)):
    vertices, faces = sphere(40)
    corner = UvMap(np.full((1, 2), 0.5, np.float32), np.zeros_like(faces))
    base = np.broadcast_to(np.float32(colour), (4, 4, 3)).copy()
    factors = np.broadcast_to(np.float32([1.0, roughness, metallic]), (4, 4, 3)).copy()
    light = Environment(_room(texel_directions(32)))
    mesh = Mesh(vertices.astype(np.float32), faces)
    return TexturedModel(mesh, corner, Material(base, factors, None), light)


def _cosines():
    """n.v of the ball at each pixel's centre; 0 outside."""
    camera = _camera()
    centres = (np.arange(SIZE) + 0.5 - SIZE / 2) / camera.intrinsics[0, 0]
    slope = np.hypot(*np.meshgrid(centres, centres))
    miss = 4.0 * slope / np.sqrt(1 + slope**2)  # distance of the ray from the ball's centre
    return np.sqrt(np.maximum(1.0 - miss**2, 0.0))


def test_coverage_is_that_of_a_path_tracer():
    vertices, faces = bumpy_sphere(24)
    mesh = Mesh(vertices.astype(np.float32), faces)
    corner = UvMap(np.zeros((1, 2), np.float32), np.zeros_like(faces))
    material = Material(np.ones((2, 2, 3), np.float32), np.ones((2, 2, 3), np.float32), None)
    model = TexturedModel(mesh, corner, material, Environment(np.ones((6, 8, 8, 3), np.float32)))
    shape = mitsuba.Mesh("bumps", len(vertices), len(faces))
    parameters = mitsuba.traverse(shape)
    parameters["vertex_positions"] = mesh.vertices.ravel()
    parameters["faces"] = mesh.faces.astype(np.uint32).ravel()
    parameters.update()
    truth = _traced(shape, 64)[..., 3]
    once, often = (model.view(_camera(), supersampling=s)[..., 3] for s in (1, 3))
    edge = (truth > 0.01) & (truth < 0.99)
    assert edge.sum() > 100
    assert np.abs(once - truth)[edge].mean() < 0.05  # measured 0.029; without antialias 0.199
    assert np.abs(often - truth)[edge].mean() < 0.02  # measured 0.013
    assert np.abs(once - truth).mean() < 0.003


def test_diffuse_ball_under_coloured_lamps_is_that_of_a_path_tracer():
    albedo = np.array([0.8, 0.5, 0.3])
    bsdf = {"type": "diffuse", "reflectance": {"type": "rgb", "value": albedo.tolist()}}
    truth = _traced({"type": "sphere", "bsdf": bsdf}, 256)[..., :3]
    painted, black = (
        linear_from_srgb_array(_ball(1.0, 0.0, srgb_from_linear_array(colour)).view(_camera())[..., :3])
        for colour in (albedo, np.zeros(3))
    )
    inside = _cosines() > 0.15
    difference = (painted - black - truth)[inside]  # a black ball shows what the varnish alone reflects
    assert np.abs(difference).mean() < 0.01 * truth[inside].mean()  # measured 0.007


@pytest.mark.parametrize(
    ("roughness", "facing", "grazing"),
    [(0.15, 0.03, 0.03), (0.3, 0.03, 0.06), (0.5, 0.06, 0.15), (0.8, 0.07, 0.1)],
)
def test_metal_ball_is_that_of_a_path_tracer(roughness, facing, grazing):
    """The split sum is an approximation. Measured: 1.5, 1.9, 4.5, 5.5 % facing; 1.6, 3.4, 12, 8 % grazing."""
    alpha = roughness**2
    bsdf = {"type": "roughconductor", "material": "none", "distribution": "ggx", "alpha": alpha}
    truth = _traced({"type": "sphere", "bsdf": bsdf}, 256)[..., :3]
    ours = linear_from_srgb_array(_ball(roughness).view(_camera())[..., :3])
    cosine = _cosines()
    for limit, ring in ((facing, cosine > 0.6), (grazing, (cosine > 0.15) & (cosine < 0.6))):
        error = np.abs(ours - truth)[ring].mean() / truth[ring].mean()
        assert error < limit


@pytest.mark.parametrize("metallic", [0.0, 1.0])
def test_ball_in_an_even_room_has_one_colour(metallic):
    """Constant light L: metals reflect L (F0 A + B), diffuse surfaces L albedo, whatever the normal."""
    model = _ball(0.08, metallic, (1.0, 1.0, 1.0))
    model.light_from(Environment(np.full((6, 16, 16, 3), 0.5, np.float32)))
    linear = linear_from_srgb_array(model.view(_camera())[..., :3])
    inside = _cosines() > 0.5
    if metallic:
        assert np.abs(linear[inside] - 0.5).max() < 0.02  # a white furnace: smooth metal loses nothing
    else:
        assert np.abs(linear[inside] - 0.5 * 1.04).max() < 0.03  # F0 = 0.04 comes on top, glTF's simple sum


@pytest.mark.parametrize("frame", [0, 9, 23])
def test_the_samples_masks_are_the_silhouettes_of_its_mesh(frame):
    document = json.loads((SAMPLE / "transforms_train.json").read_text())
    entry = document["frames"][frame]
    alpha = np.asarray(Image.open(SAMPLE / f"{entry['file_path']}.png"))[..., 3]
    focal, width, height = document["fl_x"], document["w"], document["h"]
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    camera = Camera(
        intrinsics, np.array(entry["transform_matrix"]) @ np.diag([1.0, -1, -1, 1]), (width, height)
    )
    mesh = trimesh.load(SAMPLE / "truth.ply", process=False)
    vertices = mesh.vertices.astype(np.float32)
    clip = (
        np.pad(vertices, ((0, 0), (0, 1)), constant_values=1)
        @ clip_from_world(camera, *depth_range(camera, vertices)).T
    )
    hits = rasterize(torch.from_numpy(clip)[None], torch.from_numpy(mesh.faces.astype(np.int32)), camera.size)
    ours, theirs = hits.covered[0].numpy(), alpha > 127
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.99
