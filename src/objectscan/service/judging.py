"""Judges an upload photo by photo, and makes thumbnails. Runs in a child process only: it decodes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from objectscan.capture import ingest, inspect_capture
from objectscan.capture.checks import judge_photos
from objectscan.capture.formats.detect import has_cameras
from objectscan.capture.gather import gather
from objectscan.capture.images import decode_photo
from objectscan.capture.limits import ImageLimits
from objectscan.errors import InputError, ObjectscanError
from objectscan.types import Finding

THUMBNAIL_EDGE_PX = 320
_ORIENTATION_TAG, _TURNED = 0x0112, (5, 6, 7, 8)


def judge(folder: Path, files: Sequence[str], thumbnails: Path, limits: ImageLimits) -> Mapping[str, Any]:
    """What the photos of a folder are worth.

    Args:
        folder: The capture.
        files: Its photos, relative to the folder, in the order of the answer.
        thumbnails: Receives `0000.jpg` and so on, for those that can be decoded.
        limits: On single photos and the set.

    Returns:
        `verdict` (good, doubtful, refused), `findings` of the set, and `photos`: name, width, height,
        findings.
    """
    thumbnails.mkdir(parents=True, exist_ok=True)
    photos, problems = [], []
    for number, name in enumerate(files):
        size, problem = _looked_at(folder / name, thumbnails / f"{number:04d}.jpg", limits)
        photos.append({"name": name, "width": size[0], "height": size[1]})
        if problem is not None:
            words = f"{problem.message} It was left out. {problem.hint}".strip()
            problems.append(Finding("photo_dropped", "warning", words, (name,)))
    findings, is_refused = _of_set(folder, limits)
    told = {name for finding in problems for name in finding.photos}
    others = [f for f in findings if f.code != "photo_dropped" or not told.issuperset(f.photos)]
    return _answer(photos, [*problems, *others], is_refused)


def _looked_at(
    path: Path, thumbnail: Path, limits: ImageLimits
) -> tuple[tuple[int | None, int | None], InputError | None]:
    """((width, height) upright, what is wrong with the file); leaves a thumbnail if it can be decoded."""
    try:
        photo = decode_photo(path, limits)
    except InputError as problem:
        return _size_by_header(path), problem
    picture = Image.fromarray(photo.image_srgb)
    picture.thumbnail((THUMBNAIL_EDGE_PX, THUMBNAIL_EDGE_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)
    picture.save(thumbnail, "jpeg", quality=80)
    return photo.size, None


def _size_by_header(path: Path) -> tuple[int | None, int | None]:
    with contextlib.suppress(Exception), Image.open(path, formats=("JPEG", "PNG", "WEBP")) as picture:
        turned = picture.getexif().get(_ORIENTATION_TAG) in _TURNED
        width, height = picture.size
        return (height, width) if turned else (width, height)
    return None, None


def _of_set(folder: Path, limits: ImageLimits) -> tuple[tuple[Finding, ...], bool]:
    """Findings of the set as the reconstruction will make them, and whether it would refuse it."""
    try:
        if has_cameras(folder):
            return inspect_capture(ingest(folder, limits, require_masks=False)).findings, False
        gathered = gather(folder, folder.parent / "gathered", limits)
        judgement = judge_photos(gathered)
    except ObjectscanError as error:
        return (Finding(error.code, "error", f"{error.message} {error.hint}".strip()),), True
    return (*gathered.findings, *judgement.findings), judgement.reason is not None


def _answer(
    photos: Sequence[dict[str, Any]], findings: Sequence[Finding], is_refused: bool
) -> Mapping[str, Any]:
    for photo in photos:
        short = Path(photo["name"]).name
        named = [f for f in findings if photo["name"] in f.photos or short in f.photos]
        photo["findings"] = [_values(finding) for finding in named]
    is_doubtful = any(finding.severity != "info" for finding in findings)
    return {
        "verdict": "refused" if is_refused else "doubtful" if is_doubtful else "good",
        "findings": [_values(finding) for finding in findings],
        "photos": list(photos),
    }


def _values(finding: Finding) -> dict[str, Any]:
    sentence, _, advice = finding.message.partition(". ")
    values = dataclasses.asdict(finding)
    severity = "note" if finding.severity == "info" else finding.severity
    stop = "." if advice and not sentence.endswith(".") else ""
    return {**values, "severity": severity, "message": sentence + stop, "hint": advice}
