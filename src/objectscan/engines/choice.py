"""What `engine = auto` chooses, and why, in words that a person can check.

Many photos with trusted cameras: optimise what they show. Few, or no cameras: generate, if the weights are
here. Nothing is chosen that is known to fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from objectscan.errors import MissingWeights
from objectscan.types import Capture
from objectscan.weights.model import Collection

_ENOUGH_PHOTOS = 12
"""From here on photos can be held back as evidence."""
_FEWEST_PHOTOS = 6
"""The sparsest capture that was measured: F .72, too thick, but an object (docs/experiments.md)."""
_WIDEST_GAP_DEG = 120.0
"""Beyond, a third of the way around was seen by nobody, and that is said; no reason to invent the rest."""


@dataclass(frozen=True, slots=True)
class PhotoSupport:
    """What is known about the photos before any engine runs."""

    photos: int
    """Usable ones."""
    registered: int
    """Those with a camera, given or solved."""
    cameras: Literal["given", "good", "doubtful", "bad", "none"]
    """Whence the cameras: the user's own, or solved with this grade."""
    largest_gap_deg: float = 360.0
    """Largest angle between neighbouring cameras around the object."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine and the reason."""

    engine: Literal["nvdiffrec", "reconviagen"]
    reason: str
    collection: str | None = None
    """Of the weights, for the engine that needs some."""


def choose_engine(
    support: PhotoSupport, weights: Sequence[Collection], *, commercial: bool = False
) -> EngineChoice:
    """Choose an engine for photos.

    Args:
        support: What is known about the photos.
        weights: Complete collections on this machine, best first (`catalogue.collections_here`).
        commercial: Use only weights that allow commercial use.

    Raises:
        MissingWeights: The photos are not enough for the optimiser, and no weights that may be used are here;
            says what to install and how to photograph.
    """
    problem = _against_optimising(support, _ENOUGH_PHOTOS)
    if problem is None:
        return EngineChoice("nvdiffrec", _enough(support))
    usable = [c for c in weights if not commercial or c.commercial_use == "allowed"]
    if usable:
        return EngineChoice(
            "reconviagen",
            f"{problem}; what no photo shows is generated, with the weights '{usable[0].name}'",
            usable[0].name,
        )
    if _against_optimising(support, _FEWEST_PHOTOS) is None:
        return EngineChoice("nvdiffrec", f"{problem}, but no weights to generate with are here")
    raise _nothing_works(problem, [collection.name for collection in weights], commercial=commercial)


def largest_gap_deg(capture: Capture) -> float:
    """Largest angle between neighbouring cameras around the object, in [0, 360]; 360 for one camera.

    Around the upward direction of the photos, since the frame of given cameras may lie anyhow; the object is
    where the cameras look, in the least-squares sense.
    """
    poses = np.stack([view.camera.world_from_camera for view in capture.views])
    upward = _upward(poses)
    around = poses[:, :3, 3] - _looked_at(poses)
    around -= np.outer(around @ upward, upward)
    east = np.linalg.svd(upward[None])[2][1]
    angles_deg = np.sort(np.degrees(np.arctan2(around @ np.cross(upward, east), around @ east)))
    return float(np.diff(angles_deg, append=angles_deg[0] + 360.0).max())


def _upward(poses: np.ndarray) -> np.ndarray:
    """At right angles to the rows of all photos; where one place leaves that open, as their columns say."""
    rows, columns = poses[:, :3, 0], poses[:, :3, 1].mean(axis=0)
    spread = rows.T @ rows / len(rows) - 1e-3 * np.outer(columns, columns)
    found: np.ndarray = np.linalg.eigh(spread)[1][:, 0]
    return found


def _looked_at(poses: np.ndarray) -> np.ndarray:
    """The point nearest to all optical axes; the mean of the cameras decides what the axes leave open."""
    axes, centres = poses[:, :3, 2], poses[:, :3, 3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    middle = centres.mean(axis=0)
    offsets = np.einsum("nij,nj->i", across, centres - middle)
    found: np.ndarray = np.linalg.lstsq(across.sum(axis=0), offsets, rcond=1e-6)[0] + middle
    return found


def _against_optimising(support: PhotoSupport, fewest: int) -> str | None:
    """Why the optimiser should not have these photos; None if it may."""
    if support.cameras in ("bad", "none") or support.registered == 0:
        return f"no trusted cameras for {_photos(support.photos)}"
    if support.registered < fewest:
        of = f" of {support.photos}" if support.photos != support.registered else ""
        return f"only {support.registered}{of} photos have cameras, and {fewest} are needed"
    return None


def _photos(count: int) -> str:
    return f"{count} photo{'' if count == 1 else 's'}"


def _enough(support: PhotoSupport) -> str:
    trust = {"given": "given cameras", "good": "cameras found", "doubtful": "cameras found, doubtful ones"}
    gap = f"no gap above {support.largest_gap_deg:.0f} degrees"
    if support.largest_gap_deg > _WIDEST_GAP_DEG:
        gap = f"none for {support.largest_gap_deg:.0f} degrees of the way around: that side stays a guess"
    return f"{support.registered} of {support.photos} photos with {trust[support.cameras]}, {gap}"


def _nothing_works(problem: str, present: Sequence[str], *, commercial: bool) -> MissingWeights:
    wanted = "trellis" if commercial else "reconviagen"
    words = f"{problem[0].upper()}{problem[1:]}, and weights to generate the rest are not installed"
    if commercial and present:
        words += f" for commercial use (only '{present[0]}')"
    return MissingWeights(
        f"{words}.",
        hint=f"Take 24 to 36 photos all around the object, about 15 degrees apart, in even light; or install "
        f"weights: `objectscan models pull {wanted}` (docs/generative-weights.md).",
        details={"collections_here": list(present), "wanted": wanted},
    )
