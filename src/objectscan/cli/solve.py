"""`objectscan solve`: cameras of plain photos, alone."""

from __future__ import annotations

from pathlib import Path

from objectscan.capture import ImageLimits
from objectscan.capture.gather import gather
from objectscan.capture.photoset import PhotoSet, SolvedCameras
from objectscan.capture.solve import SolveLimits, require_good_cameras, solve_cameras
from objectscan.capture.solve.marker_scale import find_marker_scale, in_metres
from objectscan.capture.solve.marker_sheet import sheet_for
from objectscan.capture.solve.write import solve_report, write_report, write_solved
from objectscan.cli.display import Display
from objectscan.cli.interrupt import StopRequest
from objectscan.cli.output import Output
from objectscan.errors import BadWorkspace, Cancelled
from objectscan.settings import Settings
from objectscan.types import Progress

_SHARES = (("gather", 0.05), ("cameras", 0.95))
_WORK = "work"


def run(
    photos: Path,
    out: Path,
    *,
    seed: int,
    paper: str,
    threads: int | None,
    settings: Settings,
    output: Output,
) -> None:
    """Solve, tell findings, write the posed capture into `out`; refused photos leave solve.json alone."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / "solve.json").is_file():
        raise BadWorkspace(f"{out} is not an empty folder.", hint="Choose a new one.")
    sheet = sheet_for(paper)
    limits = SolveLimits(threads=threads or settings.threads)
    with Display(_SHARES, output) as display, StopRequest() as stop:

        def report(progress: Progress) -> None:
            if stop.is_made():
                raise Cancelled("Stopped on request.")
            display.report(progress)

        image_limits = ImageLimits(**settings.image_limits())
        photo_set = gather(photos, out / _WORK, image_limits, report)
        solved = solve_cameras(photo_set, out / _WORK, seed=seed, limits=limits, report=report)
    scale = find_marker_scale(photo_set, solved, sheet)
    if scale is not None:
        solved = in_metres(solved, scale)
    for finding in (*photo_set.findings, *solved.findings):
        if finding.severity != "error":
            output.finding(finding)
    write_report(photo_set, solved, out)
    require_good_cameras(solved)
    write_solved(photo_set, solved, out)
    values = {**solve_report(photo_set, solved), "folder": str(out)}
    del values["findings"]
    output.event("done", values, _in_words(photo_set, solved, out))


def _in_words(photo_set: PhotoSet, solved: SolvedCameras, out: Path) -> str:
    count = f"{len(solved.photo_names)} of {len(photo_set.photos)}"
    scale = "in metres" if solved.scale_known else "of unknown scale"
    return (
        f"Cameras of {count} photos, {solved.grade}, {scale}\n"
        f"Files   {out / 'transforms.json'}, {out / 'sparse' / '0'}"
    )
