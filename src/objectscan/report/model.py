"""report.json: everything that is known about one result, under a documented, versioned schema.

Schema 1 (docs/verdict.md explains the numbers):

    schema_version  "1"; a change that breaks readers raises it
    made_at         ISO 8601, UTC
    software        {name, version}
    engine, seed    what made the result; with recipe and version it can be repeated
    recipe          the fully expanded recipe
    capture         {photos, fit: [names], held_out: [names], scale_known}
    photos          [{number, name, view, status, reason, notes, size, sharpness, points,
                    reprojection_error_px, mask_source, mask_confidence, camera: {position, forward},
                    evidence: {iou, psnr_db}}]: each photo that was given (report/photos.py: PhotoRow).
                    status: used; weak (used, but reason says what is doubtful); held_out (kept as
                    evidence); left_out (reason says why). view is its name in capture and evidence; camera
                    is in the frame of delivered files. What is not known is null
    delivered_from_world  4 x 4, row by row: a rotation from the cameras' world to delivered files
    asset           {vertices, faces, texture_size_px, invented_faces, files: {name: bytes}}
    verdict         {profile, grade, score, deciding, reason, rows: [{name, label, value, high, medium, ...}]}
    evidence        {source, views: [{photo, size, metrics}], means, worst, seen_once, seen_twice, topology}
    warnings        [{code, severity, message, photos}] of evidence, engine and photos, most severe first;
                    a code that the evidence has is not repeated from the photos
    passes          [{name, steps, seconds, facts}]; a pass that is not listed did not run
    stages          [{name, seconds, share}] where the time went, in order
    seconds         sum of the stages
    peak_memory_bytes  most that the process ever held, or null
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from objectscan.mesh.evidence import Evidence, as_plain
from objectscan.report.photos import photo_rows
from objectscan.types import Capture, Finding, Reconstruction

SCHEMA_VERSION = "1"
_SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Run:
    """How a result came about."""

    version: str
    """Of the software."""
    engine: str
    seed: int
    recipe: Mapping[str, Any]
    """Fully expanded, as JSON values."""
    stage_seconds: Mapping[str, float]
    """Wall time by stage, in the order in which the stages ran."""
    made_at: str
    """ISO 8601, UTC."""
    peak_memory_bytes: int | None = None
    """Most that the process ever held."""
    file_bytes: Mapping[str, int] = field(default_factory=dict)
    """Size of each delivered file, by its name."""


def report_document(
    evidence: Evidence,
    reconstruction: Reconstruction,
    *,
    fit: Capture,
    held_out: Capture,
    run: Run,
) -> dict[str, Any]:
    """The report as JSON values, by the schema above."""
    plain = evidence.as_json()
    judged = {name: value for name, value in plain.items() if name not in ("verdict", "warnings")}
    findings = report_findings(evidence, reconstruction, fit=fit, held_out=held_out)
    seconds = sum(run.stage_seconds.values())
    document = {
        "schema_version": SCHEMA_VERSION,
        "made_at": run.made_at,
        "software": {"name": "objectscan", "version": run.version},
        "engine": run.engine,
        "seed": run.seed,
        "recipe": dict(run.recipe),
        "capture": {
            "photos": len(fit.views) + len(held_out.views),
            "fit": [view.name for view in fit.views],
            "held_out": [view.name for view in held_out.views],
            "scale_known": fit.scale_known,
        },
        "photos": photo_rows(evidence, reconstruction, fit=fit, held_out=held_out, findings=findings),
        "asset": {
            "vertices": len(reconstruction.mesh.vertices),
            "faces": len(reconstruction.mesh.faces),
            "texture_size_px": reconstruction.material.base_color_srgb.shape[0],
            "invented_faces": len(reconstruction.invented_faces),
            "files": dict(run.file_bytes),
        },
        "verdict": plain["verdict"],
        "evidence": judged,
        "warnings": findings,
        "passes": list(reconstruction.passes),
        "stages": [
            {"name": name, "seconds": spent, "share": spent / seconds if seconds else 0.0}
            for name, spent in run.stage_seconds.items()
        ],
        "seconds": seconds,
        "peak_memory_bytes": run.peak_memory_bytes,
    }
    plain_document: dict[str, Any] = as_plain(document)
    # In full: with six digits the rotation would move a model of 1 m by micrometres.
    return plain_document | {"delivered_from_world": fit.delivered_from_world.tolist()}


def report_findings(
    evidence: Evidence, reconstruction: Reconstruction, *, fit: Capture, held_out: Capture
) -> list[Finding]:
    """All findings of evidence, engine and photos, as `merged_findings`."""
    said = {finding.code for finding in evidence.warnings}
    of_photos = [finding for finding in (*fit.findings, *held_out.findings) if finding.code not in said]
    return merged_findings((*evidence.warnings, *reconstruction.findings, *of_photos))


def merged_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, most severe first; of two with one code and the same photos the first is kept."""
    kept: dict[tuple[str, tuple[str, ...]], Finding] = {}
    for finding in findings:
        kept.setdefault((finding.code, finding.photos), finding)
    return sorted(kept.values(), key=lambda finding: _SEVERITIES.index(finding.severity))
