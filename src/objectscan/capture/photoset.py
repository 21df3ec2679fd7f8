"""What passes between the steps that turn plain photographs into a posed, masked capture.

    folder, archive or video -> PhotoSet -> (judged) -> SolvedCameras -> masks -> files that `ingest` reads

Numpy and paths only, no behaviour. Every path lies in the job's work folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int32, UInt8

from objectscan.capture.formats.posed import Lens
from objectscan.types import Finding


@dataclass(frozen=True, slots=True)
class PlainPhoto:
    """One usable photo, decoded once: upright, sRGB, reduced to the working size."""

    name: str
    """The user's file name, unique in the set; every message about the photo uses it."""
    path: Path
    """The normalised picture (JPEG q95 or PNG) in the work folder. Orientation 1, no position data."""
    size: tuple[int, int]
    """(width, height) of the normalised picture."""
    focal_prior_px: float | None = None
    """From EXIF, in pixels of `size`; a prior, not truth."""
    camera: str | None = None
    """EXIF make and model, or None."""
    taken: str | None = None
    """'YYYY:MM:DD HH:MM:SS' by the camera's clock, or None."""
    mask_path: Path | None = None
    """The user's own mask (real alpha or a mask file) as an 8-bit PNG of `size`, or None."""
    file_size: tuple[int, int] | None = None
    """(width, height) of the picture as given, upright; None if not known."""


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Plain photos of one object, in the order in which they were probably taken."""

    photos: tuple[PlainPhoto, ...]
    is_ordered: bool
    """Whether names or EXIF times tell the order, so that neighbours in the list overlap."""
    findings: tuple[Finding, ...] = ()
    """What was noticed so far: dropped files by name, reduced photos, stray files."""


@dataclass(frozen=True, slots=True)
class SolvedCameras:
    """Cameras found from the photos alone, with the evidence for trusting them."""

    lenses: Mapping[str, Lens]
    """By photo name; equal values if the photos share one camera. Pixels of `PlainPhoto.size`."""
    world_from_camera: Mapping[str, Float[np.ndarray, "4 4"]]
    """Rigid, OpenCV axes, by photo name; photos without a trusted pose are absent."""
    points: Float[np.ndarray, "P 3"]
    """Sparse points, world frame."""
    point_colors_srgb: UInt8[np.ndarray, "P 3"]
    observations: Int32[np.ndarray, "O 2"]
    """(index into `points`, index into `photo_names`): which photo saw which point."""
    photo_names: tuple[str, ...]
    """Photos with a pose, as `observations` numbers them."""
    grade: Literal["good", "doubtful", "bad"]
    """`bad` is refused by the caller; `doubtful` goes on with a warning."""
    scale_known: bool = False
    """True if one world unit is one metre, from a printed marker."""
    support_plane: Float[np.ndarray, " 4"] | None = None
    """Unit normal towards the object and offset: normal . x + offset = 0 on the plane it stands on."""
    is_turntable: bool = False
    """Whether the object turned in front of a still camera, so that the background tells nothing."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Named evidence: pair consistency, median triangulation angle, tracks, focal against its prior."""
    findings: tuple[Finding, ...] = ()
    """With grade `bad` the first of severity `error` is the reason, its code `details["reason"]`."""
    places_px: Float[np.ndarray, "O 2"] = field(default_factory=lambda: np.zeros((0, 2)))
    """(column, row) of each observation in pixels of `PlainPhoto.size`."""
    point_errors_px: Float[np.ndarray, " P"] = field(default_factory=lambda: np.zeros(0))
    """Mean distance between where photos show a point and where the cameras put it."""
