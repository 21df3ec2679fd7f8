"""Make the sample capture: an own modelled toy rocket, rendered by an independent path tracer (Mitsuba).

    python benchmarks/make_sample.py --out samples/rocket [--views 32] [--size 400] [--samples 96]

Writes NeRF-synthetic style transforms_{train,test}.json with RGBA pictures, the true mesh and a README.
Nothing is downloaded: shape, paint and light are formulas of this file. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import mitsuba
import numpy as np
import trimesh
from PIL import Image
from skimage.measure import marching_cubes

FIELD_OF_VIEW_RAD = np.deg2rad(38.0)
DISTANCE = 3.9
GRID = 300
CREAM, RED, TEAL, WHITE = (0.86, 0.79, 0.62), (0.62, 0.05, 0.035), (0.03, 0.30, 0.33), (0.85, 0.85, 0.83)
BLACK, GOLD, BLUE, STEEL = (0.025, 0.025, 0.03), (0.83, 0.58, 0.22), (0.03, 0.07, 0.25), (0.45, 0.46, 0.48)
SEAM, YELLOW = (0.30, 0.24, 0.17), (0.85, 0.55, 0.06)
PAINT_EDGE = 0.006
Colour = tuple[float, float, float]
WINDOWS_RAD = np.deg2rad([0.0, 120.0, 240.0])
FINS_RAD = np.deg2rad([60.0, 180.0, 300.0])
WINDOW_HEIGHT, WINDOW_RADIUS = 0.30, 0.15
FIN_OUTLINE = np.array(
    [(0.18, -0.10), (0.60, -0.55), (0.66, -0.95), (0.54, -0.95), (0.44, -0.72), (0.18, -0.62)]
)
README = """A toy rocket, made for Objectscan
==================================
Modelled and rendered by benchmarks/make_sample.py with Mitsuba 3, a path tracer that shares no code with
Objectscan. {views} training and {tests} test views, {size} x {size} px, alpha is the mask, world is +Z up.
Light is an environment of three soft lamps in a grey room, made by the same file; truth.ply is the surface
(40,000 faces, watertight). Materials: painted wood (roughness 0.35 to 0.42), brass rings, steel nozzle, dark
glass.
The pictures and the mesh are dedicated to the public domain: CC0 1.0.
"""


def ellipsoid(points: np.ndarray, radii: tuple[float, float, float]) -> np.ndarray:
    scaled = np.linalg.norm(points / np.array(radii), axis=-1)
    gradient = np.linalg.norm(points / np.array(radii) ** 2, axis=-1)
    return scaled * (scaled - 1.0) / np.maximum(gradient, 1e-9)


def smooth_union(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    share = np.clip(0.5 + 0.5 * (b - a) / width, 0.0, 1.0)
    return b * (1 - share) + a * share - width * share * (1 - share)


def polygon(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Signed distance to a polygon, negative inside."""
    distance, inside = np.full(x.shape, np.inf), np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        ex, ey, wx, wy = bx - ax, by - ay, x - ax, y - ay
        along = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0.0, 1.0)
        distance = np.minimum(distance, np.hypot(wx - ex * along, wy - ey * along))
        rise = by - ay if by != ay else 1.0  # a level side is never crossed
        inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / rise + ax)
    return np.where(inside, -distance, distance)


def turned(points: np.ndarray, angle_rad: float) -> tuple[np.ndarray, np.ndarray]:
    """(outward, sideways) coordinates seen along an azimuth."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return points[..., 0] * c + points[..., 1] * s, points[..., 1] * c - points[..., 0] * s


def window_centre() -> float:
    return 0.40 * np.sqrt(1.0 - ((WINDOW_HEIGHT - 0.1) / 0.88) ** 2)


def parts(points: np.ndarray) -> dict[str, np.ndarray]:
    """Signed distances of the rocket's parts at points [..., 3], z up."""
    z = points[..., 2]
    body = ellipsoid(points - (0, 0, 0.1), (0.40, 0.40, 0.88))
    rings, glass = np.full(z.shape, np.inf), np.full(z.shape, np.inf)
    for azimuth in WINDOWS_RAD:
        out, side = turned(points, azimuth)
        out, up = out - window_centre(), z - WINDOW_HEIGHT
        disc = np.hypot(side, up)
        body = np.maximum(body, -np.maximum(disc - WINDOW_RADIUS, -out - 0.07))
        rings = np.minimum(rings, np.hypot(disc - WINDOW_RADIUS, out + 0.005) - 0.032)
        glass = np.minimum(glass, np.maximum(disc - WINDOW_RADIUS, np.abs(out + 0.09) - 0.03))
    fins = np.full(z.shape, np.inf)
    for azimuth in FINS_RAD:
        out, side = turned(points, azimuth)
        outline = polygon(out, z, FIN_OUTLINE)
        fins = np.minimum(fins, np.hypot(np.maximum(outline, 0), np.maximum(np.abs(side) - 0.025, 0)) - 0.02)
        fins = np.where((outline < 0) & (np.abs(side) < 0.025), -0.02, fins)
    radius = np.hypot(points[..., 0], points[..., 1])
    bell = 0.17 - 0.5 * (z + 0.68)
    nozzle = np.maximum(np.abs(radius - bell) * 0.89 - 0.025, np.abs(z + 0.80) - 0.13)
    mast = np.maximum(radius - 0.022, np.abs(z - 1.02) - 0.10)
    tip = np.linalg.norm(points - (0, 0, 1.14), axis=-1) - 0.06
    return {
        "body": body,
        "rings": rings,
        "glass": glass,
        "fins": fins,
        "nozzle": nozzle,
        "mast": np.minimum(mast, tip),
    }


def rocket(distances: dict[str, np.ndarray]) -> np.ndarray:
    whole = smooth_union(distances["body"], distances["fins"], 0.05)
    for name in ("rings", "glass", "nozzle", "mast"):
        whole = smooth_union(whole, distances[name], 0.012)
    return whole


def rocket_mesh(grid: int) -> trimesh.Trimesh:
    lower, upper = np.array([-0.80, -0.80, -1.05]), np.array([0.80, 0.80, 1.28])
    spacing = (upper - lower).max() / grid
    axes = [np.arange(lower[k], upper[k] + spacing, spacing) for k in range(3)]
    slabs = [
        rocket(parts(np.stack(np.meshgrid(x, *axes[1:], indexing="ij"), axis=-1))) for x in axes[0][:, None]
    ]
    field = np.concatenate(slabs).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(spacing,) * 3)
    mesh = trimesh.Trimesh(vertices + lower, faces[:, ::-1], process=False)
    if mesh.volume < 0:
        mesh.invert()
    return mesh


def refined(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Four times the faces, vertices moved onto the surface: paint and normals live on vertices."""
    fine = mesh.subdivide()
    vertices, normals = fine.vertices, fine.vertex_normals
    for _ in range(2):
        vertices = vertices - normals * np.clip(rocket(parts(vertices)), -0.002, 0.002)[:, None]
    return trimesh.Trimesh(vertices, fine.faces, process=False)


def painted(colour: np.ndarray, distance: np.ndarray, shade: Colour) -> np.ndarray:
    """Colours with `shade` over them where the signed distance is negative; the border is soft."""
    share = np.clip(0.5 - distance / PAINT_EDGE, 0.0, 1.0)[:, None]
    return colour * (1.0 - share) + share * np.array(shade)


def tiles(position: np.ndarray, width: float) -> np.ndarray:
    """Signed distance to the nearest border of tiles of this width; the sign changes from tile to tile."""
    along = np.mod(position, 2 * width) - width
    return np.abs(np.abs(along) - width / 2) * np.sign(np.abs(along) - width / 2)


def star(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Signed distance to a five-pointed star."""
    angles = np.pi / 2 + np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2, 0.45, 1.0) * radius
    return polygon(x, y, np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1))


def paint_body(points: np.ndarray) -> np.ndarray:
    """Linear colour: cream with dots, emblems, a checkered belt and red bands."""
    z, azimuth = points[:, 2], np.arctan2(points[:, 1], points[:, 0])
    colour = np.tile(np.array(CREAM), (len(points), 1))
    for direction in np.random.default_rng(7).standard_normal((110, 3)):
        centre = direction / np.linalg.norm(direction) * (0.40, 0.40, 0.88) + (0, 0, 0.1)
        radius = 0.026 if direction[0] > 0 else 0.016
        shade = (RED, TEAL, GOLD)[int(abs(direction[1]) * 10) % 3]
        colour = painted(colour, np.linalg.norm(points - centre, axis=1) - radius, shade)
    for seam in (0.02, 0.47):
        colour = painted(colour, np.abs(z - seam) - 0.006, SEAM)
    for towards in FINS_RAD:
        out, side = turned(points, towards)
        behind = np.where(out > 0, 0.0, 1.0)
        disc = np.hypot(side, z - WINDOW_HEIGHT + 0.05)
        colour = painted(colour, disc - 0.150 + behind, BLUE)
        colour = painted(colour, np.abs(disc - 0.128) - 0.006 + behind, CREAM)
        colour = painted(colour, star(side, z - WINDOW_HEIGHT + 0.05, 0.108) + behind, YELLOW)
    checker = tiles(azimuth * 0.38, 0.38 * np.pi / 16) * np.sign(tiles(z + 0.26, 0.06))
    belt = np.abs(z + 0.17) - 0.09
    colour = painted(colour, belt, WHITE)
    colour = painted(colour, np.maximum(checker, belt), BLACK)
    for distance in (0.68 - z, np.abs(z - 0.57) - 0.035, z + 0.52):
        colour = painted(colour, distance, RED)
    return colour


def paint(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(linear colour [V, 3], roughness [V], metallic [V])."""
    distances = parts(points)
    names = list(distances)
    nearest = np.stack([distances[name] for name in names]).argmin(axis=0)
    colour = paint_body(points)
    roughness, metallic = np.full(len(points), 0.42), np.zeros(len(points))
    stripes = tiles(np.hypot(points[:, 0], points[:, 1]) - points[:, 2] * 0.55, 0.055)
    for name, shade, rough, metal in (
        ("fins", TEAL, 0.35, 0.0), ("rings", GOLD, 0.30, 1.0), ("glass", BLUE, 0.15, 0.0),
        ("nozzle", STEEL, 0.45, 1.0), ("mast", GOLD, 0.30, 1.0),
    ):  # fmt: skip
        mine = nearest == names.index(name)
        colour[mine] = (
            painted(np.tile(shade, (mine.sum(), 1)), stripes[mine], WHITE) if name == "fins" else shade
        )
        roughness[mine], metallic[mine] = rough, metal
    return colour, roughness, metallic


def environment() -> np.ndarray:
    """Latitude-longitude radiance [256, 512, 3], z up: a grey room with three soft, tinted lamps."""
    v, u = np.meshgrid((np.arange(256) + 0.5) / 256, (np.arange(512) + 0.5) / 512, indexing="ij")
    polar, azimuth = np.pi * v, 2 * np.pi * u
    directions = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1
    )
    radiance = np.where(directions[..., 2:] > 0, 0.42 + 0.25 * directions[..., 2:], 0.27) * np.array(
        [0.97, 1.0, 1.04]
    )
    for towards, tint, sharpness in (
        ((0.6, 0.5, 0.75), (8.6, 7.9, 6.9), 24.0), ((-0.8, 0.3, 0.35), (2.2, 2.6, 3.2), 14.0),
        ((0.1, -0.9, 0.5), (3.0, 2.8, 2.6), 22.0),
    ):  # fmt: skip
        lamp = np.array(towards) / np.linalg.norm(towards)
        radiance = radiance + np.array(tint) * np.exp(sharpness * (directions @ lamp - 1.0))[..., None]
    return radiance.astype(np.float32)


def spiral(count: int, low_rad: float, high_rad: float, phase: float) -> list[np.ndarray]:
    """World-from-camera matrices (OpenGL axes) on a golden-angle spiral."""
    cameras = []
    for k in range(count):
        height = np.sin(low_rad) + (np.sin(high_rad) - np.sin(low_rad)) * (k + 0.5) / count
        azimuth, flat = k * np.pi * (3 - np.sqrt(5)) + phase, np.sqrt(1 - height**2)
        backward = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), height])
        right = np.cross((0.0, 0.0, 1.0), backward)
        right /= np.linalg.norm(right)
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([right, np.cross(backward, right), backward], axis=1)
        matrix[:3, 3] = DISTANCE * backward + (0, 0, 0.08)
        cameras.append(matrix)
    return cameras


def scene_of(mesh: trimesh.Trimesh) -> object:
    colour, roughness, metallic = paint(mesh.vertices)
    bsdf = {
        "type": "principled",
        "base_color": {"type": "mesh_attribute", "name": "vertex_color"},
        "roughness": {"type": "mesh_attribute", "name": "vertex_roughness"},
        "metallic": {"type": "mesh_attribute", "name": "vertex_metallic"},
        "specular": 0.5,
    }
    properties = mitsuba.Properties()
    properties["bsdf"] = mitsuba.load_dict(bsdf)
    shape = mitsuba.Mesh(
        "rocket", len(mesh.vertices), len(mesh.faces), has_vertex_normals=True, props=properties
    )
    parameters = mitsuba.traverse(shape)
    parameters["vertex_positions"] = np.ascontiguousarray(mesh.vertices, np.float32).ravel()
    parameters["vertex_normals"] = np.ascontiguousarray(mesh.vertex_normals, np.float32).ravel()
    parameters["faces"] = np.ascontiguousarray(mesh.faces, np.uint32).ravel()
    parameters.update()
    shape.add_attribute("vertex_color", 3, colour.astype(np.float32).ravel())
    shape.add_attribute("vertex_roughness", 1, roughness.astype(np.float32))
    shape.add_attribute("vertex_metallic", 1, metallic.astype(np.float32))
    # Mitsuba's sky is y up with its seam at -z: turn it so that row 0 is +z and column 0 is +x.
    turn = mitsuba.ScalarTransform4f(np.array([[0.0, 0, -1, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]))
    light = {"type": "envmap", "bitmap": mitsuba.Bitmap(environment()), "to_world": turn}
    return mitsuba.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 6, "hide_emitters": True},
            "shape": shape,
            "light": light,
        }
    )


def render(scene: object, world_from_camera: np.ndarray, size: int, samples: int, seed: int) -> np.ndarray:
    """Straight RGBA, 8 bit sRGB."""
    # Mitsuba cameras look along +z with x to the left.
    to_world = world_from_camera @ np.diag([-1.0, 1.0, -1.0, 1.0])
    sensor = mitsuba.load_dict(
        {
            "type": "perspective", "fov": float(np.rad2deg(FIELD_OF_VIEW_RAD)), "fov_axis": "x",
            "to_world": mitsuba.ScalarTransform4f(to_world),
            "film": {
                "type": "hdrfilm", "width": size, "height": size,
                "pixel_format": "rgba", "rfilter": {"type": "box"},
            },
            "sampler": {"type": "multijitter", "sample_count": samples, "seed": seed},
        }
    )  # fmt: skip
    image = np.array(mitsuba.render(scene, sensor=sensor, seed=seed), np.float32)
    alpha = np.clip(image[..., 3:], 0.0, 1.0)
    linear = np.clip(image[..., :3] / np.maximum(alpha, 1e-4), 0.0, 1.0) * (alpha > 0.5 / 255)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * np.concatenate([srgb, alpha], axis=-1)).astype(np.uint8)


def write_split(
    out: Path, split: str, cameras: list[np.ndarray], pictures: list[np.ndarray], size: int
) -> None:
    (out / split).mkdir(parents=True, exist_ok=True)
    frames = []
    for k, (matrix, picture) in enumerate(zip(cameras, pictures, strict=True)):
        Image.fromarray(picture).save(out / split / f"r_{k:03d}.png", optimize=True)
        frames.append({"file_path": f"./{split}/r_{k:03d}", "transform_matrix": matrix.tolist()})
    focal = 0.5 * size / np.tan(FIELD_OF_VIEW_RAD / 2)
    header = {
        "camera_angle_x": FIELD_OF_VIEW_RAD,
        "fl_x": focal,
        "fl_y": focal,
        "cx": size / 2,
        "cy": size / 2,
    }
    document = {**header, "w": size, "h": size, "frames": frames}
    (out / f"transforms_{split}.json").write_text(json.dumps(document, indent=1) + "\n")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--views", type=int, default=32)
    arguments.add_argument("--tests", type=int, default=6)
    arguments.add_argument("--size", type=int, default=400)
    arguments.add_argument("--samples", type=int, default=96)
    options = arguments.parse_args()
    mitsuba.set_variant("scalar_rgb")
    mesh = rocket_mesh(GRID)
    scene = scene_of(refined(mesh))
    splits = {
        "train": spiral(options.views, np.deg2rad(-22), np.deg2rad(70), 0.0),
        "test": spiral(options.tests, np.deg2rad(-10), np.deg2rad(55), 1.0),
    }
    for split, cameras in splits.items():
        pictures = [
            render(scene, matrix, options.size, options.samples, seed) for seed, matrix in enumerate(cameras)
        ]
        write_split(options.out, split, cameras, pictures, options.size)
    mesh.simplify_quadric_decimation(face_count=40_000).export(options.out / "truth.ply")
    text = README.format(views=options.views, tests=options.tests, size=options.size)
    (options.out / "README.txt").write_text(text)


if __name__ == "__main__":
    main()
