"""Whether refining a generated surface helps where photos show it and harms nothing elsewhere: JSON lines.

    PYTHONPATH=src python benchmarks/hybrid.py SCENES... [--preset standard] [--out FILE]

A scene is a NeRF-synthetic folder with gt_mesh.glb and gt_visible_points.ply in its world (Z up). The
generated surface is a stand-in: the visual hull of all photos, bent by smooth waves of 2.5 % of its diagonal,
its back (the 30 % farthest from the eight cameras) cut off. The eight photos are those nearest to one
direction. Before and after: F-score at 1 % of the truth's diagonal of the surface that the eight photos show,
and of the rest; `back_moved`: 95 % of the unseen surface moved less than this share of the diagonal.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree

from objectscan.capture import ingest, ingest_split
from objectscan.engines.nvdiffrec.engine import NvdiffrecEngine
from objectscan.engines.nvdiffrec.prior import seen_vertices
from objectscan.engines.nvdiffrec.start import starting_surface
from objectscan.engines.nvdiffrec.surface_grid import SurfaceGrid
from objectscan.mesh.box_unwrap import box_unwrap
from objectscan.mesh.simplify import simplify
from objectscan.mesh.topology import compact, drop_floaters
from objectscan.mesh.visibility import SurfaceSamples, surface_samples, visibility
from objectscan.recipes import Recipe, recipe_for
from objectscan.types import (
    Capture,
    Environment,
    Material,
    Mesh,
    NoCheckpoints,
    Reconstruction,
    ignore_progress,
)

PHOTOS = 8
_WAVES = 0.025
_CUT = 0.3
_SAMPLES = 100_000


def all_photos(scene: Path) -> Capture:
    """Training and test photos together: six alone show some scenes from few sides."""
    capture = ingest(scene)
    test = ingest_split(scene, "test")
    named = tuple(replace(view, name=f"test/{view.name}") for view in test.views)
    return replace(capture, views=(*capture.views, *named))


def one_side(capture: Capture) -> tuple[Capture, np.ndarray]:
    """The eight photos around one camera, and the direction in which they lie."""
    places = np.array([view.camera.world_from_camera[:3, 3] for view in capture.views])
    directions = (places - places.mean(axis=0)) / np.linalg.norm(
        places - places.mean(axis=0), axis=1, keepdims=True
    )
    nearest = np.argsort(-(directions @ directions[0]), kind="stable")[:PHOTOS]
    middle = directions[nearest].mean(axis=0) * [1, 1, 0]
    return replace(capture, views=tuple(capture.views[k] for k in nearest)), middle / np.linalg.norm(middle)


def stand_in(capture: Capture, towards: np.ndarray, recipe: Recipe) -> Reconstruction:
    """What a generator might give: the hull, bent, without its back, painted grey."""
    quiet = replace(recipe, stereo=replace(recipe.stereo, enabled=False))
    start = starting_surface(
        capture,
        quiet,
        seed=0,
        report=ignore_progress,
        checkpoints=NoCheckpoints(),
        device=torch.device("cpu"),
    )
    hull = SurfaceGrid(start, replace(recipe.shape, resolutions=(80,))).mesh()
    diagonal = float(np.linalg.norm(start.box[1] - start.box[0]))
    rng = np.random.default_rng(5)
    points = hull.vertices.astype(float)
    for _ in range(4):
        wave, phase, way = rng.standard_normal(3), rng.uniform(0, 2 * np.pi), rng.standard_normal(3)
        wave *= 2 * np.pi / diagonal / np.linalg.norm(wave) * 1.5
        way /= np.linalg.norm(way)
        points += _WAVES * diagonal * np.sin(hull.vertices @ wave + phase)[:, None] * way
    depth = points @ towards
    kept = hull.faces[(depth[hull.faces] > np.quantile(depth, _CUT)).all(axis=1)]
    mesh = simplify(drop_floaters(compact(Mesh(np.float32(points), kept))), 20_000)
    grey = np.full((64, 64, 3), 0.5, np.float32)
    matt = np.broadcast_to(np.float32([1.0, 0.8, 0.0]), (64, 64, 3)).copy()
    light = Environment(np.ones((6, 16, 16, 3), np.float32))
    return Reconstruction(mesh, box_unwrap(mesh, 64), Material(grey, matt, None), light, ())


def truth_samples(scene: Path, cameras: list[Any]) -> tuple[np.ndarray, np.ndarray, float]:
    """(points of the visible truth, whether the photos show them, diagonal)."""
    whole = trimesh.load(scene / "gt_mesh.glb", process=False).to_geometry()
    mesh = Mesh(np.float32(whole.vertices), np.int32(whole.faces))
    visible = cKDTree(trimesh.load(scene / "gt_visible_points.ply").vertices)
    diagonal = float(np.linalg.norm(whole.bounds[1] - whole.bounds[0]))
    samples = surface_samples(mesh, _SAMPLES)
    near = visible.query(samples.points)[0] < 0.01 * diagonal
    samples = SurfaceSamples(samples.points[near], samples.normals[near])
    return samples.points, visibility(mesh, cameras, samples=samples).views > 0, diagonal


def scores(mesh: Mesh, truth: np.ndarray, shown: np.ndarray, limit: float) -> dict[str, float]:
    """F at `limit` of the shown truth and of the rest; a sample of the mesh belongs to its nearest truth."""
    samples = surface_samples(mesh, _SAMPLES).points
    to_mesh = cKDTree(samples).query(truth)[0]
    to_truth, nearest = cKDTree(truth).query(samples)
    result = {}
    for name, part in (("shown", shown), ("unseen", ~shown)):
        recall, precision = (to_mesh[part] < limit).mean(), (to_truth[part[nearest]] < limit).mean()
        result[name] = round(float(2 * recall * precision / max(recall + precision, 1e-9)), 4)
    return result


def measured(scene: Path, preset: str) -> dict[str, Any]:
    """One scene's row."""
    everything = all_photos(scene)
    recipe = recipe_for(preset)
    capture, towards = one_side(everything)
    prior = stand_in(everything, towards, recipe)
    cameras = [view.camera for view in capture.views]
    truth, shown, diagonal = truth_samples(scene, cameras)
    began = time.perf_counter()
    result = NvdiffrecEngine().reconstruct(
        capture, recipe, seed=0, report=ignore_progress, checkpoints=NoCheckpoints(), prior=prior
    )
    seconds = time.perf_counter() - began
    back = prior.mesh.vertices[~seen_vertices(prior.mesh, cameras)]
    moved = cKDTree(surface_samples(result.mesh, _SAMPLES).points).query(back)[0] / diagonal
    return {
        "scene": scene.name, "preset": preset, "photos": len(capture.views), "seconds": round(seconds, 1),
        "shown_share": round(float(shown.mean()), 3),
        "before": scores(prior.mesh, truth, shown, 0.01 * diagonal),
        "after": scores(result.mesh, truth, shown, 0.01 * diagonal),
        "back_moved": round(float(np.quantile(moved, 0.95)), 5),
        "imagined_faces": round(len(result.invented_faces) / len(result.mesh.faces), 3),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", type=Path, nargs="+")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for scene in arguments.scenes:
        rows.append(measured(scene, arguments.preset))
        print(json.dumps(rows[-1]), flush=True)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
