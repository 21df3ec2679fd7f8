"""Where the foreground mask of a photo comes from, and whether it can be one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from objectscan.capture.formats.paths import SUFFIXES
from objectscan.capture.images import Photo, as_stored, decode_photo
from objectscan.capture.limits import ImageLimits
from objectscan.capture.notes import photo_finding
from objectscan.errors import BadMasks
from objectscan.types import Finding

_INSIDE = 128
"""From this value on a pixel counts as object where a yes or no is needed."""


@dataclass(frozen=True, slots=True)
class PhotoMask:
    """The mask of one photo, or the knowledge that there is none."""

    mask: UInt8[np.ndarray, "H W"] | None
    is_alpha: bool = False
    """True if it is the photo's own alpha: the colour outside it then means nothing."""
    findings: tuple[Finding, ...] = ()


def find_mask_file(photo: Path) -> Path | None:
    """The mask of a photo in a folder `masks` beside it, beside its folder, or one level higher.

    Accepted names are the photo's own, its stem with any picture suffix, and COLMAP's `photo.jpg.png`.
    """
    places = (
        photo.parent / "masks",
        photo.parent.parent / "masks",
        photo.parent.parent.parent / "masks" / photo.parent.name,
    )
    suffixes = [*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)]
    names = [f"{photo.name}.png", *(photo.stem + suffix for suffix in suffixes)]
    for place in places:
        if place.is_dir():
            found = next((place / name for name in names if (place / name).is_file()), None)
            if found is not None and found != photo:
                return found
    return None


def mask_of(photo: Photo, mask_file: Path | None, limits: ImageLimits, *, stored: bool = False) -> PhotoMask:
    """The foreground mask of a decoded photo: from its mask file if there is one, else from its alpha.

    Args:
        photo: The photo, in the orientation that its camera has.
        mask_file: Its mask picture; white is object. It must have the photo's size or its aspect.
        limits: For reading the mask picture.
        stored: Whether the photo was kept as stored (`as_stored`), so that its mask must be too.

    Raises:
        BadMasks: The mask is empty, full (from a file), or of another aspect than the photo.
        UnreadableImage: The mask picture can't be read.
    """
    if mask_file is not None:
        return PhotoMask(_from_file(photo, mask_file, limits, stored))
    if photo.alpha is None:
        return PhotoMask(None)
    if photo.alpha.min() >= _INSIDE:
        text = "has an alpha channel that is opaque everywhere; it is treated as a photo without a mask."
        return PhotoMask(None, findings=(photo_finding("opaque_alpha", "warning", photo.name, text),))
    _refuse_empty(photo.alpha, photo.name, "alpha channel")
    return PhotoMask(photo.alpha, is_alpha=True)


def border_findings(name: str, mask: UInt8[np.ndarray, "H W"]) -> tuple[Finding, ...]:
    """A finding if the object reaches the edge of the photo, where it is cut off."""
    edges = {"top": mask[0], "bottom": mask[-1], "left": mask[:, 0], "right": mask[:, -1]}
    touched = [side for side, pixels in edges.items() if (pixels >= _INSIDE).sum() > 2]
    if not touched:
        return ()
    text = f"shows an object that touches the photo's edge ({', '.join(touched)}): it is cut off there"
    text += ", or the mask is inverted." if len(touched) == 4 else "."
    return (photo_finding("mask_touches_border", "warning", name, text),)


def _from_file(photo: Photo, file: Path, limits: ImageLimits, stored: bool) -> UInt8[np.ndarray, "H W"]:
    label = f"{file.parent.name}/{file.name}"
    picture = decode_photo(file, replace(limits, min_side_px=1, max_aspect=np.inf), name=label)
    picture = as_stored(picture) if stored else picture
    mask = _foreground_share(picture)
    refuse_useless(mask, photo.name, f"mask {label}")
    return _fitted(mask, photo, label)


def refuse_useless(mask: UInt8[np.ndarray, "H W"], photo: str, source: str) -> None:
    """Raise `BadMasks` if a mask marks nothing or everything as object; `source` says what it is called."""
    _refuse_empty(mask, photo, source)
    if mask.min() >= _INSIDE:
        raise BadMasks(
            f"The {source} of {photo} is white everywhere.",
            hint="White must be the object and black the rest.",
            details={"reason": "full_mask", "photo": photo},
        )


def _foreground_share(picture: Photo) -> UInt8[np.ndarray, "H W"]:
    """Brightest channel; the alpha channel if only that varies; labels of 0 and 1 count as 0 and 255."""
    mask = picture.image_srgb.max(axis=2)
    if picture.alpha is not None and mask.min() == mask.max():
        mask = picture.alpha
    return np.asarray(mask * np.uint8(255)) if mask.max() == 1 else mask


def _refuse_empty(mask: UInt8[np.ndarray, "H W"], photo: str, source: str) -> None:
    if not (mask >= _INSIDE).any():
        raise BadMasks(
            f"The {source} of {photo} is empty: no pixel is marked as object.",
            hint="White (opaque) must be the object.",
            details={"reason": "empty_mask", "photo": photo},
        )


def _fitted(mask: UInt8[np.ndarray, "H W"], photo: Photo, label: str) -> UInt8[np.ndarray, "H W"]:
    """The mask at the photo's size, if it has its aspect."""
    width, height = photo.size
    if mask.shape == (height, width):
        return mask
    scale = width / mask.shape[1]
    if abs(mask.shape[0] * scale - height) > max(1.0, scale):
        raise BadMasks(
            f"The mask {label} has {mask.shape[1]} x {mask.shape[0]} pixels, its photo {width} x {height}.",
            hint="Give masks of the photos' size.",
            details={"reason": "size", "photo": photo.name},
        )
    shrinks = scale < 1
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask, (width, height), interpolation=method), np.uint8)
