"""`objectscan inspect`: what photos support, before any time is spent on them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from objectscan.capture import CaptureSummary, ImageLimits, ingest, inspect_capture
from objectscan.cli.output import Output
from objectscan.settings import Settings


def run(photos: Path, *, settings: Settings, output: Output) -> None:
    """Tell findings and facts of a capture. Masks may be missing."""
    capture = ingest(photos, ImageLimits(**settings.image_limits()), require_masks=False)
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
