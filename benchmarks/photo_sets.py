"""Plain photo sets and archives that must pass or be refused: what happens against what should.

    python benchmarks/photo_sets.py --data FOLDER [--sets FOLDER] [--only NAME ...]

--data has `cases.json` (name, kind, path, verdict, reason, warn) and the archives it names, --sets the photo
sets (by default in --data). A set is gathered, judged, solved, cut out; an archive is unpacked and gathered.
Prints one JSON object a line and a summary; the exit code is 1 if any case went wrong.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from objectscan.capture.archives import unpack_photos
from objectscan.capture.gather import gather
from objectscan.capture.limits import DEFAULT_LIMITS
from objectscan.capture.plain import PlainOptions, plain_findings, posed_capture, require_enough
from objectscan.capture.segment.model import load_segmenter
from objectscan.capture.solve import SolveLimits
from objectscan.errors import ObjectscanError

KINDS = ("set", "zip")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", type=Path, help="folder that `path` of the sets is in")
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    cases = [
        case
        for case in json.loads((arguments.data / "cases.json").read_text())
        if case["kind"] in KINDS and (not arguments.only or case["name"] in arguments.only)
    ]
    wrong = []
    for case in cases:
        root = (arguments.sets or arguments.data) if case["kind"] == "set" else arguments.data
        row = row_of(case, root / case["path"])
        wrong += [] if row["right"] else [case["name"]]
        print(json.dumps(row), flush=True)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"total": len(cases), "wrong": wrong, "peak_bytes": peak_bytes}))
    return 1 if wrong else 0


def row_of(case: dict, path: Path) -> dict:
    """Right: accepted or refused as stated, with the stated reason; and every stated warning was given."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        try:
            warnings = pass_through(case["kind"], path, Path(work))
            verdict, reason, message = "accept", "", ""
        except ObjectscanError as error:
            verdict, reason, message = "reject", str(error.details.get("reason", error.code)), str(error)
            warnings = ()
    right = verdict == case["verdict"] and set(case["warn"]) <= set(warnings)
    right &= verdict == "accept" or reason == case["reason"]
    return {
        "name": case["name"], "right": right, "expected": case["verdict"], "got": verdict,
        "expected_reason": case["reason"], "got_reason": reason, "expected_warnings": case["warn"],
        "warnings": sorted(set(warnings)), "message": message,
        "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def pass_through(kind: str, path: Path, work: Path) -> tuple[str, ...]:
    """Codes of what was found worth telling."""
    if kind == "zip":
        photos = gather(unpack_photos(path, work / "in"), work)
        require_enough(photos)
        return tuple(finding.code for finding in photos.findings)
    options = PlainOptions(DEFAULT_LIMITS, SolveLimits(), load_segmenter())
    return tuple(finding.code for finding in plain_findings(posed_capture(path, work / "out", options)))


if __name__ == "__main__":
    sys.exit(main())
