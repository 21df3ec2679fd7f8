"""From a reconstruction and its evidence to the files that a person takes away."""

from __future__ import annotations

import datetime
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from objectscan.errors import ReconstructionError
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
from objectscan.report import ReportPictures, Run, report_document, report_pictures, write_report
from objectscan.stages import StageClock
from objectscan.types import Capture, Progress, Reconstruction
from objectscan.workspace import Workspace

STAGE = "preview"


@dataclass(frozen=True, slots=True)
class Asset:
    """What was delivered."""

    folder: Path
    model: Path
    report: Path
    """report.json; report.html lies beside it."""
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Judged:
    """A reconstruction with its evidence and the pictures that belong to it."""

    result: Reconstruction
    fit: Capture
    held_out: Capture
    evidence: Evidence
    strips: Mapping[str, UInt8[np.ndarray, "h w 3"]]
    """Photo | render | difference, by photo name."""


def judge(result: Reconstruction, fit: Capture, held_out: Capture, clock: StageClock) -> Judged:
    """Compare the model with photos that it was not made from; see `mesh.quality.evaluate` for errors."""
    strips: dict[str, UInt8[np.ndarray, "h w 3"]] = {}

    def keep(pair: ViewPair) -> None:
        # At once: the float pictures of 50 views would take 1.6 GB, their strips 60 MB.
        strips[pair.name] = view_strip(pair.photo, pair.render)

    evidence = evaluate(result, held_out, fit, clock.report, on_pair=keep)
    return Judged(result, fit, held_out, evidence, strips)


def deliver(judged: Judged, job: Mapping[str, Any], workspace: Workspace, clock: StageClock) -> Asset:
    """Write model.glb, previews and report.

    Raises:
        ReconstructionError: The model shows something else than the photos; its files are written.
        ExportError: A file can't be written.
    """
    model = _write_model(judged, job, workspace.folder)
    pictures = _write_previews(judged, workspace, clock)
    clock.report(Progress(STAGE, 1.0))
    made_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    names = (
        "model.glb",
        *(f"previews/{path.name}" for path in sorted((workspace.folder / "previews").glob("*.webp"))),
    )
    run = Run(
        version=job["version"], engine=job["recipe"]["engine"], seed=job["seed"], recipe=job["recipe"],
        stage_seconds=clock.seconds, made_at=made_at,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        file_bytes={name: (workspace.folder / name).stat().st_size for name in names},
    )  # fmt: skip
    document = report_document(
        judged.evidence, judged.result, fit=judged.fit, held_out=judged.held_out, run=run
    )
    report, page = write_report(workspace.folder, document, pictures)
    verdict = judged.evidence.verdict
    if verdict.grade == "failed":
        raise ReconstructionError(
            f"The model does not show the object: {verdict.reason}.",
            hint=f"Look at {page}; check cameras and masks.",
        )
    return Asset(workspace.folder, model, report, judged.evidence)


def _write_model(judged: Judged, job: Mapping[str, Any], folder: Path) -> Path:
    path = folder / "model.glb"
    extras = {
        "software": f"objectscan {job['version']}", "seed": job["seed"], "preset": job["recipe"]["preset"],
        "verdict": judged.evidence.verdict.grade,
    }  # fmt: skip
    result = judged.result
    frame = judged.fit.delivered_from_world
    write_glb(path, result.mesh, result.uv, result.material, delivered_from_world=frame, extras=extras)
    return path


def _write_previews(judged: Judged, workspace: Workspace, clock: StageClock) -> ReportPictures:
    clock.report(Progress(STAGE, 0.0, "pictures"))
    studio = Studio(judged.result, judged.fit.delivered_from_world)
    still = webp_bytes(still_picture(studio))
    turntable = animated_webp_bytes(turntable_pictures(studio, report=clock.report))
    workspace.write("previews/preview.webp", still)
    workspace.write("previews/turntable.webp", turntable)
    if judged.strips:  # without cameras no photo can be laid beside the model
        sheet = contact_sheet(list(judged.strips.values()), list(judged.strips))
        workspace.write("previews/contact_sheet.webp", webp_bytes(sheet))
    clock.report(Progress(STAGE, 0.95, "report"))
    return report_pictures(
        judged.evidence, judged.result, fit=judged.fit, held_out=judged.held_out,
        strips={name: webp_bytes(strip) for name, strip in judged.strips.items()},
        still=still, turntable=turntable,
    )  # fmt: skip
