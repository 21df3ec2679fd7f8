"""The pictures and masks that the solver looks at: reduced photos under plain names, in the work folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import PlainPhoto
from objectscan.errors import UnreadableImage

_MASK_MARGIN_PX = 5
"""Masks are widened by this much: else their edge itself is found as a feature."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One photo as the solver sees it."""

    file_name: str
    photo: PlainPhoto
    size: tuple[int, int]
    """(width, height); sides times `scale` are the photo's."""

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y): pixels of the photo for one of the picture."""
        return self.photo.size[0] / self.size[0], self.photo.size[1] / self.size[1]

    @property
    def focal_prior_px(self) -> float | None:
        """EXIF's focal length in pixels of the picture."""
        prior = self.photo.focal_prior_px
        return None if prior is None else prior / self.scale[0]

    def lens_of_photo(self, lens: np.ndarray) -> Lens:
        """A lens in pixels of the photo from (focal, column, row, k1) in pixels of the picture."""
        x, y = self.scale
        focal, column, row, k1 = (float(value) for value in lens)
        distortion = (k1, 0.0, 0.0, 0.0) if k1 else ()
        return Lens(
            (focal * x, focal * y), (None, None), (column * x, row * y), self.photo.size, "brown", distortion
        )


def write_pictures(photos: tuple[PlainPhoto, ...], folder: Path, max_edge_px: int) -> tuple[Picture, ...]:
    """Write the photos, reduced to `max_edge_px` where they are larger, as 0000.jpg, 0001.jpg ...

    Plain names, since those of users may hold anything. A photo of that size already is linked, not copied.

    Raises:
        UnreadableImage: A file of the photo set is missing or broken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(_write(photo, number, folder, max_edge_px) for number, photo in enumerate(photos))


def write_masks(pictures: tuple[Picture, ...], masks: Mapping[str, Path], folder: Path) -> None:
    """Write masks (by photo name; white is kept) for COLMAP: as large as the pictures, a little wider.

    Raises:
        UnreadableImage: A mask file is missing or broken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _MASK_MARGIN_PX + 1,) * 2)
    for picture in pictures:
        if picture.photo.name not in masks:
            continue
        mask = _read(masks[picture.photo.name], f"the mask of {picture.photo.name}", cv2.IMREAD_GRAYSCALE)
        mask = cv2.resize(mask, picture.size, interpolation=cv2.INTER_AREA)
        widened = cv2.dilate(np.where(mask >= 128, 255, 0).astype(np.uint8), kernel)
        _save(folder / f"{picture.file_name}.png", widened)


def _write(photo: PlainPhoto, number: int, folder: Path, max_edge_px: int) -> Picture:
    factor = max_edge_px / max(photo.size)
    suffix = photo.path.suffix.lower()
    if factor >= 1 and suffix in (".jpg", ".jpeg", ".png"):
        target = folder / f"{number:04d}{suffix}"
        target.unlink(missing_ok=True)
        if not photo.path.is_file():
            raise _unreadable(photo.name)
        target.symlink_to(photo.path.resolve())
        return Picture(target.name, photo, photo.size)
    size = tuple(max(1, round(side * min(1.0, factor))) for side in photo.size)
    image = cv2.resize(_read(photo.path, photo.name, cv2.IMREAD_COLOR), size, interpolation=cv2.INTER_AREA)
    target = folder / f"{number:04d}.jpg"
    target.unlink(missing_ok=True)
    _save(target, image)
    return Picture(target.name, photo, (size[0], size[1]))


def _read(file: Path, name: str, flags: int) -> np.ndarray:
    data = np.frombuffer(file.read_bytes(), np.uint8) if file.is_file() else np.zeros(0, np.uint8)
    image = cv2.imdecode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
    if image is None:
        raise _unreadable(name)
    return image


def _save(file: Path, image: np.ndarray) -> None:
    ok, encoded = cv2.imencode(file.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    if not ok:
        raise OSError(f"{file.name} could not be encoded")
    file.write_bytes(encoded.tobytes())


def _unreadable(name: str) -> UnreadableImage:
    return UnreadableImage(
        f"{name} can't be read.",
        hint="Gather the photos again.",
        details={"reason": "missing", "photo": name},
    )
