"""How fast and how right the renderer is on a CUDA GPU: JSON with medians in milliseconds.

    PYTHONPATH=src:tests python benchmarks/renderer_cuda.py [--out FILE] [--quick]

basic: rasterize + interpolate (3 channels) + antialias, forward and backward to positions and attributes, and
a mean square loss. textured: a trilinear texture (512 px, clamped) in place of the colours, read
at the covered pixels with footprints; gradients to positions, coordinates and texture. shaded: the
light's filter and split-sum shading of the covered pixels; gradients to normals and light. Each is timed as
it comes from Python (eager) and replayed from a CUDA graph.
`reference_*`: nvdiffrast 0.4.0, measured once on an H100 with the same meshes, cameras and loss; `ratio`: the
better of ours over it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers.cuda.comparison import silhouette_gradient
from objectscan.render import (
    PrefilterOperator,
    antialias,
    build_adjacency,
    build_mips,
    interpolate,
    interpolate_covered,
    rasterize,
    sample_texture,
    scatter_covered,
    shade_split_sum,
)

GPU = torch.device("cuda")
TRIANGLES = (10_000, 100_000, 1_000_000)
SIZES_PX = (512, 1024, 2048)
VIEWS = (1, 8)
REFERENCE_MS = {
    (9_800, 512, 1): (0.14, 1.02, 1.5),
    (9_800, 1024, 8): (0.58, 2.69, 4.4),
    (99_000, 512, 8): (0.68, 1.43, 2.1),
    (99_000, 1024, 8): (1.00, 2.87, 4.5),
    (99_000, 2048, 8): (2.3, 10.1, 14.8),
    (998_000, 1024, 8): (4.3, 6.26, 7.9),
    (998_000, 2048, 8): (5.9, 12.7, 17.2),
}
"""(triangles to the thousand, size, views): (rasterize forward, basic, with trilinear texture)."""


def latitude_sphere(triangles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(vertices, uv, faces) of a bumpy sphere with about so many triangles; its seam spans all of u."""
    rings = max(4, round((triangles / 4) ** 0.5))
    around = 2 * rings
    theta, phi = np.meshgrid(
        np.linspace(0, np.pi, rings + 1)[1:-1], np.arange(around) / around * 2 * np.pi, indexing="ij"
    )
    radius = 1 + 0.05 * np.sin(5 * theta) * np.cos(7 * phi)
    directions = (np.sin(theta) * np.cos(phi), np.cos(theta), np.sin(theta) * np.sin(phi))
    vertices = (radius * np.stack(directions)).reshape(3, -1).T
    uv = np.stack([phi / (2 * np.pi), theta / np.pi], axis=-1).reshape(-1, 2)
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(rings - 2), np.arange(around), indexing="ij"))
    k = (j + 1) % around
    a, b, c, d = i * around + j, i * around + k, (i + 1) * around + j, (i + 1) * around + k
    pole, j = len(vertices), np.arange(around)
    k, last = (j + 1) % around, (rings - 2) * around
    caps = ([np.full(around, pole), k, j], [np.full(around, pole + 1), last + j, last + k])
    faces = np.concatenate([np.stack(rows, axis=1) for rows in ((a, b, c), (b, d, c), *caps)])
    vertices = np.concatenate([vertices, [[0, 1, 0], [0, -1, 0]]])
    return vertices.astype(np.float32), np.concatenate([uv, [[0.5, 0], [0.5, 1]]]).astype(np.float32), faces


def cameras(views: int) -> Tensor:
    """clip_from_world [N 4 4], 45 degrees of view, at distance 3, looking down by 0.4 rad."""
    matrices = []
    focal, near, far = 1 / np.tan(np.pi / 8), 0.1, 100.0
    projection = np.array(
        [
            [focal, 0, 0, 0],
            [0, -focal, 0, 0],
            [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, -1, 0],
        ]
    )
    back = np.eye(4)
    back[2, 3] = -3.0
    for view in range(views):
        y, x = 2 * np.pi * view / views + 0.3, 0.4
        turn_y, turn_x = np.eye(4), np.eye(4)
        turn_y[:3, :3] = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
        turn_x[:3, :3] = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
        matrices.append(projection @ back @ turn_x @ turn_y)
    return torch.tensor(np.stack(matrices), dtype=torch.float32, device=GPU)


def median_ms(work: Callable[[], Any], budget_s: float) -> float:
    """Median of the GPU's time between events around one call."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    repeats = int(min(100, max(7, budget_s / max(time.perf_counter() - start, 1e-6))))
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for begin, end in events:
        begin.record()
        work()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(begin.elapsed_time(end) for begin, end in events)


def graph_of(work: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    """The work, captured. Fails if anything in it waits for the GPU."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


class Scene:
    """One mesh, some cameras, and the work to time."""

    def __init__(self, triangles: int, size_px: int, views: int):
        vertices, uv, faces = latitude_sphere(triangles)
        self.faces = torch.from_numpy(faces.astype(np.int32)).to(GPU)
        self.vertices = torch.from_numpy(vertices).to(GPU).requires_grad_()
        self.uv = torch.from_numpy(uv).to(GPU).requires_grad_()
        points = F.pad(self.vertices.detach(), (0, 1), value=1.0)
        self.clip = (points @ cameras(views).transpose(1, 2)).contiguous().requires_grad_()
        self.size = (size_px, size_px)
        self.adjacency = build_adjacency(self.faces)
        self.texture = torch.rand(512, 512, 3, device=GPU, requires_grad=True)
        self.light = torch.rand(6, 32, 32, 3, device=GPU, requires_grad=True)
        self.filter = PrefilterOperator(32)
        with torch.no_grad():
            covered = int((rasterize(self.clip, self.faces, self.size).triangle >= 0).sum())
        self.capacity = -(-covered // 1024) * 1024
        self.goal = torch.rand(views, size_px, size_px, 3, device=GPU)

    def rasterize(self) -> Any:
        with torch.no_grad():
            return rasterize(self.clip, self.faces, self.size, derivatives=True)

    def basic(self) -> Any:
        hits = rasterize(self.clip, self.faces, self.size)
        picture = interpolate(self.vertices, self.faces, hits)
        smooth = antialias(picture, hits, self.clip, self.faces, self.adjacency)
        return torch.autograd.grad(((smooth - self.goal) ** 2).mean(), [self.clip, self.vertices])

    def textured(self) -> Any:
        hits = rasterize(self.clip, self.faces, self.size, derivatives=True).padded(self.capacity)
        uv, footprint = interpolate_covered(self.uv, self.faces, hits, derivatives=True)
        colours = sample_texture(build_mips(self.texture), uv, footprint=footprint)
        smooth = antialias(scatter_covered(colours, hits), hits, self.clip, self.faces, self.adjacency)
        return torch.autograd.grad(((smooth - self.goal) ** 2).mean(), [self.clip, self.uv, self.texture])

    def shaded(self) -> Any:
        hits = rasterize(self.clip.detach(), self.faces, self.size).padded(self.capacity)
        normals = F.normalize(interpolate_covered(self.vertices, self.faces, hits), dim=1)
        factors = 0.5 + 0.4 * normals.detach()
        shaded = shade_split_sum(factors, factors.flip(1), normals, normals.detach(), self.filter(self.light))
        return torch.autograd.grad(shaded.square().mean(), [self.vertices, self.light])

    def loss_alone(self) -> Any:
        """What of `basic` is torch's: the loss and its gradient."""
        picture = self.goal.detach().requires_grad_()
        return torch.autograd.grad(((picture - self.goal) ** 2).mean(), [picture])


def measure(scene: Scene, names: list[str], budget_s: float) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in names:
        work = getattr(scene, name)
        row[f"{name}_eager_ms"] = round(median_ms(work, budget_s), 4)
        try:
            graph = graph_of(work)
            row[f"{name}_graph_ms"] = round(median_ms(graph.replay, budget_s), 4)
            del graph
        except RuntimeError as error:
            row[f"{name}_graph_error"] = str(error)[:300]
        torch.cuda.synchronize()
    return row


def kernel_times(work: Callable[[], Any], repeats: int = 5) -> dict[str, float]:
    """Microseconds a call of each kernel, the longest first."""
    from torch.profiler import ProfilerActivity, profile

    work()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(repeats):
            work()
        torch.cuda.synchronize()
    rows = {event.key: getattr(event, "self_device_time_total", 0.0) for event in profiler.key_averages()}
    longest = sorted(rows.items(), key=lambda row: -row[1])[:16]
    return {name[:60]: round(total / repeats, 1) for name, total in longest}


def with_reference(row: dict[str, Any]) -> dict[str, Any]:
    key = (round(row["triangles"], -3 if row["triangles"] > 50_000 else -2), row["size_px"], row["views"])
    if key in REFERENCE_MS:
        for name, reference in zip(("rasterize", "basic", "textured"), REFERENCE_MS[key], strict=True):
            times = [row[k] for k in (f"{name}_eager_ms", f"{name}_graph_ms") if k in row]
            if times:
                row[f"reference_{name}_ms"] = reference
                row[f"{name}_ratio"] = round(min(times) / reference, 3)
                row[f"{name}_eager_ratio"] = round(row[f"{name}_eager_ms"] / reference, 3)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    budget_s = 0.05 if options.quick else 0.15
    names = ["rasterize", "basic", "textured", "shaded", "loss_alone"]
    start = time.perf_counter()
    result: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": []}
    for triangles in TRIANGLES:
        for size_px in SIZES_PX:
            for views in VIEWS:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
                scene = Scene(triangles, size_px, views)
                row = {"triangles": len(scene.faces), "size_px": size_px, "views": views}
                row |= measure(scene, names, budget_s)
                row["peak_mib"] = torch.cuda.max_memory_allocated() >> 20
                if views == 8 or size_px == 512:
                    row["kernels_us"] = kernel_times(scene.basic)
                    row["kernels_textured_us"] = kernel_times(scene.textured)
                    row["kernels_shaded_us"] = kernel_times(scene.shaded)
                result["rows"].append(with_reference(row))
                print(json.dumps({k: v for k, v in row.items() if not k.startswith("kernels")}), flush=True)
                if options.out:
                    options.out.write_text(json.dumps(result, indent=1))
    for name in ("basic", "textured"):
        ratios = [row[f"{name}_ratio"] for row in result["rows"] if f"{name}_ratio" in row]
        result[f"{name}_ratio_mean"] = round(statistics.mean(ratios), 3)
        result[f"{name}_ratio_worst"] = max(ratios)
    result["silhouette_gradient"] = {
        str(20 * divisions**2): {
            str(steps): round(silhouette_gradient(divisions, 256, GPU, steps), 4) for steps in (1, 8, 32, 64)
        }
        for divisions in (4, 12, 40, 120)
    }
    result["seconds"] = round(time.perf_counter() - start, 1)
    text = json.dumps(result, indent=1)
    if options.out:
        options.out.write_text(text)
    print(json.dumps({k: v for k, v in result.items() if k != "rows"}))


if __name__ == "__main__":
    main()
