"""How fast the differentiable renderer is: one JSON line with milliseconds a view.

    python benchmarks/renderer.py [--threads 2] [--repeats 7]

A step is rasterize + interpolate (3 channels) + antialias, forward and backward to positions and attributes;
the adjacency table is timed apart because it is built once a topology. Lookups are points a second. Every
figure is the smallest of the repeats: other work on the machine only ever adds time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers.shapes import bumpy_sphere, orbit, to_clip
from objectscan.render import (
    antialias,
    build_adjacency,
    build_mips,
    interpolate,
    rasterize,
    sample_cubemap,
    sample_texture,
    set_threads,
)

DIVISIONS = (16, 32, 71)
"""5,120, 20,480 and 100,820 triangles."""
SIZES_PX = (128, 256, 512)
BATCHES = (1, 8)


def scene(divisions: int, views: int) -> tuple[Tensor, Tensor, Tensor]:
    """(clip positions, attributes, faces) of a bumpy sphere seen from `views` cameras."""
    vertices, faces = bumpy_sphere(divisions)
    attributes = torch.from_numpy(vertices).float().requires_grad_()
    return to_clip(vertices, orbit(views)).requires_grad_(), attributes, torch.from_numpy(faces)


def time_step(divisions: int, size_px: int, views: int, repeats: int) -> dict[str, float]:
    """Milliseconds a view of each part of a step."""
    clip, attributes, faces = scene(divisions, views)
    start = time.perf_counter()
    adjacency = build_adjacency(faces)
    adjacency_ms = (time.perf_counter() - start) * 1e3
    rows = []
    for _ in range(repeats + 1):
        cpu_start, ticks = time.process_time(), [time.perf_counter()]
        hits = rasterize(clip, faces, (size_px, size_px))
        ticks.append(time.perf_counter())
        colour = interpolate(attributes, faces, hits)
        ticks.append(time.perf_counter())
        image = antialias(colour, hits, clip, faces, adjacency)
        ticks.append(time.perf_counter())
        (image * image).mean().backward()
        ticks.append(time.perf_counter())
        clip.grad = attributes.grad = None
        rows.append([*np.diff(ticks), ticks[-1] - ticks[0], time.process_time() - cpu_start])
    best = np.min(rows[1:], axis=0) * 1e3 / views
    parts = dict(
        zip(
            ("rasterize", "interpolate", "antialias", "backward", "step", "step_cpu"),
            best.round(3).tolist(),
            strict=True,
        )
    )
    return {
        "triangles": len(faces),
        "size_px": size_px,
        "views": views,
        **parts,
        "adjacency": round(adjacency_ms, 3),
    }


def time_lookups(repeats: int, points: int = 500_000) -> dict[str, float]:
    """Millions of points a second, forward and backward: random coordinates, the worst case for caches."""
    uv = torch.rand(points, 2, requires_grad=True)
    texture = torch.rand(1024, 1024, 3, requires_grad=True)
    mips = [mip.detach().requires_grad_() for mip in build_mips(texture)]
    footprint = torch.rand(points, 4) * 0.003
    cubes = [torch.rand(6, edge, edge, 3, requires_grad=True) for edge in (32, 16, 16, 8, 8)]
    directions = torch.randn(points, 3, requires_grad=True)
    level = (torch.rand(points) * 4).requires_grad_()
    cases = {
        "texture_bilinear": lambda: sample_texture([texture], uv),
        "texture_trilinear": lambda: sample_texture(mips, uv, footprint=footprint),
        "cubemap_trilinear": lambda: sample_cubemap(cubes, directions, level),
    }
    result = {}
    for name, lookup in cases.items():
        best = [np.inf, np.inf]
        for _ in range(repeats):
            start = time.perf_counter()
            values = lookup()
            middle = time.perf_counter()
            values.sum().backward()
            best = np.minimum(best, [middle - start, time.perf_counter() - middle])
        for part, seconds in zip(("forward", "backward"), best, strict=True):
            result[f"{name}_{part}"] = round(points / seconds / 1e6, 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_threads(options.threads)
    time_step(4, 32, 2, 1)  # compiles the kernels, or loads them from numba's cache
    steps = [
        time_step(divisions, size_px, views, options.repeats)
        for views in BATCHES
        for size_px in SIZES_PX
        for divisions in DIVISIONS
    ]
    result = {
        "threads": options.threads,
        "steps_ms_a_view": steps,
        "lookups_million_a_second": time_lookups(options.repeats),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
