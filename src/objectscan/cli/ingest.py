"""`objectscan ingest`: the first stage alone."""

from __future__ import annotations

from pathlib import Path

from objectscan.capture import ImageLimits, ingest, save_capture
from objectscan.cli.output import Output
from objectscan.errors import BadWorkspace
from objectscan.settings import Settings


def run(photos: Path, out: Path, *, settings: Settings, output: Output) -> None:
    """Write a capture as a plain folder: upright, undistorted pictures with their masks, and cameras."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadWorkspace(f"{out} is not an empty folder.", hint="Choose a new one.")
    capture = ingest(photos, ImageLimits(**settings.image_limits()))
    save_capture(capture, out)
    for finding in capture.findings:
        output.finding(finding)
    count = len(capture.views)
    text = f"{count} photos in {out}. Next: objectscan optimise {out} -o OUT"
    output.event("done", {"photos": count, "folder": str(out)}, text)
