"""The masks of a photo set, as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from objectscan.capture.photoset import PlainPhoto
from objectscan.errors import BadWorkspace, UnreadableImage
from objectscan.types import Finding, MaskSource

Source = MaskSource


@dataclass(frozen=True, slots=True)
class MaskSet:
    """One 8-bit mask picture of `PlainPhoto.size` for each photo that has a usable one, by photo name."""

    paths: Mapping[str, Path]
    confidence: Mapping[str, float]
    """In [0, 1], by photo name: 1 for the user's own; 0 for photos whose mask failed."""
    sources: Mapping[str, Source]
    """Who made it: `hull` is the outline of what all other photos agree on, in place of a failed mask."""
    bounds: Float[np.ndarray, "2 3"] | None = None
    """Axis-aligned box (min, max) about the object in the cameras' world; None without cameras."""
    findings: tuple[Finding, ...] = field(default=())


def write_mask(mask: UInt8[np.ndarray, "H W"], photo: PlainPhoto, folder: Path) -> Path:
    """Write a photo's mask as FOLDER/PHOTO_FILE.png, where `find_mask_file` and COLMAP look for it.

    Raises:
        BadWorkspace: The folder can't be written.
    """
    path = folder / f"{photo.path.name}.png"
    ok, encoded = cv2.imencode(".png", mask)
    try:
        if not ok:
            raise OSError("the picture could not be encoded")
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.tobytes())
    except OSError as problem:
        raise BadWorkspace(
            f"{path} can't be written: {problem}.", hint="Free some space or choose another folder."
        ) from problem
    return path


def read_picture(path: Path, photo: PlainPhoto, *, gray: bool = False) -> np.ndarray:
    """A picture of the work folder, [H W 3] sRGB or [H W], in its photo's size.

    Raises:
        UnreadableImage: It is missing, damaged or of another size.
    """
    mode = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    data = np.fromfile(path, np.uint8) if path.is_file() else np.zeros(0, np.uint8)
    pixels = cv2.imdecode(data, mode) if len(data) else None
    if pixels is None or (pixels.shape[1], pixels.shape[0]) != photo.size:
        raise UnreadableImage(
            f"{path.name}, made from {photo.name}, is missing, damaged or not of {photo.size} pixels.",
            hint="Remove the work folder and run again.",
            details={"reason": "missing", "photo": photo.name},
        )
    return pixels if gray else np.ascontiguousarray(pixels[..., ::-1])
