"""From plain photographs to a posed, masked capture on disk: gather, solve the cameras, cut the object out.

The result is an ordinary capture folder (transforms.json, a COLMAP model, images and masks) that `ingest` and
other programs read. Each step also has a verb of its own: `solve`, `mask`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from objectscan.capture.archives import is_archive, unpack_photos
from objectscan.capture.checks import Judgement, is_shaken, judge_photos, require_usable
from objectscan.capture.formats.detect import has_cameras
from objectscan.capture.gather import gather, has_plain_photos
from objectscan.capture.limits import ImageLimits
from objectscan.capture.photoset import PhotoSet, SolvedCameras
from objectscan.capture.plain_records import plain_records
from objectscan.capture.records import write_records
from objectscan.capture.segment.boxes import FourShares
from objectscan.capture.segment.cut_out import cut_out
from objectscan.capture.segment.mask_set import MaskSet
from objectscan.capture.segment.model import Segmenter
from objectscan.capture.solve import SolveLimits, require_good_cameras, solve_cameras
from objectscan.capture.solve.marker_scale import find_marker_scale, in_metres
from objectscan.capture.solve.marker_sheet import SHEETS
from objectscan.capture.solve.silhouette import silhouette_consistency
from objectscan.capture.solve.write import write_report, write_solved
from objectscan.errors import CamerasNotFound, PhotosUnusable, TooFewViews
from objectscan.types import Finding, ProgressFn, ignore_progress

STAGES: tuple[tuple[str, float], ...] = (("gather", 0.05), ("judge", 0.05), ("cameras", 0.55), ("mask", 0.35))
"""(stage, share of the time), measured on 30 photos of 0.5 megapixels with two cores: 2, 35 and 25 s."""
_DONE_FILE = "source.json"
_FEWEST_PHOTOS = 5
"""Sets of 4 photos: none right of three tried; of 6: one right of three (fox, phone rings, DSP-SIFT)."""
_LEAST_COVERED, _MOST_UNCOVERED = 0.6, 0.4
"""A mask of which the hull of the others covers less disagrees; so may at most this share of the photos."""


@dataclass(frozen=True, slots=True)
class PlainOptions:
    """What `posed_capture` needs besides the photos."""

    limits: ImageLimits
    solve_limits: SolveLimits
    model: Segmenter
    seed: int = 0
    box: FourShares | None = None
    """Where the object is in every photo; see `segment.cut_out`."""
    make_masks: bool = True
    """Whether masks are made for photos without one."""


def is_plain(path: Path) -> bool:
    """Whether `path` holds photographs without cameras: a folder, or a zip."""
    return is_archive(path) or (path.is_dir() and not has_cameras(path) and has_plain_photos(path))


def was_plain(folder: Path) -> bool:
    """Whether `posed_capture` made this folder."""
    return (folder / _DONE_FILE).is_file()


def posed_capture(
    photos: Path, out: Path, options: PlainOptions, report: ProgressFn = ignore_progress
) -> Path:
    """Find cameras and masks of plain photos and write them as a capture.

    A finished capture of the same files and options is used again.

    Args:
        photos: Folder or zip of photographs; only read.
        out: Folder for the capture and all intermediate files; what an earlier call left there is replaced.
        options: Limits, the segmentation network, the seed.
        report: Receives progress of the stages in `STAGES`; may raise `Cancelled`.

    Returns:
        `out`, with transforms.json, images, masks, a COLMAP model in sparse/0, solve.json, photos.json and
        findings.

    Raises:
        InputError: Too few photos can be used, or a file can't be.
        PhotosUnusable: Most photos are blurred, badly exposed or without detail.
        CamerasNotFound: Where the photos were taken can't be told safely; the message names photos.
        MasksNotFound: Object and background can't be told apart.
        ResourceError: Out of memory, or a package is missing.
        BadWorkspace: `out` can't be written.
    """
    source = _fingerprint(photos, options)
    if _is_done(out, source):
        return out
    shutil.rmtree(out, ignore_errors=True)
    work = out / "work"
    folder = unpack_photos(photos, work / "unpacked", report=report) if is_archive(photos) else photos
    photo_set = gather(folder, work, options.limits, report)
    require_enough(photo_set)
    judgement = judge_photos(photo_set, report)
    require_usable(judgement)
    solved = solve_cameras(photo_set, work, seed=options.seed, limits=options.solve_limits, report=report)
    solved = _in_metres_if_marked(photo_set, solved)
    write_report(photo_set, solved, out)
    _require_cameras(solved, judgement)
    masks = cut_out(
        photo_set, solved, work, model=options.model, box=options.box, no_mask=not options.make_masks,
        report=report,
    )  # fmt: skip
    doubts = _require_agreement(photo_set, solved, masks)
    write_solved(photo_set, solved, out, masks=masks.paths)
    write_records(plain_records(photo_set, judgement, solved, masks), out)
    findings = [*photo_set.findings, *judgement.findings, *solved.findings, *masks.findings, *doubts]
    _finish(out, source, findings)
    return out


def require_enough(photos: PhotoSet) -> None:
    """Refuse a handful of photos: cameras found from so few are mostly wrong, however well they fit.

    Raises:
        TooFewViews: Fewer than 5 photos.
    """
    if len(photos.photos) >= _FEWEST_PHOTOS:
        return
    raise TooFewViews(
        f"{len(photos.photos)} photos are too few to find out where they were taken from; at least "
        f"{_FEWEST_PHOTOS} are needed, and 24 are good.",
        hint="Take photos all around the object, 10 to 15 degrees apart.",
        details={"reason": "too_few_images"},
    )


def solve_summary(folder: Path) -> tuple[int, Literal["good", "doubtful", "bad"]] | None:
    """(photos that were given, grade of their cameras) if cameras were solved in this folder, else None."""
    try:
        told = json.loads((folder / "solve.json").read_text("utf-8"))
        return int(told["photos"]), told["grade"]
    except (OSError, ValueError, KeyError):
        return None


def plain_findings(out: Path) -> tuple[Finding, ...]:
    """What `posed_capture` had to tell about the capture that it left in `out`."""
    stored = json.loads((out / _DONE_FILE).read_text("utf-8"))["findings"]
    return tuple(Finding(**{**finding, "photos": tuple(finding["photos"])}) for finding in stored)


def _require_cameras(solved: SolvedCameras, judgement: Judgement) -> None:
    """As `require_good_cameras`; of photos that matched nothing it is said if they look shaken."""
    try:
        require_good_cameras(solved)
    except CamerasNotFound as problem:
        if problem.details.get("reason") in ("registration_failed", "insufficient_features") and is_shaken(
            judgement
        ):
            raise PhotosUnusable(
                f"The photos look shaken, and so they can't be placed: {problem.message}",
                hint="Hold the camera still, or use more light or a shorter exposure.",
                details={**problem.details, "reason": "blurry_images"},
            ) from problem
        raise


def _in_metres_if_marked(photos: PhotoSet, solved: SolvedCameras) -> SolvedCameras:
    """In metres if a printed marker sheet of any paper lay with the object."""
    if not solved.world_from_camera:
        return solved
    for sheet in SHEETS.values():
        scale = find_marker_scale(photos, solved, sheet)
        if scale is not None:
            return in_metres(solved, scale)
    return solved


def _require_agreement(photos: PhotoSet, solved: SolvedCameras, masks: MaskSet) -> tuple[Finding, ...]:
    """Refuse cameras whose masks carve each other away; masks were not used to find the cameras."""
    pictures = {name: _read_mask(path) for name, path in masks.paths.items()}
    covered = silhouette_consistency(solved, pictures, bounds=masks.bounds)
    bad = tuple(photo.name for photo in photos.photos if covered.get(photo.name, 1.0) < _LEAST_COVERED)
    if len(bad) > _MOST_UNCOVERED * max(len(covered), 1):
        raise CamerasNotFound(
            f"The object's outlines in {len(bad)} of {len(covered)} photos contradict those in the others.",
            hint="Photograph an object that stands still, sharp and whole in each photo; or give masks.",
            details={"reason": "outlines_disagree", "photos": list(bad)},
        )
    if not bad:
        return ()
    words = f"{', '.join(bad[:5])}: the outline does not fit the other photos' outlines; look at the mask."
    return (Finding("outlines_disagree", "warning", words, bad),)


def _read_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    return np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE))


def _fingerprint(photos: Path, options: PlainOptions) -> str:
    choices = f"3 {options.seed} {options.box} {options.make_masks}"
    digest = hashlib.blake2b(choices.encode(), digest_size=16)
    files = sorted(path for path in photos.rglob("*") if path.is_file()) if photos.is_dir() else [photos]
    for file in files:
        facts = file.stat()
        digest.update(f"{file.relative_to(photos)} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _is_done(out: Path, source: str) -> bool:
    try:
        return bool(json.loads((out / _DONE_FILE).read_text("utf-8"))["source"] == source)
    except (OSError, ValueError, KeyError):
        return False


def _finish(out: Path, source: str, findings: list[Finding]) -> None:
    """Written last: a folder that has this file is whole."""
    kept = [
        {"code": f.code, "severity": f.severity, "message": f.message, "photos": list(f.photos)}
        for f in findings
    ]
    shutil.rmtree(out / "work", ignore_errors=True)
    (out / _DONE_FILE).write_text(json.dumps({"source": source, "findings": kept}, indent=1), "utf-8")
