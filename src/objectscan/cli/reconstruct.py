"""`objectscan reconstruct`: the pipeline with progress for a person or a machine."""

from __future__ import annotations

import json
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from objectscan.cli.output import Output
from objectscan.cli.setup import machine_settings
from objectscan.engines.base import engine_named
from objectscan.errors import BadRecipe, Cancelled
from objectscan.pipeline import Asset, reconstruct
from objectscan.recipes import recipe_for
from objectscan.render import set_threads
from objectscan.types import Progress as StageProgress

_BEFORE, _AFTER = (("capture", 0.01),), (("evaluate", 0.03), ("preview", 0.04))


def reconstruct_capture(
    capture: Path, out: Path, preset: str, engine: str, seed: int, options: list[str], output: Output
) -> None:
    """Run the pipeline; Ctrl-C stops it within a second and leaves a folder that can be resumed."""
    settings = machine_settings()
    recipe = recipe_for(preset, dict(_option(text) for text in options))
    if engine != "auto":
        engine_named(engine)
    torch.set_num_threads(1)  # more spin against the kernels' own threads: 357 ms a step instead of 39
    set_threads(settings.threads)
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    try:
        with _Display(engine_named(recipe.engine).stages, output) as display:
            asset = reconstruct(
                capture, recipe, out, settings=settings, seed=seed, report=display.report, cancelled=lambda: bool(stopped)
            )
    except Cancelled as stop:
        command = f"objectscan reconstruct {shlex.quote(str(capture))} -o {shlex.quote(str(out))} --preset {preset}"
        raise Cancelled("Stopped.", hint=f"To go on where it stopped: {command}") from stop
    finally:
        signal.signal(signal.SIGINT, before)
    _tell(asset, output)


def _option(text: str) -> tuple[str, Any]:
    name, found, value = text.partition("=")
    if not found:
        raise BadRecipe(f"'--set {text}' has no value.", hint="Write --set NAME=VALUE, e.g. budget.faces=5000.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _tell(asset: Asset, output: Output) -> None:
    for finding in asset.evidence.warnings:
        output.finding(finding)
    verdict = asset.evidence.verdict
    values = {"grade": verdict.grade, "score": verdict.score, "reason": verdict.reason, "folder": str(asset.folder)}
    text = f"Quality {verdict.grade}: {verdict.reason}\n{asset.model}\n{asset.folder / 'report.html'}"
    output.event("done", values, text)


class _Display:
    """Overall progress: the stages' measured shares of the time, a bar, and what is left."""

    def __init__(self, stages: tuple[tuple[str, float], ...], output: Output):
        share = 1.0 - sum(weight for _, weight in (*_BEFORE, *_AFTER))
        scaled = tuple((name, weight * share) for name, weight in stages)
        self._starts: dict[str, tuple[float, float]] = {}
        position = 0.0
        for name, weight in (*_BEFORE, *scaled, *_AFTER):
            self._starts[name] = position, weight
            position += weight
        self._output, self._began, self._told = output, time.monotonic(), 0.0
        columns = TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()
        self._bar = Progress(*columns, console=Console(stderr=True), disable=output.as_json)
        self._task: TaskID = self._bar.add_task("capture", total=1.0, note="")

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def report(self, progress: StageProgress) -> None:
        """Receives the pipeline's progress."""
        start, weight = self._starts.get(progress.stage, (0.0, 0.0))
        fraction = min(1.0, start + weight * progress.fraction)
        elapsed = time.monotonic() - self._began
        remaining_s = elapsed * (1.0 - fraction) / fraction if fraction > 0.02 else None
        left = "" if remaining_s is None else f"about {int(remaining_s) // 60}:{int(remaining_s) % 60:02d} left"
        self._bar.update(self._task, description=progress.stage, completed=fraction, note=left)
        if self._output.as_json and (elapsed - self._told > 0.5 or progress.fraction in (0.0, 1.0)):
            self._told = elapsed
            values = {"stage": progress.stage, "stage_fraction": round(progress.fraction, 4), "message": progress.message}
            self._output.event("progress", {**values, "fraction": round(fraction, 4), "remaining_s": remaining_s}, "")
