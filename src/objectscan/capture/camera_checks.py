"""Checks of all cameras of a capture together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from objectscan.capture.orientation import meeting_point
from objectscan.errors import BadCameras
from objectscan.types import Finding

_SAME_PLACE = 1e-6
"""Spread of the cameras as a share of their distance from the origin; rounding makes as much."""


def check_baseline(world_from_cameras: Sequence[Float[np.ndarray, "4 4"]], file: str) -> None:
    """Raise `BadCameras` if all cameras stand in one place: depth can't be told from there."""
    centres = np.array([transform[:3, 3] for transform in world_from_cameras])
    spread = float(np.ptp(centres, axis=0).max())
    if spread <= _SAME_PLACE * max(float(np.abs(centres).max()), 1e-12):
        raise BadCameras(
            f"{file}: all {len(centres)} cameras stand in the same place (within {spread:.2g} units).",
            hint="Photos must be taken from different places around the object.",
        )


def look_away_findings(
    world_from_cameras: Sequence[Float[np.ndarray, "4 4"]], file: str
) -> tuple[Finding, ...]:
    """A finding if the point where the optical axes meet lies behind most cameras."""
    point = meeting_point(world_from_cameras)
    depths = [float((point - transform[:3, 3]) @ transform[:3, 2]) for transform in world_from_cameras]
    behind = sum(depth <= 0 for depth in depths)
    if behind <= len(depths) / 2:
        return ()
    place = np.round(point, 3).tolist()
    words = (
        f"{file}: {behind} of {len(depths)} cameras look away from {place}, where their axes "
        'meet. If the file has OpenCV camera axes, add "camera_axes": "opencv" to it.'
    )
    return (Finding("cameras_look_away", "warning", words),)
