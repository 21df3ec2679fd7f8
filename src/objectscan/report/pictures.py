"""The pictures that the page embeds, within a budget of bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from objectscan.mesh.evidence import Evidence
from objectscan.report.model import report_findings
from objectscan.report.photos import photo_rows
from objectscan.report.plans import Plan, camera_plans
from objectscan.report.thumbnails import Thumbnail, thumbnails
from objectscan.types import Capture, Reconstruction

STRIPS_BYTES = 1_500_000
"""For all strips of photo, render and difference; one has 20 to 90 kB. The worst views come first."""


@dataclass(frozen=True, slots=True)
class ReportPictures:
    """WebP files and drawings; what is missing is left out of the page."""

    still: bytes | None = None
    turntable: bytes | None = None
    strips: Mapping[str, bytes] = field(default_factory=dict)
    """Photo | render | difference, by photo name."""
    thumbnails: Mapping[int, Thumbnail] = field(default_factory=dict)
    """By the number of the photo's row."""
    plans: Sequence[Plan] = ()
    """The cameras around the model."""


def report_pictures(
    evidence: Evidence,
    reconstruction: Reconstruction,
    *,
    fit: Capture,
    held_out: Capture,
    strips: Mapping[str, bytes],
    still: bytes | None = None,
    turntable: bytes | None = None,
) -> ReportPictures:
    """Thumbnails and drawings of the photos, with what is known of the model; about 15 ms a photo.

    Args:
        evidence: Its views decide which strips are worth their bytes.
        reconstruction: Its surface is drawn between the cameras.
        fit: Photos that the model was made from.
        held_out: Photos that were kept.
        strips: WebP files by photo name.
        still: A WebP file.
        turntable: An animated WebP file.
    """
    findings = report_findings(evidence, reconstruction, fit=fit, held_out=held_out)
    rows = photo_rows(evidence, reconstruction, fit=fit, held_out=held_out, findings=findings)
    return ReportPictures(
        still,
        turntable,
        _worst_strips(evidence, strips),
        thumbnails(rows, fit=fit, held_out=held_out),
        camera_plans(rows, reconstruction.mesh, fit.delivered_from_world),
    )


def _worst_strips(evidence: Evidence, strips: Mapping[str, bytes]) -> dict[str, bytes]:
    kept: dict[str, bytes] = {}
    left = STRIPS_BYTES
    for view in sorted(evidence.views, key=lambda view: view.metrics.iou):
        strip = strips.get(view.photo)
        if strip is not None and len(strip) <= left:
            kept[view.photo] = strip
            left -= len(strip)
    return kept
