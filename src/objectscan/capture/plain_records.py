"""What became of each plain photo on the way to a capture: judged, placed and cut out, or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Float

from objectscan.capture.checks import Judgement
from objectscan.capture.photoset import PhotoSet, PlainPhoto, SolvedCameras
from objectscan.capture.records import thumbnail_of
from objectscan.capture.segment.mask_set import MaskSet
from objectscan.capture.solve.write import file_names, placed_photos
from objectscan.types import Finding, PhotoRecord

_LEFT_OUT = {
    "photo_dropped": "",
    "duplicate_images": "It shows exactly what another photo shows.",
    "unregistered_images": "It fits nowhere among the others, so that it has no camera.",
    "separate_group": "It fits some photos, but not those that most of the model is made from.",
}
"""Findings that name photos which were left out, and the reason for one photo; else the finding's words."""
_NO_PLACE = "No camera was found for it."
_REDUCED = cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION


def plain_records(
    photos: PhotoSet, judgement: Judgement, solved: SolvedCameras, masks: MaskSet
) -> tuple[PhotoRecord, ...]:
    """One record for each photo of the set, then one for each that was never part of it."""
    names = file_names(placed_photos(photos, solved))
    sharpness = {photo.name: photo.sharpness for photo in judgement.photos}
    tied = camera_support(solved)
    reasons = _reasons(solved.findings)
    placed = [
        _record(photo, names.get(photo.name), sharpness.get(photo.name), tied, masks, reasons)
        for photo in photos.photos
    ]
    return (*placed, *unread_records(photos))


def unread_records(photos: PhotoSet) -> tuple[PhotoRecord, ...]:
    """Photos that were left out while they were gathered."""
    return tuple(PhotoRecord(name, None, reason) for name, reason in _reasons(photos.findings).items())


def camera_support(solved: SolvedCameras) -> dict[str, tuple[int, float | None]]:
    """What each photo's camera rests on: (sparse points, their mean reprojection error in pixels or None)."""
    if not len(solved.observations):
        return dict.fromkeys(solved.photo_names, (0, None))
    errors_px = _errors_px(solved) if len(solved.places_px) else None
    support: dict[str, tuple[int, float | None]] = {}
    for index, name in enumerate(solved.photo_names):
        own = solved.observations[:, 1] == index
        count = int(own.sum())
        error = float(errors_px[own].mean()) if errors_px is not None and count else None
        support[name] = count, error
    return support


def _errors_px(solved: SolvedCameras) -> Float[np.ndarray, " O"]:
    """Distance of each observation from its point seen through its camera (pinhole and k1)."""
    points, photos = solved.observations.T
    result = np.zeros(len(points))
    for index, name in enumerate(solved.photo_names):
        own = photos == index
        lens, world_from_camera = solved.lenses[name], solved.world_from_camera[name]
        if not own.any() or lens.focal_px is None or lens.centre_px is None:
            continue
        in_camera = (solved.points[points[own]] - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]
        flat = in_camera[:, :2] / np.maximum(in_camera[:, 2:], 1e-12)
        k1 = lens.distortion[0] if lens.distortion else 0.0
        bent = flat * (1.0 + k1 * (flat**2).sum(1, keepdims=True))
        seen = bent * np.array(lens.focal_px) + np.array(lens.centre_px)
        result[own] = np.linalg.norm(seen - solved.places_px[own], axis=1)
    return result


def _record(
    photo: PlainPhoto, view: str | None, sharpness: float | None,
    tied: Mapping[str, tuple[int, float | None]], masks: MaskSet, reasons: Mapping[str, str],
) -> PhotoRecord:  # fmt: skip
    if view is None:
        reason = reasons.get(photo.name, _NO_PLACE)
        return PhotoRecord(photo.name, None, reason, sharpness, thumbnail=_thumbnail(photo))
    points, error_px = tied.get(photo.name, (None, None))
    return PhotoRecord(
        photo.name,
        view,
        sharpness=sharpness,
        points=points,
        reprojection_error_px=error_px,
        mask_source=masks.sources.get(photo.name),
        mask_confidence=masks.confidence.get(photo.name),
    )


def _reasons(findings: Sequence[Finding]) -> dict[str, str]:
    """Why photos were left out, by name; the first finding that names one tells."""
    told: dict[str, str] = {}
    for finding in findings:
        if finding.code in _LEFT_OUT:
            for name in finding.photos:
                told.setdefault(name, _LEFT_OUT[finding.code] or finding.message)
    return told


def _thumbnail(photo: PlainPhoto) -> bytes | None:
    picture = cv2.imread(str(photo.path), _REDUCED if max(photo.size) >= 960 else cv2.IMREAD_COLOR)
    return None if picture is None else thumbnail_of(picture[..., ::-1])
