"""From photographs to a capture without cameras: only pictures and masks, for engines that need no more."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from objectscan.capture.archives import is_archive, unpack_photos
from objectscan.capture.folder import save_capture
from objectscan.capture.gather import gather
from objectscan.capture.limits import ImageLimits
from objectscan.capture.photoset import PhotoSet, PlainPhoto
from objectscan.capture.plain_records import unread_records
from objectscan.capture.records import thumbnail_of
from objectscan.capture.segment.cut_out import cut_out
from objectscan.capture.segment.mask_set import MaskSet, read_picture
from objectscan.capture.segment.model import Segmenter
from objectscan.errors import MasksNotFound
from objectscan.types import Camera, Capture, Finding, PhotoRecord, ProgressFn, View, ignore_progress

STAGES: tuple[tuple[str, float], ...] = (("gather", 0.1), ("mask", 0.9))
"""(stage, share of the time): 0.05 s a photo to read it, 0.4 s a look of the network at it."""
_FOCAL_LENGTHS = 1.2
"""Of the stand-in cameras, in longer sides of the photo: a phone's, about 45 degrees."""


def unposed_capture(
    photos: Path, out: Path, limits: ImageLimits, model: Segmenter, report: ProgressFn = ignore_progress
) -> Path:
    """Read plain photos, find the object in those without a mask, and write them as a capture.

    One photo is enough. The result has `Capture.cameras_known` False.

    Args:
        photos: Folder or zip of photographs, with alpha or masks or neither; only read.
        out: Folder for the capture; what an earlier call left there is replaced.
        limits: On files, pixels and photos; `min_views` does not count.
        model: The network for masks.
        report: Receives progress of the stages in `STAGES`; may raise `Cancelled`.

    Returns:
        `out`, which `load_capture` reads.

    Raises:
        InputError: A photo can't be used and no other is left.
        MasksNotFound: Object and background can't be told apart.
        BadWorkspace: `out` can't be written.
    """
    shutil.rmtree(out, ignore_errors=True)
    work = out / "work"
    folder = unpack_photos(photos, work / "unpacked", report=report) if is_archive(photos) else photos
    photo_set = gather(folder, work, replace(limits, min_views=1), report)
    masks = cut_out(photo_set, None, work, model=model, report=report)
    save_capture(_capture(photo_set, masks), out)
    shutil.rmtree(work, ignore_errors=True)
    return out


def _capture(photos: PhotoSet, masks: MaskSet) -> Capture:
    views = tuple(
        _view(photo, masks.paths[photo.name]) for photo in photos.photos if photo.name in masks.paths
    )
    if not views:
        raise MasksNotFound(
            f"No object was found in any of {len(photos.photos)} photos.",
            hint="Give photos with an alpha channel, or a folder 'masks' with one picture per photo.",
        )
    words = "Where the photos were taken from is not known; only what they show is used."
    findings = (*photos.findings, *masks.findings, Finding("cameras_unknown", "info", words))
    records = (*(_record(photo, masks) for photo in photos.photos), *unread_records(photos))
    return Capture(views, np.eye(4), findings=findings, cameras_known=False, photos=records)


def _record(photo: PlainPhoto, masks: MaskSet) -> PhotoRecord:
    confidence = masks.confidence.get(photo.name)
    if photo.name in masks.paths:
        source = masks.sources[photo.name]
        return PhotoRecord(photo.name, photo.name, mask_source=source, mask_confidence=confidence)
    thumbnail = thumbnail_of(read_picture(photo.path, photo))
    reason = "No object was found in it."
    return PhotoRecord(photo.name, None, reason, mask_confidence=confidence, thumbnail=thumbnail)


def _view(photo: PlainPhoto, mask: Path) -> View:
    """The photo with a camera that stands in for the unknown one."""
    width, height = photo.size
    focal_px = _FOCAL_LENGTHS * max(photo.size)
    intrinsics = np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1.0]])
    return View(
        photo.name,
        Camera(intrinsics, np.eye(4), photo.size),
        read_picture(photo.path, photo),
        read_picture(mask, photo, gray=True),
    )
