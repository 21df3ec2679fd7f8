"""Plain photos of a folder as a `PhotoSet`: decoded, upright, written anew in the work folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from objectscan.capture.formats.paths import SUFFIXES
from objectscan.capture.images import Photo, decode_photo
from objectscan.capture.ingest import in_threads
from objectscan.capture.limits import DEFAULT_LIMITS, ImageLimits
from objectscan.capture.notes import merge_findings, photo_finding
from objectscan.capture.photoset import PhotoSet, PlainPhoto
from objectscan.errors import InputError, TooFewViews
from objectscan.types import Finding, Progress, ProgressFn, ignore_progress

STAGE = "photos"
_FULL_FRAME_MM = 36.0


def read_photo_folder(
    folder: Path, work: Path, limits: ImageLimits = DEFAULT_LIMITS, report: ProgressFn = ignore_progress
) -> PhotoSet:
    """Read the pictures that lie directly in a folder, in the order of their names.

    Args:
        folder: Files with another suffix than a picture's are ignored.
        work: Gets the decoded pictures (JPEG, quality 95) and masks (PNG) of at most `limits.max_edge_px`.
        limits: On files, pixels and photos.
        report: Receives progress of the stage `photos`; may raise `Cancelled`.

    Raises:
        InputError: There is no such folder, or it holds too many pictures.
        TooFewViews: Fewer than `limits.min_views` pictures can be read; the message has the first reason.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", hint="Give the folder that holds the photos.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(files) > limits.max_views:
        raise InputError(
            f"{folder} holds {len(files)} photos; the limit is {limits.max_views}.",
            hint="Leave some out, or raise the limit on views.",
        )
    work.mkdir(parents=True, exist_ok=True)

    def read(numbered: tuple[int, Path]) -> PlainPhoto | InputError:
        number, file = numbered
        try:
            return _normalised(decode_photo(file, limits), work / f"{number:04d}", limits.max_edge_px)
        except InputError as problem:
            return problem

    results = in_threads(
        read, list(enumerate(files)), lambda share: report(Progress(STAGE, share, "reading photos"))
    )
    photos = tuple(result for result in results if isinstance(result, PlainPhoto))
    problems = [(file.name, found) for file, found in zip(files, results, strict=True)
                if isinstance(found, InputError)]  # fmt: skip
    if len(photos) < limits.min_views:
        first = f" {problems[0][1].message}" if problems else ""
        raise TooFewViews(
            f"{folder} holds {len(photos)} usable photos; at least {limits.min_views} are needed.{first}",
            hint="Take 24 or more, all around the object.",
        )
    return PhotoSet(photos, is_ordered=True, findings=_dropped(problems))


def _normalised(photo: Photo, target: Path, max_edge_px: int) -> PlainPhoto:
    factor = min(1.0, max_edge_px / max(photo.size))
    size = (max(1, round(photo.size[0] * factor)), max(1, round(photo.size[1] * factor)))
    path = _save(target.with_suffix(".jpg"), photo.image_srgb[..., ::-1], size)
    has_mask = photo.alpha is not None and bool((photo.alpha < 128).any() and (photo.alpha > 127).any())
    mask = _save(target.with_suffix(".png"), photo.alpha, size) if has_mask else None
    focal_35mm = photo.exif.focal_35mm
    focal_px = None if focal_35mm is None else focal_35mm / _FULL_FRAME_MM * max(size)
    return PlainPhoto(photo.name, path, size, focal_px, None, photo.exif.taken, mask)


def _save(path: Path, pixels: np.ndarray | None, size: tuple[int, int]) -> Path:
    resized = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    ok, encoded = cv2.imencode(path.suffix, resized, [cv2.IMWRITE_JPEG_QUALITY, 95])
    if not ok:
        raise OSError(f"{path.name} could not be encoded")
    path.write_bytes(encoded.tobytes())
    return path


def _dropped(problems: list[tuple[str, InputError]]) -> tuple[Finding, ...]:
    return merge_findings(
        photo_finding("photo_dropped", "warning", name, f"can't be used: {problem.message} {problem.hint}")
        for name, problem in problems
    )
