"""Whole reconstructions of synthetic scenes on this machine: seconds a stage, ms a step, memory, PSNR.

    python benchmarks/engine_gpu.py --data data/synthetic --scenes spot waterbottle --out engine_gpu.json

One JSON object a scene. `wall_s` is from images on disk to GLB and report, kernels loaded, on the device that
the setting `device` chooses. `--profile` adds where a step's time goes: kernels by GPU time, and waits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from objectscan import pipeline
from objectscan.engines.base import device_for, engine_named
from objectscan.recipes import RefineOptions, recipe_for
from objectscan.render.threads import set_threads, thread_count
from objectscan.settings import settings_from
from objectscan.stages import StageClock
from objectscan.types import NoCheckpoints, ignore_progress

_PROFILED_STEPS = 24


def run_scene(capture: Path, out: Path, preset: str) -> dict[str, Any]:
    settings, recipe = settings_from(os.environ), recipe_for(preset)
    on_gpu = device_for(settings) == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    clock = StageClock(lambda progress: None, pipeline.never)
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    asset = pipeline.reconstruct(capture, recipe, out, settings=settings, report=clock.report)
    wall_s = time.perf_counter() - began
    evidence = json.loads(asset.report.read_text("utf-8"))
    row: dict[str, Any] = {
        "scene": capture.name, "preset": preset, "wall_s": round(wall_s, 2),
        "stage_s": {name: round(seconds, 2) for name, seconds in clock.seconds.items()},
        "model_bytes": asset.model.stat().st_size, "grade": evidence["verdict"]["grade"],
        "means": evidence["evidence"]["means"], "passes": evidence["passes"],
    }  # fmt: skip
    steps = {"shape": sum(recipe.shape.steps), "refine": recipe.refine.steps}
    row["step_ms"] = {name: round(1e3 * clock.seconds[name] / count, 2) for name, count in steps.items()}
    if on_gpu:
        row["peak_allocated_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 3)
        row["peak_reserved_gb"] = round(torch.cuda.max_memory_reserved() / 1e9, 3)
    return row


def profile(capture: Path, preset: str) -> list[dict[str, Any]]:
    """GPU time by kernel and host time by call over short passes."""
    settings, recipe = settings_from(os.environ), recipe_for(preset)
    few = tuple(_PROFILED_STEPS for _ in recipe.shape.steps)
    recipe = replace(
        recipe, shape=replace(recipe.shape, steps=few), stereo=replace(recipe.stereo, enabled=False),
        refine=replace(RefineOptions(), steps=_PROFILED_STEPS),
    )  # fmt: skip
    engine = engine_named("nvdiffrec")
    engine.prepare(device_for(settings), settings)
    views = pipeline.read_capture(capture, settings)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as seen:
        engine.reconstruct(views, recipe, seed=0, report=ignore_progress, checkpoints=NoCheckpoints())
    rows = [
        {"name": e.key[:80], "calls": e.count, "gpu_ms": e.self_device_time_total / 1e3,
         "host_ms": e.self_cpu_time_total / 1e3}
        for e in seen.key_averages()
    ]  # fmt: skip
    by_gpu = sorted(rows, key=lambda row: -row["gpu_ms"])[:30]
    by_host = sorted(rows, key=lambda row: -row["host_ms"])[:25]
    return [
        {k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()} for row in by_gpu + by_host
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scenes", nargs="+", required=True)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--work", type=Path, default=Path("out/engine_gpu"))
    parser.add_argument("--warm-up", action="store_true", help="a run with the preset preview first")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_threads(settings_from(os.environ).threads)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    found: dict[str, Any] = {
        "gpu": gpu, "torch": torch.__version__, "threads": thread_count(),
        "python": platform.python_version(), "rows": [],
    }  # fmt: skip
    if options.warm_up:
        found["warm_up_s"] = run_scene(options.data / options.scenes[0], options.work / "warm", "preview")[
            "wall_s"
        ]
        print("warm-up", found["warm_up_s"], flush=True)
    for scene in options.scenes:
        row = run_scene(options.data / scene, options.work / scene, options.preset)
        found["rows"].append(row)
        print(json.dumps(row), flush=True)
        options.out.write_text(json.dumps(found, indent=1))
    if options.profile:
        found["profile"] = profile(options.data / options.scenes[0], options.preset)
        for row in found["profile"]:
            print(json.dumps(row), flush=True)
    options.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
