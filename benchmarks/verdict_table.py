"""Damages a known object in 23 ways and prints numbers and verdict of each row as JSON (docs/verdict.md).

    python benchmarks/verdict_table.py [ROW ...]

The object is made in code: a seven-lobed body with fine bumps and a detailed texture, both functions of the
direction from its centre, so that any mesh of it, however damaged, gets its texture without a transfer step.
The photos are this library's renders of a fine mesh with a fine texture at twice the photos' resolution.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import cv2
import fast_simplification
import numpy as np
from scipy.spatial import ConvexHull

from objectscan.mesh.evidence import Evidence
from objectscan.mesh.quality import evaluate
from objectscan.mesh.studio import studio_environment
from objectscan.render import TexturedModel
from objectscan.types import (
    Camera,
    Capture,
    Material,
    Mesh,
    PassReport,
    Reconstruction,
    UvMap,
    View,
    ignore_progress,
)

PHOTO_EDGE_PX = 320
TEXTURE_SCALE = 0.75
"""Texture sizes are this times the named ones. Those were set for photos of 512 px and an atlas used to 60 %;
ours are 320 px and 56 %: texels per photo pixel are then about the same."""
CHART_SHARE = 0.75
"""Part of each atlas cell that a cube face fills; the rest takes triangles that reach over its edges."""
FIT_VIEWS, HELD_OUT_VIEWS = 14, 6
Texture = np.ndarray
"""Float32 [H, W, 3], sRGB, row 0 at v = 0."""


@dataclass(frozen=True)
class Model:
    """A damaged object: vertices, the directions that choose their colours, faces, and its texture."""

    vertices: np.ndarray
    directions: np.ndarray
    faces: np.ndarray
    texture: Texture


# --- the object -------------------------------------------------------------------------------------


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@cache
def waves(seed: int, low: float, high: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Wave vectors [K, 3] with lengths spread over `low` to `high`, and phases [K]."""
    rng = np.random.default_rng(seed)
    lengths = np.exp(rng.uniform(np.log(low), np.log(high), count))
    vectors, phases = unit(rng.normal(size=(count, 3))) * lengths[:, None], rng.uniform(0, 2 * np.pi, count)
    return vectors.astype(np.float32), phases.astype(np.float32)


def ripple(directions: np.ndarray, seed: int, low: float, high: float, count: int = 12) -> np.ndarray:
    """A smooth random function of direction with unit variance, about."""
    vectors, phases = waves(seed, low, high, count)
    total = np.zeros(directions.shape[:-1], np.float32)
    for vector, phase in zip(vectors, phases, strict=True):  # one wave at a time stays in the cache
        total += np.sin(directions @ vector + phase)
    return total * np.float32(np.sqrt(2.0 / count))


def radius(directions: np.ndarray) -> np.ndarray:
    """Distance of the surface from the centre: seven lobes, bumps, grain."""
    rng = np.random.default_rng(11)
    lobes = unit(rng.normal(size=(7, 3)) + 1e-3)
    heights = rng.uniform(0.35, 0.75, 7)
    body = 0.42 + (heights * np.exp(12.0 * (directions @ lobes.T - 1.0))).sum(-1)
    return body * (1.0 + 0.024 * ripple(directions, 1, 8, 14) + 0.004 * ripple(directions, 2, 25, 45))


def colour(directions: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1]: two glazes with a sharp border, veins, speckles and fine grain."""
    glaze = 1.0 / (1.0 + np.exp(-9.0 * ripple(directions, 3, 3, 9)))[..., None]
    mixed = glaze * np.array([0.72, 0.42, 0.24]) + (1.0 - glaze) * np.array([0.22, 0.42, 0.52])
    veins = np.exp(-((ripple(directions, 4, 10, 30) / 0.10) ** 2))[..., None]
    mixed = mixed + 0.35 * veins * (np.array([0.95, 0.90, 0.75]) - mixed)
    grain = 0.060 * ripple(directions, 5, 25, 60) + 0.070 * ripple(directions, 6, 80, 200, 24)
    return np.clip(mixed * (1.0 + grain[..., None]), 0.02, 0.98)


CUBE_AXES = np.array(
    [
        [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
        [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
    ],
    float,
)
"""For each cube face: the axes along u, along v and outward (right-handed, so that no chart is mirrored)."""


@cache
def body(edge: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """(vertices, faces) of the fine mesh: a cube of edge x edge quads a side, pushed out to `radius`."""
    ticks = np.tan(np.linspace(-np.pi / 4, np.pi / 4, edge + 1))
    b, a = np.meshgrid(ticks, ticks, indexing="ij")
    corner = np.arange((edge + 1) ** 2).reshape(edge + 1, edge + 1)
    lower_left, lower_right, upper_left, upper_right = (
        corner[:-1, :-1],
        corner[:-1, 1:],
        corner[1:, :-1],
        corner[1:, 1:],
    )
    quads = np.stack([lower_left, lower_right, upper_right, lower_left, upper_right, upper_left], -1).reshape(
        -1, 3
    )
    grid = np.stack([a, b, np.ones_like(a)], -1).reshape(-1, 3)
    points = np.concatenate([grid @ axes for axes in CUBE_AXES])
    faces = np.concatenate([quads + k * len(grid) for k in range(6)])
    directions = unit(points)
    _, first, inverse = np.unique(np.round(directions, 9), axis=0, return_index=True, return_inverse=True)
    directions = directions[first]
    return directions * radius(directions)[:, None], inverse.ravel()[faces].astype(np.int32)


@cache
def baked(named_px: int) -> Texture:
    """The texture whose name in the table is `named_px`."""
    edge = round(named_px * TEXTURE_SCALE / 6) * 6
    a, b = (((np.arange(edge // cells) + 0.5) / (edge // cells) * 2 - 1) / CHART_SHARE for cells in (3, 2))
    b, a = np.meshgrid(b, a, indexing="ij")
    chart = np.stack([a, b, np.ones_like(a)], -1).astype(np.float32)
    cells = [colour(unit(chart @ axes.astype(np.float32))) for axes in CUBE_AXES]
    return np.concatenate([np.concatenate(cells[:3], 1), np.concatenate(cells[3:], 1)]).astype(np.float32)


def charts(directions: np.ndarray, faces: np.ndarray) -> UvMap:
    """Each triangle on the cube face that its centroid points to."""
    corners = unit(directions)[faces]
    cell = np.argmax(corners.sum(1) @ CUBE_AXES[:, 2].T, axis=1)
    axes = CUBE_AXES[cell]
    local = np.einsum("fkc,fac->fka", corners, axes)
    flat = local[..., :2] / np.maximum(local[..., 2:], 0.2) * CHART_SHARE
    within = np.clip((flat + 1.0) / 2.0, 0.0, 1.0)
    origin = np.stack([cell % 3, cell // 3], -1)[:, None]
    coordinates = ((within + origin) / (3.0, 2.0)).reshape(-1, 2)
    return UvMap(coordinates.astype(np.float32), np.arange(len(coordinates), dtype=np.int32).reshape(-1, 3))


def reconstruction(model: Model, environment_edge: int = 16) -> Reconstruction:
    """The damaged object as an engine would hand it over."""
    material = np.broadcast_to(np.float32([1.0, 0.6, 0.0]), model.texture.shape).copy()
    return Reconstruction(
        Mesh(model.vertices.astype(np.float32), model.faces.astype(np.int32)),
        charts(model.directions, model.faces),
        Material(model.texture, material, None),
        studio_environment(np.eye(4), edge=environment_edge),
        (PassReport("damage", 1, 0.0),),
    )


# --- photos -----------------------------------------------------------------------------------------


def camera_at(direction: np.ndarray, edge_px: int) -> Camera:
    """Looks at the centre from three units away; the object fills about three quarters of the picture."""
    forward = -unit(direction)
    right = unit(np.cross(forward, [0.0, 1.0, 0.0]))
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    world_from_camera[:3, 3] = -3.0 * forward
    focal = 1.32 * edge_px
    return Camera(
        np.array([[focal, 0, edge_px / 2], [0, focal, edge_px / 2], [0, 0, 1]]),
        world_from_camera,
        (edge_px,) * 2,
    )


def directions_around(count: int, offset: float) -> np.ndarray:
    """Evenly spread over the sphere without its poles (Fibonacci lattice)."""
    k = np.arange(count) + 0.5
    height = (1.0 - 2.0 * k / count) * 0.85
    angle = np.pi * (1.0 + np.sqrt(5.0)) * k + offset
    ring = np.sqrt(1.0 - height**2)
    return np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], -1)


@cache
def captures() -> tuple[Capture, Capture]:
    """(held-out views with photos, fit views of which only the cameras matter)."""
    vertices, faces = body()
    truth = TexturedModel.of(reconstruction(Model(vertices, vertices, faces, baked(3072))))
    held_out = []
    for k, direction in enumerate(directions_around(HELD_OUT_VIEWS, 0.4)):
        fine = truth.view(camera_at(direction, 2 * PHOTO_EDGE_PX))
        premultiplied = np.concatenate([fine[..., :3] * fine[..., 3:], fine[..., 3:]], -1)
        small = premultiplied.reshape(PHOTO_EDGE_PX, 2, PHOTO_EDGE_PX, 2, 4).mean((1, 3))
        straight = small[..., :3] / np.maximum(small[..., 3:], 1e-6)
        image, mask = np.clip(np.round(255 * straight), 0, 255), np.round(255 * small[..., 3])
        camera = camera_at(direction, PHOTO_EDGE_PX)
        held_out.append(View(f"view_{k}.png", camera, image.astype(np.uint8), mask.astype(np.uint8)))
    blank = np.zeros((PHOTO_EDGE_PX, PHOTO_EDGE_PX, 3), np.uint8)
    fit = [
        View(f"fit_{k}.png", camera_at(direction, PHOTO_EDGE_PX), blank, blank[..., 0])
        for k, direction in enumerate(directions_around(FIT_VIEWS, 0.0))
    ]
    return Capture(tuple(held_out), np.eye(4), scale_known=True), Capture(
        tuple(fit), np.eye(4), scale_known=True
    )


# --- the damages ------------------------------------------------------------------------------------


@cache
def simplified(faces: int, texture_px: int) -> Model:
    vertices, full = body()
    if faces < len(full):
        vertices, full = fast_simplification.simplify(vertices.astype(np.float32), full, target_count=faces)
    return Model(
        np.asarray(vertices, float), np.asarray(vertices, float), np.asarray(full), baked(texture_px)
    )


def standard() -> Model:
    return simplified(20_000, 1024)


def diagonal(model: Model) -> float:
    return float(np.linalg.norm(np.ptp(model.vertices, axis=0)))


def with_noise(share: float) -> Model:
    """Each vertex moved along the radius by up to `share` of the diagonal, evenly spread."""
    model = standard()
    shift = np.random.default_rng(5).uniform(-share, share, (len(model.vertices), 1)) * diagonal(model)
    return replace(model, vertices=model.vertices + shift * unit(model.vertices))


def shifted(share: float) -> Model:
    model = standard()
    return replace(
        model, vertices=model.vertices + share * diagonal(model) * unit(np.array([2.0, -1.0, 2.0]))
    )


def with_floaters(count: int, size_share: float) -> Model:
    """Balls of `size_share` of the object's diagonal, beside the object."""
    import trimesh

    model, rng = standard(), np.random.default_rng(3)
    ball = trimesh.creation.icosphere(1, radius=size_share * diagonal(model) / 2.0)
    vertices, directions, faces = [model.vertices], [model.directions], [model.faces]
    for towards in unit(rng.normal(size=(count, 3))):
        centre = towards * (radius(towards[None])[0] + size_share * diagonal(model) * rng.uniform(0.6, 1.2))
        faces.append(np.asarray(ball.faces) + sum(len(part) for part in vertices))
        vertices.append(np.asarray(ball.vertices) + centre)
        directions.append(np.asarray(ball.vertices) * 0.05 + towards)
    return replace(
        model,
        vertices=np.concatenate(vertices),
        directions=np.concatenate(directions),
        faces=np.concatenate(faces),
    )


def with_missing(share: float) -> Model:
    """The faces nearest to one point, by area."""
    model = standard()
    corners = model.vertices[model.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    away = np.linalg.norm(
        corners.mean(1) - model.vertices[np.argmin(np.linalg.norm(model.vertices, axis=1))], axis=1
    )
    order = np.argsort(-away)
    keep = order[: np.searchsorted(np.cumsum(area[order]) / area.sum(), 1.0 - share)]
    return replace(model, faces=model.faces[np.sort(keep)])


def blurred(sigma: float) -> Model:
    model = standard()
    return replace(model, texture=cv2.GaussianBlur(model.texture, (0, 0), sigma * TEXTURE_SCALE))


def ghosted(shift_px: float) -> Model:
    """Half the texture, half the texture moved: what averaging mis-registered photos gives."""
    model = standard()
    move = np.float32([[1, 0, shift_px * TEXTURE_SCALE], [0, 1, 0]])
    height, width = model.texture.shape[:2]
    moved = cv2.warpAffine(model.texture, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return replace(model, texture=(model.texture + moved) / 2.0)


def flat() -> Model:
    model = standard()
    return replace(model, texture=np.broadcast_to(model.texture.mean((0, 1)), model.texture.shape).copy())


def darker(factor: float) -> Model:
    model = standard()
    linear = (
        np.where(model.texture <= 0.04045, model.texture / 12.92, ((model.texture + 0.055) / 1.055) ** 2.4)
        * factor
    )
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return replace(model, texture=encoded.astype(np.float32))


def hull() -> Model:
    vertices, _ = body()
    shell = ConvexHull(vertices)
    faces = shell.simplices.copy()
    corners = vertices[faces]
    inward = (
        np.einsum(
            "fc,fc->f",
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]),
            corners.mean(1),
        )
        < 0
    )
    faces[inward] = faces[inward][:, ::-1]
    return Model(vertices, vertices, faces, baked(2048))


def box() -> Model:
    vertices, _ = body()
    low, high = vertices.min(0), vertices.max(0)
    import trimesh

    shape = trimesh.creation.box(bounds=np.stack([low, high]))
    return Model(
        np.asarray(shape.vertices, float),
        np.asarray(shape.vertices, float),
        np.asarray(shape.faces),
        baked(1024),
    )


DAMAGES: Mapping[str, Callable[[], Model]] = {
    "none, full mesh, tex2048": lambda: simplified(10**9, 2048),
    "35000 faces tex2048": lambda: simplified(35_000, 2048),
    "10000 faces tex1024": lambda: simplified(10_000, 1024),
    "2000 faces tex1024": lambda: simplified(2000, 1024),
    "2000 faces tex512": lambda: simplified(2000, 512),
    "2000 faces tex256": lambda: simplified(2000, 256),
    "1200 faces tex2048": lambda: simplified(1200, 2048),
    "500 faces tex256": lambda: simplified(500, 256),
    "surface noise 0.3 %": lambda: with_noise(0.003),
    "surface noise 1 %": lambda: with_noise(0.01),
    "shift 1 %": lambda: shifted(0.01),
    "shift 3 %": lambda: shifted(0.03),
    "20 small floaters": lambda: with_floaters(20, 0.015),
    "8 big floaters": lambda: with_floaters(8, 0.12),
    "5 % of faces missing": lambda: with_missing(0.05),
    "25 % of faces missing": lambda: with_missing(0.25),
    "texture blur 2": lambda: blurred(2.0),
    "texture blur 6": lambda: blurred(6.0),
    "texture ghost 4 px": lambda: ghosted(4.0),
    "flat mean colour": flat,
    "exposure x 0.8": lambda: darker(0.8),
    "convex hull": hull,
    "bounding box": box,
}


def evidence_of(row: str) -> Evidence:
    """The evidence on one damaged object."""
    held_out, fit = captures()
    return evaluate(reconstruction(DAMAGES[row]()), held_out, fit, ignore_progress)


def table_row(row: str) -> dict[str, object]:
    """What the table in docs/verdict.md shows of one damage."""
    evidence = evidence_of(row)
    names = ("iou", "contour_per_mille", "psnr_db", "ssim", "gmsd", "sharpness")
    return {
        "damage": row,
        **{name: round(evidence.means[name], 4) for name in names},
        "iou_worst": round(min(view.metrics.iou for view in evidence.views), 4),
        "grade": evidence.verdict.grade,
        "deciding": evidence.verdict.deciding,
        "score": evidence.verdict.score,
    }


if __name__ == "__main__":
    print(json.dumps([table_row(row) for row in sys.argv[1:] or DAMAGES], indent=1))
