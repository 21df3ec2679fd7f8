"""One row for each photo that was given: what became of it, why, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from objectscan.mesh.evidence import Evidence
from objectscan.types import Camera, Capture, Finding, MaskSource, PhotoRecord, Reconstruction, View

Status = Literal["used", "weak", "held_out", "left_out"]
LEAST_MASK_CONFIDENCE = 0.5
"""A mask that is trusted less makes a photo weak; an outline in place of a failed mask has 0.5."""
LEAST_POINTS = 30
"""A camera that rests on fewer sparse points is weak: `GOOD_OBSERVATIONS` of the solver."""


@dataclass(frozen=True, slots=True)
class PhotoCamera:
    """Where a photo was taken from, in the frame of delivered files."""

    position: tuple[float, float, float]
    forward: tuple[float, float, float]
    """Unit vector along the optical axis."""


@dataclass(frozen=True, slots=True)
class PhotoNote:
    """A finding, as far as it is about one photo."""

    code: str
    severity: Literal["info", "warning", "error"]
    message: str


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """All that the report tells about one photo."""

    number: int
    """From 1, in the order given; pictures of the page use it."""
    name: str
    view: str | None
    """Its name elsewhere in the report; None if it was left out."""
    status: Status
    """`weak` was used although something about it is doubtful."""
    reason: str
    """Why it was left out or is weak; else empty."""
    notes: tuple[PhotoNote, ...]
    """Findings that name it."""
    size: tuple[int, int] | None
    """(width, height) in pixels, as it was used."""
    sharpness: float | None
    points: int | None
    reprojection_error_px: float | None
    mask_source: MaskSource | None
    mask_confidence: float | None
    camera: PhotoCamera | None
    """None: not known, or the model has no place against the photos."""
    evidence: Mapping[str, float] | None
    """iou and psnr_db of the model against it, if it was compared."""


def photo_rows(
    evidence: Evidence,
    reconstruction: Reconstruction,
    *,
    fit: Capture,
    held_out: Capture,
    findings: Sequence[Finding],
) -> tuple[PhotoRow, ...]:
    """A row for each photo that the captures know of, left out ones included."""
    views = {view.name: view for view in (*fit.views, *held_out.views)}
    judged = {one.photo: {"iou": one.metrics.iou, "psnr_db": one.metrics.psnr_db} for one in evidence.views}
    kept = {view.name for view in held_out.views}
    is_placed = fit.cameras_known and reconstruction.is_registered
    rows = []
    records = _records(fit, held_out, views)
    for number, record in enumerate(records, start=1):
        view = views.get(record.view) if record.view is not None else None
        named = [finding for finding in findings if not {record.name, record.view}.isdisjoint(finding.photos)]
        doubt = _doubt(record, named, len(records))
        camera = _camera(record, view, reconstruction) if is_placed else None
        rows.append(
            PhotoRow(
                number=number,
                name=record.name,
                view=None if view is None else view.name,
                status=_status(view, doubt, kept),
                reason=(record.reason or "It can't be used.") if view is None else doubt,
                notes=tuple(PhotoNote(one.code, one.severity, one.message) for one in named),
                size=None if view is None else view.camera.size,
                sharpness=record.sharpness,
                points=record.points,
                reprojection_error_px=record.reprojection_error_px,
                mask_source=record.mask_source,
                mask_confidence=record.mask_confidence,
                camera=None if camera is None else _delivered(camera, fit.delivered_from_world),
                evidence=None if view is None else judged.get(view.name),
            )
        )
    return tuple(rows)


def _records(fit: Capture, held_out: Capture, views: Mapping[str, View]) -> tuple[PhotoRecord, ...]:
    """Both captures' records, each photo once; a view that nobody kept a record of gets an empty one."""
    records = {record.name: record for record in (*held_out.photos, *fit.photos)}
    ordered = {record.name: records[record.name] for record in (*fit.photos, *held_out.photos)}
    known = {record.view for record in ordered.values()}
    return (*ordered.values(), *(_unrecorded(view) for name, view in views.items() if name not in known))


def _unrecorded(view: View) -> PhotoRecord:
    return PhotoRecord(view.name, view.name, mask_source=None if view.mask is None else "user")


def _doubt(record: PhotoRecord, named: Sequence[Finding], photos: int) -> str:
    """Why a used photo is weak; empty if it is not. What is said of most photos is said of the set."""
    if record.mask_confidence is not None and record.mask_confidence < LEAST_MASK_CONFIDENCE:
        return f"Its mask is doubtful: confidence {record.mask_confidence:.2f}."
    if record.points is not None and record.points < LEAST_POINTS:
        return f"Its camera rests on {record.points} points; {LEAST_POINTS} are enough."
    serious = [one for one in named if one.severity != "info" and 2 * len(one.photos) <= photos]
    return f"See the note {serious[0].code}." if serious else ""


def _status(view: View | None, doubt: str, held_out: set[str]) -> Status:
    if view is None:
        return "left_out"
    if view.name in held_out:
        return "held_out"
    return "weak" if doubt else "used"


def _camera(
    record: PhotoRecord, view: View | None, reconstruction: Reconstruction
) -> Float[np.ndarray, "4 4"] | None:
    """World from camera, as the engine refined it if it did."""
    if view is None:
        return record.world_from_camera
    refined: Camera = reconstruction.cameras.get(view.name, view.camera)
    return refined.world_from_camera


def _delivered(
    world_from_camera: Float[np.ndarray, "4 4"], delivered_from_world: Float[np.ndarray, "4 4"]
) -> PhotoCamera:
    place = delivered_from_world @ world_from_camera
    x, y, z = place[:3, 3].tolist()
    across, up, ahead = place[:3, 2].tolist()
    return PhotoCamera((x, y, z), (across, up, ahead))
