"""`objectscan inspect`: what photos support, before any time is spent on them."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from objectscan.capture import CaptureSummary, ImageLimits, ingest, inspect_capture
from objectscan.capture.archives import is_archive, unpack_photos
from objectscan.capture.checks import Judgement, judge_photos, thresholds
from objectscan.capture.gather import gather
from objectscan.capture.photoset import PhotoSet
from objectscan.capture.plain import is_plain
from objectscan.cli.output import Output
from objectscan.settings import Settings
from objectscan.types import Finding


def run(photos: Path, *, settings: Settings, output: Output) -> None:
    """Tell findings and facts of a capture, or of plain photos. Masks may be missing."""
    limits = ImageLimits(**settings.image_limits())
    if is_plain(photos):
        _run_plain(photos, limits, output)
    else:
        _run_posed(photos, limits, output)


def _run_plain(photos: Path, limits: ImageLimits, output: Output) -> None:
    """What each photo is worth by itself and beside the others; where they were taken is not looked for."""
    with tempfile.TemporaryDirectory(prefix="objectscan-inspect-") as folder:
        work = Path(folder)
        # No check looks at more pixels; a JPEG of 12 megapixels is then decoded at a quarter.
        small = dataclasses.replace(limits, max_edge_px=min(limits.max_edge_px, thresholds.EDGE_PX))
        unpacked = unpack_photos(photos, work / "unpacked") if is_archive(photos) else photos
        photo_set = gather(unpacked, work, small)
        judgement = judge_photos(photo_set)
    findings = (*photo_set.findings, *judgement.findings)
    for finding in findings:
        output.finding(finding)
    for facts in judgement.photos:
        named = _named(facts.name, findings)
        values = {**dataclasses.asdict(facts), "findings": named}
        text = f"{facts.name:<30} sharpness {facts.sharpness:.2f}  details {facts.keypoints:>3}  "
        output.event("photo", values, text + (", ".join(named) or "good"))
    summary = {"photos": len(judgement.photos), "ordered": photo_set.is_ordered, "refused": judgement.reason}
    output.event("summary", summary, _plain_in_words(photo_set, judgement))


def _named(photo: str, findings: tuple[Finding, ...]) -> list[str]:
    return [finding.code for finding in findings if photo in finding.photos and finding.severity != "info"]


def _plain_in_words(photos: PhotoSet, judgement: Judgement) -> str:
    widths, heights = np.array([photo.file_size or photo.size for photo in photos.photos]).T
    sizes = f"{widths.min()} x {heights.min()} to {widths.max()} x {heights.max()}"
    order = "by time or number" if photos.is_ordered else "without a known order"
    can = f"refused: {judgement.reason}" if judgement.reason else "cameras can be looked for: `reconstruct`"
    rows = (("Photos", f"{len(photos.photos)}, {sizes} pixels, {order}"), ("So", can))
    return "\n".join(f"{name:<11}{text}" for name, text in rows)


def _run_posed(photos: Path, limits: ImageLimits, output: Output) -> None:
    capture = ingest(photos, limits, require_masks=False)
    summary = inspect_capture(capture)
    for finding in summary.findings:
        output.finding(finding)
    values = dataclasses.asdict(summary)
    del values["findings"]
    output.event("summary", values, _in_words(summary))


def _in_words(summary: CaptureSummary) -> str:
    low, high = summary.elevation_range_deg
    sizes = " to ".join(
        f"{width} x {height}" for width, height in (summary.smallest_size, summary.largest_size)
    )
    between = (
        f", between {summary.gap_between[0]} and {summary.gap_between[1]}" if summary.gap_between else ""
    )
    edge = "unknown" if summary.object_edge_px is None else f"{summary.object_edge_px:.0f} pixels across"
    rows = (
        ("Photos", f"{summary.views}, {summary.masked_views} with a mask, {sizes} pixels"),
        ("Object", edge),
        ("Around", f"largest gap {summary.largest_gap_deg:.0f} degrees{between}"),
        ("Heights", f"cameras from {low:.0f} to {high:.0f} degrees"),
        ("Neighbours", f"{summary.neighbour_angle_deg:.0f} degrees apart"),
        ("Blurred", ", ".join(summary.blurred) or "none"),
        ("At best", f"{summary.verdict_cap}: {summary.verdict_reason}"),
    )
    return "\n".join(f"{name:<11}{text}" for name, text in rows)
