"""Reads a capture: cameras, photos, masks; undistorted, checked, with a finding for what is worth telling."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from objectscan.capture.camera_checks import check_baseline, look_away_findings
from objectscan.capture.formats.detect import read_cameras
from objectscan.capture.formats.posed import PosedPhoto, PosedPhotos
from objectscan.capture.images import Photo, as_stored, decode_photo
from objectscan.capture.limits import DEFAULT_LIMITS, ImageLimits
from objectscan.capture.masks import border_findings, find_mask_file, mask_of
from objectscan.capture.notes import merge_findings, photo_finding
from objectscan.capture.records import thumbnail_of
from objectscan.capture.sharpness import sharpness_of
from objectscan.capture.undistort import intrinsics_for, reduced, undistorted
from objectscan.errors import BadMasks, ImageTooLarge, ImageTooSmall, InputError, TooFewViews, UnreadableImage
from objectscan.types import (
    Camera,
    Capture,
    Finding,
    PhotoRecord,
    Progress,
    ProgressFn,
    View,
    ignore_progress,
)

STAGE = "capture"
_LOW_RESOLUTION_PX = 240
_DROPPABLE = (UnreadableImage, ImageTooLarge, ImageTooSmall, BadMasks)
_MAX_THREADS = 8
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Read:
    """What became of one photo: a view, or the reason why there is none."""

    view: View | None
    findings: tuple[Finding, ...] = ()
    problem: InputError | None = None
    thumbnail: bytes | None = None
    """Of a photo that could be read, but not used."""
    sharpness: float | None = None


def ingest(
    path: Path,
    limits: ImageLimits = DEFAULT_LIMITS,
    report: ProgressFn = ignore_progress,
    *,
    require_masks: bool = True,
    allow_missing: bool = False,
) -> Capture:
    """Read a capture of posed photos.

    Args:
        path: A transforms.json; or a folder with transforms.json, transforms_train.json, or a COLMAP model
            and `images/`.
        limits: On files, pixels and views.
        report: Receives progress of the stage `capture`; may raise `Cancelled`.
        require_masks: Whether a photo without a mask is unusable.
        allow_missing: Whether entries whose photo does not exist are left out with a finding.

    Returns:
        The usable views in the camera file's order. A photo that can't be used is left out with a finding
        `photo_dropped`, as long as `limits.min_views` remain.

    Raises:
        BadCameras: The camera file can't be used, or names a photo that does not exist.
        BadMasks: No photo has a usable mask, and `require_masks`.
        TooFewViews: Too few usable photos.
        InputError: Another error of a photo, if all photos fail for the same reason.
    """
    posed = read_cameras(Path(path), limits, allow_missing=allow_missing)
    check_baseline([photo.world_from_camera for photo in posed.photos], posed.file.name)
    if len(posed.photos) < limits.min_views:
        raise TooFewViews(
            f"{posed.file.name} lists {len(posed.photos)} photos; at least {limits.min_views} are needed.",
            hint="Take 24 or more, all around the object.",
        )
    return _read_capture(posed, limits, report, require_masks=require_masks, min_views=limits.min_views)


def ingest_split(
    path: Path,
    split: str,
    limits: ImageLimits = DEFAULT_LIMITS,
    report: ProgressFn = ignore_progress,
    *,
    most: int | None = None,
    require_masks: bool = False,
    min_views: int = 1,
) -> Capture:
    """Read the photos of `transforms_SPLIT.json`, for comparison with a finished model.

    Args:
        path: The folder, or the file itself.
        split: test or val.
        limits: On files, pixels and views.
        report: See `ingest`.
        most: Read this many at most, evenly spaced in the file's order.
        require_masks: Whether a photo without a mask is unusable.
        min_views: The fewest usable photos.

    Raises:
        BadCameras: The file is missing or can't be used.
        TooFewViews: Fewer than `min_views` can be used.
    """
    posed = read_cameras(Path(path), limits, split=split)
    if most is not None:
        posed = replace(posed, photos=posed.photos[:: max(1, -(-len(posed.photos) // most))])
    return _read_capture(posed, limits, report, require_masks=require_masks, min_views=min_views)


def _read_capture(
    posed: PosedPhotos, limits: ImageLimits, report: ProgressFn, *, require_masks: bool, min_views: int
) -> Capture:
    def read(photo: PosedPhoto) -> _Read:
        return _read_view(photo, posed, limits, require_masks=require_masks)

    results = in_threads(read, posed.photos, lambda share: report(Progress(STAGE, share, "reading photos")))
    views = tuple(result.view for result in results if result.view is not None)
    problems = [
        (photo, result.problem)
        for photo, result in zip(posed.photos, results, strict=True)
        if result.problem is not None
    ]
    if len(views) < min_views:
        raise _too_few(len(views), [problem for _, problem in problems], posed, min_views)
    poses = [view.camera.world_from_camera for view in views]
    findings = [
        *posed.findings,
        *look_away_findings(poses, posed.file.name),
        *_dropped(problems),
        *merge_findings(finding for result in results for finding in result.findings),
    ]
    records = tuple(_record(photo, result) for photo, result in zip(posed.photos, results, strict=True))
    return Capture(
        views, posed.delivered_from_world, posed.scale_known, posed.bounds, tuple(findings), photos=records
    )


def _record(photo: PosedPhoto, result: _Read) -> PhotoRecord:
    view, problem = result.view, result.problem
    if view is None:
        reason, place = "" if problem is None else problem.message, photo.world_from_camera
        return PhotoRecord(photo.name, None, reason, world_from_camera=place, thumbnail=result.thumbnail)
    if view.mask is None:
        return PhotoRecord(photo.name, view.name, sharpness=result.sharpness)
    return PhotoRecord(
        photo.name, view.name, sharpness=result.sharpness, mask_source="user", mask_confidence=1.0
    )


def _read_view(photo: PosedPhoto, posed: PosedPhotos, limits: ImageLimits, *, require_masks: bool) -> _Read:
    """One photo as a view; problems that may be survived are returned, others raised."""
    try:
        decoded = decode_photo(photo.path, limits, name=photo.name)
    except _DROPPABLE as problem:
        return _Read(None, problem=problem)
    try:
        oriented, stored = _oriented(decoded, photo, posed.pixels)
        found = mask_of(oriented, photo.mask_path or find_mask_file(photo.path), limits, stored=stored)
        if found.mask is None and require_masks:
            raise BadMasks(
                f"{photo.name} has no mask.",
                hint="Give photos with an alpha channel, or a folder 'masks' with one picture per photo, "
                "white where the object is.",
                details={"reason": "missing_mask", "photo": photo.name},
            )
    except _DROPPABLE as problem:
        return _Read(None, problem=problem, thumbnail=thumbnail_of(decoded.image_srgb))
    intrinsics = intrinsics_for(photo.lens, oriented.size, photo.label)
    image, mask = oriented.image_srgb, found.mask
    image, mask, intrinsics = undistorted(image, mask, intrinsics, photo.lens, cut_out=found.is_alpha)
    image, mask, intrinsics = reduced(
        image, mask, intrinsics, max_edge_px=limits.max_edge_px, cut_out=found.is_alpha
    )
    size = (image.shape[1], image.shape[0])
    view = View(photo.name, Camera(intrinsics, photo.world_from_camera, size), image, mask)
    findings = (*decoded.findings, *found.findings, *_size_findings(view, oriented.size))
    noticed = findings + (border_findings(view.name, mask) if mask is not None else ())
    return _Read(view, noticed, sharpness=sharpness_of(view) or None)  # 0: too small an object to tell


def _oriented(decoded: Photo, photo: PosedPhoto, preferred: str) -> tuple[Photo, bool]:
    """The photo as its camera saw it, and whether that is as stored, not upright.

    Some solvers turn photos by EXIF and some do not; the size that the cameras are for tells, where it can.
    """
    if decoded.exif.orientation == 1:
        return decoded, False
    turned = as_stored(decoded)
    fits_upright, fits_stored = _fits(photo, decoded), _fits(photo, turned)
    if fits_stored and (not fits_upright or preferred == "stored"):
        return turned, True
    return decoded, False


def _fits(photo: PosedPhoto, decoded: Photo) -> bool:
    if photo.lens.size is None:
        return True
    (width, height), (stated_width, stated_height) = decoded.size, photo.lens.size
    return abs(stated_height * width / stated_width - height) <= max(1.0, width / stated_width)


def _size_findings(view: View, given: tuple[int, int]) -> tuple[Finding, ...]:
    found = []
    if max(given) > max(view.camera.size):
        width, height = view.camera.size
        text = f"was reduced from {given[0]} x {given[1]} to {width} x {height} pixels."
        found.append(photo_finding("photos_reduced", "info", view.name, text))
    if min(given) < _LOW_RESOLUTION_PX:
        text = f"has only {given[0]} x {given[1]} pixels, so little detail can come of it."
        found.append(photo_finding("low_resolution", "warning", view.name, text))
    return tuple(found)


def _dropped(problems: Sequence[tuple[PosedPhoto, InputError]]) -> tuple[Finding, ...]:
    """One finding per kind of problem."""
    groups: dict[tuple[type, object], list[Finding]] = {}
    for photo, problem in problems:
        words = f"{problem.message} It was left out. {problem.hint}".strip()
        group = groups.setdefault((type(problem), problem.details.get("reason")), [])
        group.append(Finding("photo_dropped", "warning", words, (photo.name,)))
    return tuple(finding for group in groups.values() for finding in merge_findings(group))


def _too_few(usable: int, problems: Sequence[InputError], posed: PosedPhotos, min_views: int) -> InputError:
    """The one reason if all photos share it, else `TooFewViews` with the first reason."""
    if not problems:
        return TooFewViews(
            f"{posed.file.name} names {usable} photos; at least {min_views} are needed.",
            hint="Take more photos.",
        )
    first = problems[0]
    details = {**first.details, "photos": [problem.message for problem in problems]}
    if usable == 0 and len({type(problem) for problem in problems}) == 1:
        count = f" The same goes for the other {len(problems) - 1} photos." if len(problems) > 1 else ""
        return type(first)(first.message + count, hint=first.hint, details=details)
    count = f"Only {usable} of {len(posed.photos)} photos can be used; at least {min_views} are needed."
    return TooFewViews(
        f"{count} {first.message}",
        hint=first.hint,
        details=details,
    )


def in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], report: Callable[[float], None]
) -> list[Result]:
    """`work` of each item, in order, on a few threads; decoders release the interpreter lock.

    `report` gets the share that is done at least twice a second; if it or `work` raises, what has not begun
    is dropped.
    """
    threads = min(_MAX_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
    with ThreadPoolExecutor(threads, thread_name_prefix="capture") as pool:
        futures: list[Future[Result]] = [pool.submit(work, item) for item in items]
        try:
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                report(1 - len(pending) / max(len(futures), 1))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [future.result() for future in futures]
