"""`objectscan mask`: masks alone, for photos with or without cameras."""

from __future__ import annotations

import json
from pathlib import Path

from objectscan.capture import ImageLimits
from objectscan.capture.segment import MaskSet, cut_out, segmenter_from
from objectscan.capture.segment.cut_out import STAGE
from objectscan.capture.segment.inputs import STAGE as READING
from objectscan.capture.segment.inputs import inputs_from
from objectscan.capture.segment.overview import write_overview
from objectscan.cli.display import Display
from objectscan.cli.interrupt import StopRequest
from objectscan.cli.output import Output
from objectscan.errors import BadWorkspace, InputError
from objectscan.settings import Settings
from objectscan.stages import StageClock

_SHARES = ((READING, 0.1), (STAGE, 0.9))


def run(
    photos: Path, out: Path, box: str | None, *, threads: int | None, settings: Settings, output: Output
) -> None:
    """Write masks, the photos they belong to, and an overview picture into a new folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadWorkspace(f"{out} is not an empty folder.", hint="Choose a new one.")
    shares = None if box is None else parse_box(box)
    model = segmenter_from(settings, threads)
    limits = ImageLimits(**settings.image_limits())
    with Display(_SHARES, output) as display, StopRequest() as stop:
        clock = StageClock(display.report, stop.is_made)
        photo_set, solved = inputs_from(photos, out, limits, clock.report)
        masks = cut_out(photo_set, solved, out, model=model, box=shares, report=clock.report)
        write_overview(photo_set, masks, out / "overview.png")
    rows = _rows(masks)
    (out / "masks.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    for finding in (*photo_set.findings, *masks.findings):
        output.finding(finding)
    for row in rows:
        output.event("mask", row, f"{row['photo']:<30} {row['source']:<8} {row['confidence']:.2f}")
    number = len(masks.paths)
    text = f"{number} masks in {out / 'masks'}. Look at {out / 'overview.png'}."
    output.event("done", {"masks": number, "folder": str(out)}, text)


def parse_box(text: str) -> tuple[float, float, float, float]:
    """Four numbers with commas between them.

    Raises:
        InputError: They are not four, or no numbers.
    """
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError as problem:
        raise InputError(
            f"--box is '{text}', not four numbers.", hint="Give shares of the photo: --box 0.2,0.1,0.8,0.95"
        ) from problem
    return left, top, right, bottom


def _rows(masks: MaskSet) -> list[dict[str, object]]:
    return [
        {
            "photo": name,
            "path": str(masks.paths[name]) if name in masks.paths else None,
            "confidence": confidence,
            "source": masks.sources.get(name),
        }
        for name, confidence in masks.confidence.items()
    ]
