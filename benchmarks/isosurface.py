"""How fast surfaces are extracted, placed, regularised and carved: one JSON line, milliseconds on one thread.

    python benchmarks/isosurface.py [--repeats 9]

The surface is a wavy sphere that fills 80 % of the grid. Placement is forward and backward to positions,
field and weights. The hull is that of a sphere in 40 masks of 512 x 512. Every figure is the smallest of the
repeats: other work on the machine only ever adds time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers.shapes import camera_from_world
from helpers.surfaces import points_of
from objectscan.engines.nvdiffrec import dmtet, flexicubes
from objectscan.engines.nvdiffrec.hull import carve, object_bounds
from objectscan.engines.nvdiffrec.regularisers import LaplacianSmoother, normal_consistency
from objectscan.engines.nvdiffrec.silhouettes import silhouettes
from objectscan.render import build_adjacency, set_threads
from objectscan.types import Camera, View

GRIDS = (64, 96, 128)
HULL_VIEWS, HULL_SIZE_PX, HULL_RESOLUTION = 40, 512, 96


def best_ms(job: Callable[[], object], repeats: int) -> float:
    """Smallest time of a job that has run once before."""
    job()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return round(1e3 * min(times), 2)


def wavy_sphere(points: int) -> np.ndarray:
    centred = points_of((points,) * 3) - (points - 1) / 2
    radius = np.linalg.norm(centred, axis=1) + 0.03 * points * np.sin(centred[:, 0] * 20 / points)
    return (radius - 0.4 * points).reshape((points,) * 3).astype(np.float32)


def time_flexicubes(field: np.ndarray, repeats: int) -> dict[str, float]:
    topology = flexicubes.extract_topology(torch.from_numpy(field))
    points = torch.from_numpy(points_of(field.shape)[topology.points.numpy()]).float().requires_grad_()
    values = torch.from_numpy(field.ravel()[topology.points.numpy()]).requires_grad_()
    weights = torch.ones(len(topology.cubes), flexicubes.WEIGHTS, requires_grad=True)

    def step() -> None:
        vertices = flexicubes.place_vertices(points, values, weights, topology)
        (vertices.sum() + flexicubes.deviation(points, values, vertices, topology)).backward()

    vertices = flexicubes.place_vertices(points, values, weights, topology).detach().requires_grad_()
    faces = flexicubes.triangles(topology, vertices)
    adjacency = build_adjacency(faces)
    smoother = LaplacianSmoother(faces.numpy(), len(vertices), 12.0)
    return {
        "vertices": len(vertices),
        "extract_ms": best_ms(lambda: flexicubes.extract_topology(torch.from_numpy(field)), repeats),
        "place_and_deviation_ms": best_ms(step, repeats),
        "normal_consistency_ms": best_ms(
            lambda: normal_consistency(vertices, faces, adjacency).backward(), repeats
        ),
        "smooth_ms": best_ms(lambda: smoother.apply(vertices.detach().numpy()), repeats),
    }


def time_dmtet(field: np.ndarray, repeats: int) -> dict[str, float]:
    topology = dmtet.extract_topology(field)
    points = torch.from_numpy(points_of(field.shape)[topology.points]).float().requires_grad_()
    values = torch.from_numpy(field.ravel()[topology.points]).requires_grad_()
    return {
        "vertices": len(topology.first),
        "extract_ms": best_ms(lambda: dmtet.extract_topology(field), repeats),
        "place_ms": best_ms(lambda: dmtet.place_vertices(points, values, topology).sum().backward(), repeats),
    }


def sphere_views() -> list[View]:
    """Views of a unit sphere from all around; masks from the formula of its outline, one pixel soft."""
    views = []
    focal = 1.4 * HULL_SIZE_PX
    intrinsics = np.array([[focal, 0, HULL_SIZE_PX / 2], [0, focal, HULL_SIZE_PX / 2], [0, 0, 1]])
    row, column = np.indices((HULL_SIZE_PX, HULL_SIZE_PX)) + 0.5 - HULL_SIZE_PX / 2
    edge_px = focal * np.tan(np.arcsin(1 / 4)) - np.hypot(row, column)
    mask = np.round(255 * np.clip(edge_px + 0.5, 0, 1)).astype(np.uint8)
    for i in range(HULL_VIEWS):
        height, turn = 1 - 2 * (i + 0.5) / HULL_VIEWS, i * np.pi * (3 - 5**0.5)
        ring = (1 - height**2) ** 0.5
        eye = 4 * np.array([ring * np.cos(turn), height, ring * np.sin(turn)])
        camera = Camera(intrinsics, np.linalg.inv(camera_from_world(eye)), mask.shape)
        views.append(View(f"{i}.png", camera, np.zeros((*mask.shape, 3), np.uint8), mask))
    return views


def time_hull(repeats: int) -> dict[str, float]:
    views = sphere_views()
    eyes = np.stack([view.camera.world_from_camera[:3, 3] for view in views])
    outlines = silhouettes(views)
    box = object_bounds(outlines, eyes, None)
    spacing = float((box[1] - box[0]).max()) / HULL_RESOLUTION
    hull = carve(outlines, box, spacing)
    reach = [np.interp(0, *crossing) for crossing in _crossings_on_axes(hull.values, hull.origin, spacing)]
    return {
        "outlines_ms": best_ms(lambda: silhouettes(views), repeats),
        "bounds_ms": best_ms(lambda: object_bounds(outlines, eyes, None), repeats),
        "carve_ms": best_ms(lambda: carve(outlines, box, spacing), repeats),
        "radius_error_cells": round(float(np.mean(np.abs(np.array(reach) - 1))) / spacing, 3),
    }


def _crossings_on_axes(
    values: np.ndarray, origin: np.ndarray, spacing: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Field (rising) and radius along every grid line through the inside that leaves it once."""
    points = origin + spacing * points_of(values.shape)
    radius = np.linalg.norm(points, axis=1).reshape(values.shape)
    pairs = []
    for axis in range(3):
        field, radii = np.moveaxis(values, axis, 2), np.moveaxis(radius, axis, 2)
        leaves = np.argwhere((field[..., :-1] < 0) & (field[..., 1:] >= 0))
        for x, y, z in leaves:
            pairs.append((field[x, y, z : z + 2], radii[x, y, z : z + 2]))
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    set_threads(1)
    result: dict[str, object] = {
        f"{name}_{points}": job(wavy_sphere(points), repeats)
        for points in GRIDS
        for name, job in (("flexicubes", time_flexicubes), ("dmtet", time_dmtet))
    }
    result[f"hull_{HULL_VIEWS}_views_{HULL_RESOLUTION}"] = time_hull(max(1, repeats // 3))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
