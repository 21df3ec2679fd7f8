"""What photos are judged to be before their cameras are solved: measures, verdict and cost of each folder.

    python benchmarks/precheck.py FOLDER [FOLDER ...]

One JSON line a folder. `ties_median` is the median over photos of the matches with the second-best partner;
shares are medians over, or parts of, the strongest pairs.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from objectscan.capture.checks import judge_photos, photo_facts
from objectscan.capture.checks import thresholds as limit
from objectscan.capture.checks.quick_matches import quick_matches
from objectscan.capture.gather import gather
from objectscan.capture.limits import DEFAULT_LIMITS
from objectscan.capture.photoset import PhotoSet
from objectscan.capture.plain import require_enough
from objectscan.capture.solve.graph import groups_of, planar_share, rotation_share, second_best, static_share
from objectscan.errors import ObjectscanError


def processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measures(photos: PhotoSet) -> dict[str, float]:
    """The numbers behind the findings on overlap."""
    features = [photo_facts(photo)[1] for photo in photos.photos]
    matches = quick_matches([photo.name for photo in photos.photos], features)
    scales = {photo.name: min(1.0, limit.EDGE_PX / max(photo.size)) for photo in photos.photos}
    focals = {p.name: p.focal_prior_px and p.focal_prior_px * scales[p.name] for p in photos.photos}
    sizes = {
        p.name: (int(p.size[0] * scales[p.name]), int(p.size[1] * scales[p.name])) for p in photos.photos
    }
    return {
        "groups": [len(group) for group in groups_of(matches, limit.LINK_MATCHES)],
        "ties_median": float(np.median([*second_best(matches).values()])),
        "static": round(static_share(matches), 3),
        "turned": round(rotation_share(matches, focals, sizes), 3),
        "planar": round(planar_share(matches), 3),
    }


def row_of(folder: Path) -> dict:
    limits = replace(DEFAULT_LIMITS, max_edge_px=limit.EDGE_PX)  # As `objectscan inspect` reads them.
    row: dict = {"set": folder.name if folder.name != "images" else folder.parent.name}
    with tempfile.TemporaryDirectory() as work:
        began, began_cpu = time.perf_counter(), processor_s()
        try:
            photos = gather(folder, Path(work), limits)
            row["gather_s"] = round(time.perf_counter() - began, 2)
            require_enough(photos)
            judgement = judge_photos(photos)
        except ObjectscanError as error:
            return {**row, "verdict": "refused", "reason": error.details.get("reason", error.code)}
        row |= {
            "seconds": round(time.perf_counter() - began, 2),
            "processor_s": round(processor_s() - began_cpu, 2),
        }
        findings = {finding.code: finding.severity for finding in (*photos.findings, *judgement.findings)}
        row |= {"photos": len(photos.photos), "verdict": "refused" if judgement.reason else "go on"}
        return {**row, "reason": judgement.reason, "findings": findings, **measures(photos)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    for folder in parser.parse_args().folders:
        print(json.dumps(row_of(folder)), flush=True)


if __name__ == "__main__":
    main()
