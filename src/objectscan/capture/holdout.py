"""Sets views aside before any optimisation sees them, so that the evidence is about what was not fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from objectscan.capture.orientation import meeting_point
from objectscan.types import Capture, Finding

FEWEST_TO_SPLIT = 12
"""Below this the fit needs every view; reference: quality profile 2026-11."""


def split_views(capture: Capture, *, every: int = 10) -> tuple[Capture, Capture]:
    """Split a capture into the views to fit and the views to hold out.

    Views are ordered by azimuth around the object, and held-out views are spread evenly in that order: one in
    `every`, at least 2. No randomness is involved.

    Args:
        capture: With fewer than 12 views nothing is held out.
        every: 0 holds nothing out.

    Returns:
        (fit, held out). If nothing is held out, the second has no views and the first carries a finding
        `evidence_from_training_views`.
    """
    count = len(capture.views)
    if every <= 0 or count < FEWEST_TO_SPLIT:
        words = f"All {count} photos go into the model, so the evidence is from photos it was fitted to."
        finding = Finding("evidence_from_training_views", "warning", words)
        return replace(capture, findings=(*capture.findings, finding)), replace(capture, views=())
    held_out_count = max(2, count // every)
    order = np.argsort(azimuths_rad(capture), kind="stable")
    places = ((np.arange(held_out_count) + 0.5) * count / held_out_count).astype(int)
    chosen = set(order[places].tolist())
    fit = tuple(view for index, view in enumerate(capture.views) if index not in chosen)
    held_out = tuple(view for index, view in enumerate(capture.views) if index in chosen)
    return replace(capture, views=fit), replace(capture, views=held_out)


def object_centre(capture: Capture) -> Float[np.ndarray, " 3"]:
    """World point in the middle of the stated bounds, or else where the optical axes meet."""
    if capture.bounds is not None:
        return np.asarray(capture.bounds.mean(axis=0))
    return meeting_point([view.camera.world_from_camera for view in capture.views])


def directions_to_cameras(capture: Capture) -> Float[np.ndarray, "N 3"]:
    """Unit vectors from the object to each camera, in the delivered (Y-up) frame."""
    centres = np.array([view.camera.world_from_camera[:3, 3] for view in capture.views])
    offsets = (centres - object_centre(capture)) @ capture.delivered_from_world[:3, :3].T
    return np.asarray(offsets / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), 1e-12))


def azimuths_rad(capture: Capture) -> Float[np.ndarray, " N"]:
    """Angle of each camera around the delivered frame's Y axis, in [-pi, pi], 0 on +z."""
    directions = directions_to_cameras(capture)
    return np.asarray(np.arctan2(directions[:, 0], directions[:, 2]))
