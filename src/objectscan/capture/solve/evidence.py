"""What the child process found, as plain arrays: matches of all pairs, and models (cameras and points).

Both are in pixels of the pictures that were looked at (`pictures.py`), pixel centres at +0.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int32, Int64, UInt8

PLANAR_KINDS = (4, 5, 6)
"""COLMAP's numbers for pairs that a homography explains: planar, panoramic, either."""


@dataclass(frozen=True, slots=True)
class PairMatches:
    """Matches that agree with the two-view geometry of their pair, for every pair that has one."""

    photos: tuple[str, ...]
    features: Int32[np.ndarray, " N"]
    """Features found in each photo."""
    pairs: Int32[np.ndarray, "Q 2"]
    """Indices into `photos`."""
    kinds: Int32[np.ndarray, " Q"]
    """COLMAP's TwoViewGeometryConfiguration."""
    starts: Int64[np.ndarray, " Q+1"]
    """Matches of pair q are rows starts[q] to starts[q + 1]."""
    first: Float32[np.ndarray, "M 2"]
    """(column, row) in the pair's first photo, pixels."""
    second: Float32[np.ndarray, "M 2"]

    @property
    def counts(self) -> Int64[np.ndarray, " Q"]:
        """Matches of each pair."""
        return np.diff(self.starts)

    def rows(self, pair: int) -> slice:
        """Rows of one pair in `first` and `second`."""
        return slice(int(self.starts[pair]), int(self.starts[pair + 1]))


@dataclass(frozen=True, slots=True)
class SparseModel:
    """Cameras and points of one connected solution, in a world of its own and of unknown scale."""

    folder: Path
    """Where the model's COLMAP files are."""
    photos: tuple[str, ...]
    camera_from_world: Float[np.ndarray, "I 3 4"]
    lenses: Float[np.ndarray, "I 4"]
    """Focal length, principal point (column, row) in pixels, and k1 of SIMPLE_RADIAL."""
    points: Float[np.ndarray, "P 3"]
    colors_srgb: UInt8[np.ndarray, "P 3"]
    errors_px: Float[np.ndarray, " P"]
    """Mean reprojection error of each point."""
    observations: Int32[np.ndarray, "O 2"]
    """(point, photo) indices."""
    places_px: Float[np.ndarray, "O 2"]
    """Where the photo has the point: (column, row)."""

    @property
    def centres(self) -> Float[np.ndarray, "I 3"]:
        """Camera centres, world frame."""
        rotations, shifts = self.camera_from_world[:, :, :3], self.camera_from_world[:, :, 3]
        return -np.einsum("iba,ib->ia", rotations, shifts)

    @property
    def track_lengths(self) -> Int64[np.ndarray, " P"]:
        """Photos that see each point."""
        return np.bincount(self.observations[:, 0], minlength=len(self.points))


def load_matches(file: Path, names: Mapping[str, str]) -> PairMatches:
    """Matches written by the child; `names` are the photos' names by picture file name."""
    with np.load(file) as values:
        return PairMatches(
            tuple(names[name] for name in values["images"].tolist()),
            values["features"],
            values["pairs"],
            values["kinds"],
            values["starts"],
            values["first"],
            values["second"],
        )


def load_models(folder: Path, names: Mapping[str, str]) -> tuple[SparseModel, ...]:
    """Models written by the child, largest first."""
    files = sorted(folder.glob("model_*/model.npz"), key=lambda file: int(file.parent.name.split("_")[1]))
    return tuple(load_model(file.parent, names) for file in files)


def load_model(folder: Path, names: Mapping[str, str]) -> SparseModel:
    """One model written by the child."""
    with np.load(folder / "model.npz") as values:
        return SparseModel(
            folder,
            tuple(names[name] for name in values["images"].tolist()),
            values["camera_from_world"],
            values["lenses"],
            values["points"],
            values["colors"],
            values["errors"],
            values["observations"],
            values["places"],
        )
