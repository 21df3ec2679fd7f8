"""The whole flow on one screen: `reconstruct`. Everything else serves one of its lines."""

from __future__ import annotations

import datetime
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from objectscan import version
from objectscan.capture import ingest, split_views
from objectscan.engines.base import Engine, engine_named
from objectscan.errors import Cancelled, InputError, ReconstructionError
from objectscan.memory import free_memory_bytes, require_memory
from objectscan.mesh.evidence import Evidence
from objectscan.mesh.export.glb import write_glb
from objectscan.mesh.preview import (
    Studio,
    animated_webp_bytes,
    still_picture,
    turntable_pictures,
    webp_bytes,
)
from objectscan.mesh.quality import ViewPair, evaluate
from objectscan.mesh.strips import contact_sheet, view_strip
from objectscan.recipes import Recipe, expanded
from objectscan.report import ReportPictures, Run, report_document, write_report
from objectscan.settings import Settings
from objectscan.types import Capture, Mesh, Progress, ProgressFn, Reconstruction, ignore_progress
from objectscan.workspace import (
    Workspace,
    content_hash,
    open_workspace,
    reconstruction_arrays,
    reconstruction_from,
)

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Asset:
    """What was delivered."""

    folder: Path
    model: Path
    report: Path
    evidence: Evidence


def reconstruct(
    photos: Path,
    recipe: Recipe,
    out: Path,
    *,
    settings: Settings,
    seed: int = 0,
    report: ProgressFn = ignore_progress,
    cancelled: Callable[[], bool] = lambda: False,
) -> Asset:
    """Photos of one object in, a delivered textured asset and an honest quality report out.

    Args:
        photos: A capture with cameras and masks, see docs/architecture/01-capture.md.
        recipe: What to make of it.
        out: The job's folder. A run that was stopped resumes after its last finished stage.
        settings: Limits of this machine.
        seed: Results repeat for a seed on one machine.
        report: Receives progress; `Progress.fraction` is that of its stage.
        cancelled: Asked at each report, at least once a second.

    Raises:
        InputError: The photos, cameras or masks can't be used, or `out` is not ours.
        ReconstructionError: They did not work out; the report is written all the same if there is a surface.
        ResourceError: This machine can't do it.
        Cancelled: On request; the folder can be resumed.
    """
    with open_workspace(out, _job(photos, recipe, seed)) as workspace:
        watch = _Stages(workspace, report, cancelled)
        engine = engine_named(recipe.engine)
        capture = watch.timed("capture", lambda: ingest(photos, settings.image_limits(), watch.report))
        fit, held_out = split_views(capture, every=recipe.hold_out_every)
        require_memory(
            engine.memory_bytes(fit, recipe), free_bytes=free_memory_bytes(), share=settings["memory_share"]
        )
        result = watch.timed("engine", lambda: _optimised(engine, fit, recipe, seed, workspace, watch.report))
        pairs: list[ViewPair] = []
        evidence = watch.timed(
            "evaluate", lambda: evaluate(result, held_out, fit, watch.report, on_pair=pairs.append)
        )
        return _deliver(workspace, watch, _Delivery(result, evidence, fit, held_out, pairs, recipe, seed))


@dataclass(frozen=True, slots=True)
class _Delivery:
    result: Reconstruction
    evidence: Evidence
    fit: Capture
    held_out: Capture
    pairs: list[ViewPair]
    recipe: Recipe
    seed: int


@dataclass(slots=True)
class _Stages:
    """Passes progress on, asks for cancellation, and keeps the time of each stage."""

    workspace: Workspace
    listener: ProgressFn
    cancelled: Callable[[], bool]
    seconds: dict[str, float] = field(default_factory=dict)
    _began: dict[str, float] = field(default_factory=dict)

    def report(self, progress: Progress) -> None:
        """What stages call."""
        if self.cancelled():
            raise Cancelled("Stopped on request.", hint="Run the same command again to go on.")
        now = time.perf_counter()
        began = self._began.setdefault(progress.stage, now)
        self.seconds[progress.stage] = now - began
        if progress.preview_srgb is not None:
            self.workspace.write("progress.webp", webp_bytes(progress.preview_srgb))
        self.listener(progress)

    def timed(self, stage: str, work: Callable[[], _Result]) -> _Result:
        """Run one line of the flow; its time is that not already told by finer stages."""
        began, told = time.perf_counter(), sum(self.seconds.values())
        result = work()
        rest = time.perf_counter() - began - (sum(self.seconds.values()) - told)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + max(rest, 0.0)
        return result


def _job(photos: Path, recipe: Recipe, seed: int) -> Mapping[str, object]:
    if not photos.exists():
        raise InputError(f"There is no capture at {photos}.", hint="Give a folder or a transforms.json.")
    source = photos.parent if photos.is_file() else photos
    return {
        "recipe": expanded(recipe), "seed": seed, "version": version(), "capture": str(photos.resolve()),
        "capture_hash": content_hash(source),
    }  # fmt: skip


def _optimised(
    engine: Engine, fit: Capture, recipe: Recipe, seed: int, workspace: Workspace, report: ProgressFn
) -> Reconstruction:
    saved = workspace.load("result")
    if saved is not None:
        return reconstruction_from(saved)
    engine.prepare("cpu")
    result = engine.reconstruct(fit, recipe, seed=seed, report=report, checkpoints=workspace)
    workspace.save("result", reconstruction_arrays(result))
    return result


def _deliver(workspace: Workspace, watch: _Stages, delivery: _Delivery) -> Asset:
    """Model, previews and report; a result that shows something else is written down and then refused."""
    result, delivered_from_world = delivery.result, delivery.fit.delivered_from_world
    model, still, turntable = watch.timed("preview", lambda: _files(workspace, watch.report, delivery))
    strips = {pair.name: webp_bytes(view_strip(pair.photo, pair.render)) for pair in delivery.pairs}
    sizes = {path.name: path.stat().st_size for path in (model, *sorted((workspace.folder / "previews").iterdir()))}
    run = Run(
        version=version(), engine=delivery.recipe.engine, seed=delivery.seed, recipe=expanded(delivery.recipe),
        stage_seconds=watch.seconds, made_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        file_bytes=sizes,
    )  # fmt: skip
    document = report_document(
        delivery.evidence, result, fit=delivery.fit, held_out=delivery.held_out, run=run
    )
    document["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    document["delivered_from_world"] = np.asarray(delivered_from_world).tolist()
    path, _ = write_report(workspace.folder, document, ReportPictures(still, turntable, strips))
    if delivery.evidence.verdict.grade == "failed":
        raise ReconstructionError(
            f"The model does not show the object: {delivery.evidence.verdict.reason}",
            hint=f"Look at {workspace.folder / 'report.html'}; check cameras and masks.",
        )
    return Asset(workspace.folder, model, path, delivery.evidence)


def _files(workspace: Workspace, report: ProgressFn, delivery: _Delivery) -> tuple[Path, bytes, bytes]:
    result, delivered_from_world = delivery.result, delivery.fit.delivered_from_world
    rotation, shift = delivered_from_world[:3, :3], delivered_from_world[:3, 3]
    vertices = (result.mesh.vertices.astype(np.float64) @ rotation.T + shift).astype(np.float32)
    model = workspace.folder / "model.glb"
    extras = {"software": f"objectscan {version()}", "verdict": delivery.evidence.verdict.grade}
    write_glb(model, Mesh(vertices, result.mesh.faces), result.uv, result.material, extras=extras)
    studio = Studio(result, delivered_from_world)
    still = webp_bytes(still_picture(studio))
    turntable = animated_webp_bytes(turntable_pictures(studio, report=report))
    workspace.write("previews/preview.webp", still)
    workspace.write("previews/turntable.webp", turntable)
    if delivery.pairs:
        strips = [view_strip(pair.photo, pair.render) for pair in delivery.pairs]
        sheet = contact_sheet(strips, [pair.name for pair in delivery.pairs])
        workspace.write("previews/contact_sheet.webp", webp_bytes(sheet))
    return model, still, turntable
