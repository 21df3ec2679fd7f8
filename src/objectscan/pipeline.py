"""The whole flow on one screen: `reconstruct`. Everything else serves one of its lines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import objectscan
from objectscan import selection, version
from objectscan.archive import capture_hash, reconstruction_arrays, reconstruction_from
from objectscan.capture import ImageLimits, hold_out, ingest, load_capture
from objectscan.capture.plain import STAGES as PLAIN_STAGES
from objectscan.capture.plain import PlainOptions, is_plain, plain_findings, posed_capture, was_plain
from objectscan.capture.records import joined, read_records
from objectscan.capture.segment.model import segmenter_from
from objectscan.capture.solve import SolveLimits
from objectscan.capture.unposed import STAGES as UNPOSED_STAGES
from objectscan.capture.unposed import unposed_capture
from objectscan.delivery import Asset, deliver, judge
from objectscan.engines.base import device_for, engine_named
from objectscan.errors import BadWorkspace, InputError
from objectscan.memory import free_memory_bytes, require_memory
from objectscan.mesh.preview import webp_bytes
from objectscan.recipes import Recipe, expanded
from objectscan.settings import Settings
from objectscan.stages import StageClock
from objectscan.types import Capture, Progress, ProgressFn, Reconstruction, ignore_progress
from objectscan.workspace import (
    CAPTURE_FOLDER,
    RESULT,
    Workspace,
    load_result,
    locked,
    open_workspace,
    read_job,
    require_usable,
)

__all__ = ["Asset", "deliver_folder", "never", "optimise", "read_capture", "reconstruct", "stage_shares"]

_CAPTURE_SHARE, _EVALUATE_SHARE, _PREVIEW_SHARE = 0.01, 0.02, 0.05
"""Measured on the sample capture, two cores: 0.1 s, 1.4 s, 3.7 s of 57 s with the preset `preview`."""
_NEEDS_NO_CAMERAS = ("reconviagen",)
_PLAIN_SHARE = 0.3
"""Cameras and masks of plain photos, against the rest as 1."""


def never() -> bool:
    """Asks nobody: the job is not cancelled."""
    return False


def reconstruct(
    photos: Path, recipe: Recipe, out: Path, *, settings: Settings, seed: int = 0, overwrite: bool = False,
    report: ProgressFn = ignore_progress, cancelled: Callable[[], bool] = never,
) -> Asset:  # fmt: skip
    """Photos of one object in, a delivered textured asset and an honest quality report out.

    Args:
        photos: A capture with cameras and masks, see docs/architecture/01-capture.md; or a folder of plain
            photographs, whose cameras and masks are found first and kept in `out/capture`.
        recipe: What to make of it.
        out: The job's folder. A run that was stopped goes on after its last finished stage.
        settings: Limits of this machine.
        seed: Results repeat for a seed on one machine.
        overwrite: Whether another job's finished result in `out` may be replaced.
        report: Receives progress; `Progress.fraction` is the stage's own; `stages.Outlook` sums up.
        cancelled: Asked whenever a stage reports, about once a second.

    Raises:
        InputError: The photos, cameras or masks can't be used, or `out` is not ours.
        ReconstructionError: They did not work out; the report is written all the same if there is a surface.
        ResourceError: This machine can't do it.
        ExportError: A file can't be written.
        Cancelled: On request; the folder can be resumed.
    """
    require_usable(out)
    clock = StageClock(report, cancelled)
    photos, recipe = _with_cameras(photos, recipe, out, clock, seed=seed, settings=settings)
    capture = read_capture(photos, settings, clock.report)
    recipe, capture = selection.decided(recipe, capture, photos, settings, clock.report)
    fit, held_out = _split(photos, capture, expanded(recipe), settings)
    job = _job(photos, capture, recipe, seed)
    with open_workspace(out, job, overwrite=overwrite) as workspace:
        result = _optimised(fit, recipe, workspace, clock, seed=seed, settings=settings)
        judged = judge(result, fit, held_out, clock)
        return deliver(judged, job, workspace, clock)


def optimise(
    photos: Path, recipe: Recipe, out: Path, *, settings: Settings, seed: int = 0, overwrite: bool = False,
    report: ProgressFn = ignore_progress, cancelled: Callable[[], bool] = never,
) -> Reconstruction:  # fmt: skip
    """The first half of `reconstruct`: up to the engine's result, which stays in `out`."""
    require_usable(out)
    clock = StageClock(report, cancelled)
    photos, recipe = _with_cameras(photos, recipe, out, clock, seed=seed, settings=settings)
    capture = read_capture(photos, settings, clock.report)
    recipe, capture = selection.decided(recipe, capture, photos, settings, clock.report)
    fit, _ = _split(photos, capture, expanded(recipe), settings)
    with open_workspace(out, _job(photos, capture, recipe, seed), overwrite=overwrite) as workspace:
        return _optimised(fit, recipe, workspace, clock, seed=seed, settings=settings)


def deliver_folder(
    out: Path,
    *,
    settings: Settings,
    report: ProgressFn = ignore_progress,
    cancelled: Callable[[], bool] = never,
) -> Asset:
    """The second half of `reconstruct`: judge the result in `out`, write model, previews and report (again).

    Raises:
        BadWorkspace: `out` holds no finished result, or the photos are not those that it was made from.
        ReconstructionError: The model shows something else than the photos.
    """
    job, result = read_job(out), load_result(out)
    clock = StageClock(report, cancelled)
    capture = read_capture(Path(job["capture"]), settings, clock.report)
    if capture_hash(capture) != job["capture_hash"]:
        raise BadWorkspace(
            f"The photos in {job['capture']} have changed since {out} was made.",
            hint="Reconstruct them again, or put the old photos back.",
        )
    fit, held_out = _split(Path(job["capture"]), capture, job["recipe"], settings)
    with open_workspace(out, job) as workspace:
        clock.seconds.update({**_earlier_seconds(workspace), **clock.seconds})
        return deliver(judge(result, fit, held_out, clock), job, workspace, clock)


def read_capture(photos: Path, settings: Settings, report: ProgressFn = ignore_progress) -> Capture:
    """A capture as a person has it, or a folder that the stage `ingest` wrote.

    Raises:
        InputError: It can't be used; the message names the file.
    """
    if not photos.exists():
        raise InputError(f"There is no capture at {photos}.", hint="Give a folder or a transforms.json.")
    report(Progress("capture", 0.0))
    is_ingested = (photos / "findings.json").is_file() and (photos / "transforms.json").is_file()
    limits = ImageLimits(**settings.image_limits())
    capture = load_capture(photos) if is_ingested else ingest(photos, limits, report)
    report(Progress("capture", 1.0, f"{len(capture.views)} photos"))
    if was_plain(photos):
        records = joined(read_records(photos), capture.photos)
        return replace(capture, findings=(*plain_findings(photos), *capture.findings), photos=records)
    return capture


def stage_shares(recipe: Recipe, *, plain: bool = False) -> tuple[tuple[str, float], ...]:
    """(stage, share of the whole time), in order, for `stages.Outlook`; `plain` photos have more stages.

    Before `auto` has chosen, those of `nvdiffrec`.

    Raises:
        BadRecipe: No such engine.
    """
    rest = 1.0 - _CAPTURE_SHARE - _EVALUATE_SHARE - _PREVIEW_SHARE
    expected = "nvdiffrec" if recipe.engine == selection.AUTO else recipe.engine
    engine = tuple((name, rest * share) for name, share in engine_named(expected).stages)
    of_plain = UNPOSED_STAGES if recipe.engine in _NEEDS_NO_CAMERAS else PLAIN_STAGES
    before = tuple((name, _PLAIN_SHARE * share) for name, share in of_plain) if plain else ()
    after = ("evaluate", _EVALUATE_SHARE), ("preview", _PREVIEW_SHARE)
    return (*before, ("capture", _CAPTURE_SHARE), *engine, *after)


def _with_cameras(
    photos: Path, recipe: Recipe, out: Path, clock: StageClock, *, seed: int, settings: Settings
) -> tuple[Path, Recipe]:
    """The capture to read, and the recipe for it: cameras found from photos alone are refined on the way.

    For an engine that needs no cameras none are searched.
    """
    if not is_plain(photos):
        return photos, recipe
    limits, segmenter = ImageLimits(**settings.image_limits()), segmenter_from(settings)
    if recipe.engine in _NEEDS_NO_CAMERAS:
        with locked(out):
            return unposed_capture(photos, out / CAPTURE_FOLDER, limits, segmenter, clock.report), recipe
    options = PlainOptions(
        limits,
        SolveLimits(threads=settings.threads),
        segmenter,
        seed,
        _four(recipe.masks.box),
        recipe.masks.make,
    )
    with locked(out):
        try:
            posed = posed_capture(photos, out / CAPTURE_FOLDER, options, clock.report)
        except selection.UNREGISTRABLE as problem:
            selection.require_generator(recipe, problem, settings)
            return unposed_capture(photos, out / CAPTURE_FOLDER, limits, segmenter, clock.report), recipe
    return posed, replace(recipe, refine_cameras=True)


def _four(box: tuple[float, ...]) -> tuple[float, float, float, float] | None:
    return (box[0], box[1], box[2], box[3]) if box else None


def _split(
    photos: Path, capture: Capture, recipe: Mapping[str, Any], settings: Settings
) -> tuple[Capture, Capture]:
    """As `hold_out`; nothing is held out where the model can't be compared with photos anyway."""
    if recipe["engine"] in _NEEDS_NO_CAMERAS or not capture.cameras_known:
        return capture, replace(capture, views=())
    return hold_out(photos, capture, ImageLimits(**settings.image_limits()), every=recipe["hold_out_every"])


def _optimised(
    fit: Capture, recipe: Recipe, workspace: Workspace, clock: StageClock, *, seed: int, settings: Settings
) -> Reconstruction:
    clock.seconds.update({**_earlier_seconds(workspace), **clock.seconds})
    saved = workspace.load(RESULT)
    if saved is not None:
        return reconstruction_from(saved)
    engine = engine_named(recipe.engine)
    needed_bytes = engine.memory_bytes(fit, recipe)
    require_memory(needed_bytes, free_bytes=free_memory_bytes(), share=settings.memory_share)
    clock.on_preview = lambda progress: _show(workspace, progress)
    engine.prepare(device_for(settings), settings)
    checkpoints = _TimedCheckpoints(workspace, clock)
    result = engine.reconstruct(fit, recipe, seed=seed, report=clock.report, checkpoints=checkpoints)
    checkpoints.save(RESULT, reconstruction_arrays(result))
    return result


@dataclass(frozen=True, slots=True)
class _TimedCheckpoints:
    """The workspace's checkpoints, and with each the time of the stages so far: a resumed run reports all."""

    workspace: Workspace
    clock: StageClock

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        return self.workspace.load(name)

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        self.workspace.save(name, arrays)
        seconds = self.clock.seconds
        self.workspace.save(
            "seconds", {"stages": np.array(list(seconds)), "seconds": np.array([*seconds.values()])}
        )


def _earlier_seconds(workspace: Workspace) -> dict[str, float]:
    saved = workspace.load("seconds")
    return (
        {} if saved is None else dict(zip(saved["stages"].tolist(), saved["seconds"].tolist(), strict=True))
    )


def _show(workspace: Workspace, progress: Progress) -> None:
    if progress.preview_srgb is not None:
        workspace.write("progress.webp", webp_bytes(progress.preview_srgb))


def _job(photos: Path, capture: Capture, recipe: Recipe, seed: int) -> dict[str, Any]:
    return {
        "recipe": expanded(recipe), "seed": seed, "version": version(), "source": _source_hash(),
        "capture": str(photos.resolve()), "capture_hash": capture_hash(capture),
    }  # fmt: skip


def _source_hash() -> str:
    """Fingerprint of the package's own code: a result of other code is not resumed. About 10 ms."""
    folder = Path(objectscan.__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
