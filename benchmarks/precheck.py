"""What the pre-check costs and says of photo sets, beside what the solve then does.

    python benchmarks/precheck.py [--solved FILE] FOLDER [FOLDER ...]

Each folder holds plain photos (a folder `images` in it is used if there is one). FILE has one JSON object a
line: {"name", "got": "accept" | "reject", "got_reason"}, as `photo_sets.py` prints them; sets that it lacks
have no verdict of the solve. Prints one JSON object a set: seconds and CPU seconds of reading, of judging
photos one by one and of matching them, the findings, the refusal if any, the measures, the solve's verdict.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from objectscan.capture.checks import judge_overlaps, judge_photos
from objectscan.capture.checks.thresholds import EDGE_PX
from objectscan.capture.gather import gather
from objectscan.capture.limits import DEFAULT_LIMITS
from objectscan.errors import InputError

Result = TypeVar("Result")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--solved", type=Path)
    arguments = parser.parse_args()
    lines = arguments.solved.read_text("utf-8").splitlines() if arguments.solved else []
    solved = {row["name"]: row for row in map(json.loads, lines) if "name" in row}
    for folder in arguments.folders:
        row = row_of(folder)
        told = solved.get(row["name"])
        row["solve"] = told and (told["got_reason"] or told["got"])
        print(json.dumps(row), flush=True)
    return 0


def row_of(folder: Path) -> dict:
    """Cost and verdict of the pre-check of one set."""
    photos_in = folder / "images" if (folder / "images").is_dir() else folder
    limits = replace(DEFAULT_LIMITS, max_edge_px=EDGE_PX)
    row: dict = {"name": folder.name, "seconds": {}, "cpu_seconds": {}}
    with tempfile.TemporaryDirectory() as work:
        try:
            photos = timed(row, "read", lambda: gather(photos_in, Path(work), limits))
        except InputError as problem:
            return {**row, "refused": problem.details.get("reason", problem.code), "findings": []}
        judgement = timed(row, "photos", lambda: judge_photos(photos))
        row |= {"photos": len(photos.photos), "refused": judgement.reason}
        findings = [*photos.findings, *judgement.findings]
        if judgement.reason is None:
            overlaps = timed(row, "overlaps", lambda: judge_overlaps(photos))
            findings += overlaps.findings
            row["refused"] = overlaps.refusal.code if overlaps.refusal else None
            row["groups"] = [len(group) for group in overlaps.groups]
            row["weakest_second_best"] = min(overlaps.second_best.values())
            for measure in ("static_share", "turned_share", "planar_share"):
                row[measure] = round(getattr(overlaps, measure), 2)
    return row | {"findings": [[one.code, one.severity, len(one.photos)] for one in findings]}


def timed(row: dict, step: str, work: Callable[[], Result]) -> Result:
    """The result of `work`; its wall and CPU time go into the row."""
    began, cpu_began = time.perf_counter(), time.process_time()
    result = work()
    row["seconds"][step] = round(time.perf_counter() - began, 2)
    row["cpu_seconds"][step] = round(time.process_time() - cpu_began, 2)
    return result


if __name__ == "__main__":
    sys.exit(main())
