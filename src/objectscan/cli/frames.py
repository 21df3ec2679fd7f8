"""`objectscan frames`: photos from a video."""

from __future__ import annotations

from pathlib import Path

from objectscan.capture.limits import VideoLimits
from objectscan.capture.video import STAGE, frames_from_video
from objectscan.cli.display import Display
from objectscan.cli.interrupt import StopRequest
from objectscan.cli.output import Output
from objectscan.errors import BadWorkspace
from objectscan.settings import Settings
from objectscan.stages import StageClock


def run(video: Path, out: Path, count: int, *, settings: Settings, output: Output) -> None:
    """Write the sharpest frames of a video into a new folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadWorkspace(f"{out} is not an empty folder.", hint="Choose a new one.")
    limits = VideoLimits(**settings.video_limits())
    with Display([(STAGE, 1.0)], output) as display, StopRequest() as stop:
        clock = StageClock(display.report, stop.is_made)
        found = frames_from_video(video, out, target_count=count, limits=limits, report=clock.report)
    for finding in found.findings:
        output.finding(finding)
    if output.as_json:
        for path, time_s in zip(found.paths, found.times_s, strict=True):
            output.event("frame", {"path": str(path), "time_s": round(time_s, 3)}, "")
    number = len(found.paths)
    output.event("done", {"photos": number, "folder": str(out)}, f"{number} photos in {out}.")
