"""From a folder of plain photographs to a `PhotoSet`: every file decoded once, safely, and kept normalised.

The originals are only read. What later steps look at are upright sRGB copies in the work folder, reduced to
the working size and without position data.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from objectscan.capture.codecs.sniff import describe, picture_format
from objectscan.capture.formats.paths import SUFFIXES
from objectscan.capture.images import Photo, decode_photo
from objectscan.capture.ingest import in_threads
from objectscan.capture.limits import DEFAULT_LIMITS, ImageLimits
from objectscan.capture.masks import find_mask_file, mask_of
from objectscan.capture.notes import merge_findings
from objectscan.capture.photoset import PhotoSet, PlainPhoto
from objectscan.errors import BadMasks, ImageTooLarge, ImageTooSmall, InputError, TooFewViews, UnreadableImage
from objectscan.types import Finding, Progress, ProgressFn, ignore_progress

STAGE = "gather"
_FILM_WIDTH_MM = 36.0
_JPEG_QUALITY = 95
_DROPPABLE = (UnreadableImage, ImageTooLarge, ImageTooSmall, BadMasks)
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True, slots=True)
class _Read:
    """What became of one file."""

    photo: PlainPhoto | None
    findings: tuple[Finding, ...] = ()
    problem: InputError | None = None
    pixels: str = ""
    """Fingerprint of the decoded picture."""


def gather(
    folder: Path,
    work: Path,
    limits: ImageLimits = DEFAULT_LIMITS,
    report: ProgressFn = ignore_progress,
) -> PhotoSet:
    """Read all photos of a folder (not of folders in it).

    Args:
        folder: Photographs of one object; a folder `masks` in it or beside it is used.
        work: Where the normalised copies go; made if missing.
        limits: On files, pixels and photos.
        report: Receives progress of the stage `gather`; may raise `Cancelled`.

    Returns:
        The usable photos in the order of their times if all have one, else of their names. Files that are no
        photos, can't be read or repeat another photo are left out with a finding that names them.

    Raises:
        InputError: There is no such folder, or it holds too many files.
        TooFewViews: Fewer usable photos than `limits.min_views`.
    """
    files, strays = _listed(folder)
    if len(files) > limits.max_views:
        raise InputError(
            f"{folder.name} holds {len(files)} photos; the limit is {limits.max_views}.",
            hint="Leave some out, or raise the setting max_views.",
            details={"reason": "too_many_files"},
        )
    (work / "photos").mkdir(parents=True, exist_ok=True)
    numbered = list(enumerate(files))
    results = in_threads(
        lambda item: _read(item[1], item[0], work, limits),
        numbered,
        lambda share: report(Progress(STAGE, share, "reading photos")),
    )
    photos, doubles = _without_doubles(results)
    findings = (
        *_stray_findings(strays),
        *_dropped_findings(zip(files, results, strict=True)),
        *doubles,
        *merge_findings(finding for result in results for finding in result.findings),
    )
    if len(photos) < limits.min_views:
        raise _too_few(len(photos), folder, results, limits, findings)
    ordered, is_ordered = _in_order(photos)
    return PhotoSet(tuple(ordered), is_ordered, findings)


def has_plain_photos(path: Path) -> bool:
    """Whether `path` is a folder with pictures in it."""
    return path.is_dir() and any(file.suffix.lower() in SUFFIXES for file in path.iterdir())


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """(files that may be photos, files that can't be), in natural order of their names."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of photos.", hint="Give a folder.")
    files = [
        file
        for file in folder.iterdir()
        if file.is_file() and not file.name.startswith(".") and file.name.lower() not in _SYSTEM_FILES
    ]
    files.sort(key=lambda file: _natural(file.name))
    photos = [file for file in files if _may_be_photo(file)]
    return photos, [file for file in files if file not in photos]


def _may_be_photo(file: Path) -> bool:
    if file.suffix.lower() in SUFFIXES:
        return True
    with file.open("rb") as stream:
        return picture_format(stream.read(512)) is not None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key in which img_2 comes before img_10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d{1,18})", name)
    ]


def _read(file: Path, number: int, work: Path, limits: ImageLimits) -> _Read:
    try:
        decoded = decode_photo(file, limits, least_edge_px=limits.max_edge_px)
        mask = mask_of(decoded, find_mask_file(file), limits)
    except _DROPPABLE as problem:
        return _Read(None, problem=problem)
    shrunk, shrunk_mask = _reduced(decoded.image_srgb, mask.mask, limits.max_edge_px)
    path = work / "photos" / f"{number:04d}.jpg"
    path.write_bytes(_jpeg(shrunk))
    mask_path = None
    if shrunk_mask is not None:
        mask_path = work / "photos" / f"{number:04d}.mask.png"
        Image.fromarray(shrunk_mask).save(mask_path)
    size = shrunk.shape[1], shrunk.shape[0]
    photo = PlainPhoto(
        file.name,
        path,
        size,
        _focal_px(decoded, size),
        decoded.exif.camera,
        decoded.exif.taken,
        mask_path,
        decoded.full_size or decoded.size,
    )
    fingerprint = hashlib.blake2b(decoded.image_srgb.tobytes(), digest_size=16).hexdigest()
    return _Read(photo, (*decoded.findings, *mask.findings), pixels=fingerprint)


def _reduced(
    image_srgb: np.ndarray, mask: np.ndarray | None, edge_px: int
) -> tuple[np.ndarray, np.ndarray | None]:
    height, width = image_srgb.shape[:2]
    factor = min(1.0, edge_px / max(width, height))
    if factor == 1.0:
        return image_srgb, mask
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = [
        None if pixels is None else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        for pixels in (image_srgb, mask)
    ]
    assert small[0] is not None
    return small[0], small[1]


def _jpeg(image_srgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image_srgb).save(buffer, "jpeg", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _focal_px(photo: Photo, size: tuple[int, int]) -> float | None:
    """Focal length by EXIF's value for 36 mm film, in pixels of `size`."""
    film_mm = photo.exif.focal_35mm
    return None if film_mm is None else film_mm / _FILM_WIDTH_MM * max(size)


def _without_doubles(results: Iterable[_Read]) -> tuple[list[PlainPhoto], tuple[Finding, ...]]:
    first: dict[str, str] = {}
    photos: list[PlainPhoto] = []
    doubles: list[PlainPhoto] = []
    for result in results:
        if result.photo is None:
            continue
        is_double = first.setdefault(result.pixels, result.photo.name) != result.photo.name
        (doubles if is_double else photos).append(result.photo)
    if not doubles:
        return photos, ()
    names = tuple(photo.name for photo in doubles)
    text = f"{names[0]} shows exactly what another photo shows; {len(names)} such photos were left out."
    return photos, (Finding("duplicate_images", "warning", text, names),)


def _stray_findings(strays: list[Path]) -> tuple[Finding, ...]:
    if not strays:
        return ()
    with strays[0].open("rb") as stream:
        kind = describe(stream.read(512))
    others = f" So were {len(strays) - 1} other files." if len(strays) > 1 else ""
    text = f"{strays[0].name} is no photo but {kind}; it was left out.{others}"
    return (Finding("stray_files", "info", text, tuple(file.name for file in strays)),)


def _dropped_findings(pairs: Iterable[tuple[Path, _Read]]) -> tuple[Finding, ...]:
    found = []
    for file, result in pairs:
        if result.problem is not None:
            words = f"{result.problem.message} It was left out. {result.problem.hint}".strip()
            found.append(Finding("photo_dropped", "warning", words, (file.name,)))
    return tuple(found)


def _too_few(
    usable: int, folder: Path, results: list[_Read], limits: ImageLimits, findings: tuple[Finding, ...]
) -> InputError:
    problems = [result.problem for result in results if result.problem is not None]
    reason = "duplicate_images" if any(f.code == "duplicate_images" for f in findings) else "too_few_images"
    first = f" {problems[0].message}" if problems else ""
    return TooFewViews(
        f"{folder.name} has {usable} usable photos; at least {limits.min_views} are needed.{first}",
        hint="Take 24 or more, all around the object, each from another place.",
        details={"reason": reason, "photos": [problem.message for problem in problems]},
    )


def _in_order(photos: list[PlainPhoto]) -> tuple[list[PlainPhoto], bool]:
    """By time if all photos have different times, else by name; ordered if times or numbered names say so."""
    times = [photo.taken for photo in photos]
    if all(times) and len(set(times)) > 0.9 * len(photos):
        return sorted(photos, key=lambda photo: (photo.taken or "", _natural(photo.name))), True
    by_name = sorted(photos, key=lambda photo: _natural(photo.name))
    stems = {re.sub(r"\d+", "#", Path(photo.name).stem) for photo in photos}
    return by_name, len(stems) == 1 and all(re.search(r"\d", photo.name) for photo in photos)
