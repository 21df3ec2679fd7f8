"""What every camera-file reader returns: one entry per photo, always in the same axes and units."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from objectscan.types import Finding


@dataclass(frozen=True, slots=True)
class Lens:
    """Focal lengths, principal point and distortion, in pixels of `size`, or of the photo if that is None."""

    focal_px: tuple[float, float] | None
    """(x, y); None if only a field of view is given."""
    angle_rad: tuple[float | None, float | None] = (None, None)
    """Full (horizontal, vertical) field of view, where the file gives it instead of a focal length."""
    centre_px: tuple[float, float] | None = None
    """Principal point, pixel centres at +0.5; None for the middle of the photo."""
    size: tuple[int, int] | None = None
    """(width, height) that the pixels above refer to."""
    model: Literal["brown", "fisheye"] = "brown"
    distortion: tuple[float, ...] = ()
    """OpenCV order: k1 k2 p1 p2 [k3 [k4 k5 k6]] for `brown`, k1 k2 k3 k4 for `fisheye`."""


@dataclass(frozen=True, slots=True)
class PosedPhoto:
    """One photo that a camera file names."""

    name: str
    """Unique in the capture: the file name, or the path in the capture's folder if file names repeat."""
    label: str
    """How messages point at the entry: 'transforms.json, frame 3 (./images/03)'."""
    path: Path
    lens: Lens
    world_from_camera: Float[np.ndarray, "4 4"]
    """Rigid, OpenCV axes."""
    mask_path: Path | None = None


@dataclass(frozen=True, slots=True)
class PosedPhotos:
    """A whole camera file."""

    file: Path
    photos: tuple[PosedPhoto, ...]
    delivered_from_world: Float[np.ndarray, "4 4"]
    pixels: Literal["upright", "stored"]
    """Whether the cameras more likely refer to the photos as EXIF turns them, or as they are stored."""
    bounds: Float[np.ndarray, "2 3"] | None = None
    findings: tuple[Finding, ...] = field(default=())
    scale_known: bool = False
    """Whether the file says that one unit is one metre."""
