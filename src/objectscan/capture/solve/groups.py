"""Which photos share one camera: those of the same size, camera and focal length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from objectscan.capture.photoset import PlainPhoto

SAME_FOCAL = 0.01
"""Focal lengths from EXIF that differ by less are one: it is written in whole millimetres or tenths."""
_NO_PRIOR_FACTOR = 1.2
"""Focal length over the longer side where nothing is known, as in COLMAP (an angle of 45 degrees)."""


@dataclass(frozen=True, slots=True)
class CameraGroup:
    """Photos that get the same focal length and distortion."""

    photos: tuple[str, ...]
    size: tuple[int, int]
    """(width, height)"""
    focal_prior_px: float | None
    """Mean of the photos' priors, or None if they have none."""

    @property
    def first_focal_px(self) -> float:
        """Where the search for the focal length starts."""
        return self.focal_prior_px or _NO_PRIOR_FACTOR * max(self.size)


def camera_groups(photos: Sequence[PlainPhoto]) -> tuple[CameraGroup, ...]:
    """Photos by camera, in order of first appearance; one group if all agree.

    Photos of another size, turned ones included, have another principal point and so another camera.
    """
    groups: list[list[PlainPhoto]] = []
    for photo in photos:
        fitting = next((group for group in groups if _is_same_camera(group[0], photo)), None)
        if fitting is None:
            groups.append([photo])
        else:
            fitting.append(photo)
    return tuple(_group(photos) for photos in groups)


def _is_same_camera(one: PlainPhoto, other: PlainPhoto) -> bool:
    if one.size != other.size or one.camera != other.camera:
        return False
    if one.focal_prior_px is None or other.focal_prior_px is None:
        return one.focal_prior_px is other.focal_prior_px
    return abs(one.focal_prior_px / other.focal_prior_px - 1) < SAME_FOCAL


def _group(photos: Sequence[PlainPhoto]) -> CameraGroup:
    priors = [photo.focal_prior_px for photo in photos if photo.focal_prior_px is not None]
    names = tuple(photo.name for photo in photos)
    return CameraGroup(names, photos[0].size, sum(priors) / len(priors) if priors else None)
