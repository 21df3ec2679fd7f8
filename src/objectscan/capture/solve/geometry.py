"""Shape of a sparse model: angles between rays, the plane that most points lie on."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from objectscan.capture.orientation import meeting_point
from objectscan.capture.solve.evidence import SparseModel

PLANE_TOLERANCE = 0.01
"""Of the camera distance: points this near to a plane lie on it."""
_MOST_POINTS = 4000
_TRIALS = 300


def world_from_cameras(model: SparseModel) -> Float[np.ndarray, "I 4 4"]:
    """Rigid transforms of all cameras of a model."""
    result = np.tile(np.eye(4), (len(model.photos), 1, 1))
    result[:, :3, :3] = np.swapaxes(model.camera_from_world[:, :, :3], 1, 2)
    result[:, :3, 3] = model.centres
    return result


def camera_distance(model: SparseModel) -> float:
    """Mean distance of the cameras from where they look."""
    target = meeting_point(list(world_from_cameras(model)))
    return float(np.linalg.norm(model.centres - target, axis=1).mean())


def triangulation_angle_rad(model: SparseModel) -> float:
    """Median over points of the largest angle between two photos' rays to it; 0 without points."""
    order = np.argsort(model.observations[:, 0], kind="stable")
    points, photos = model.observations[order].T
    starts = np.flatnonzero(np.r_[True, np.diff(points) > 0]) if len(points) else np.zeros(0, np.int64)
    chosen = np.linspace(0, len(starts) - 1, min(len(starts), _MOST_POINTS)).astype(int)
    ends = np.r_[starts[1:], len(points)]
    angles = []
    for start, end in zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True):
        rays = model.centres[photos[start:end]] - model.points[points[start]]
        rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12)
        angles.append(float(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))
    return float(np.median(angles)) if angles else 0.0


def dominant_plane(
    points: Float[np.ndarray, "P 3"], tolerance: float, *, up: Float[np.ndarray, " 3"] | None = None
) -> tuple[Float[np.ndarray, " 4"], Bool[np.ndarray, " P"]]:
    """The plane (unit normal, offset) with most points within `tolerance`, by RANSAC, and those points.

    Args:
        points: At least 3.
        tolerance: Distance, in units of the points.
        up: If given, the normal must lie within 50 degrees of it, and points that way.
    """
    rng = np.random.default_rng(0)
    best, best_inside = np.array([0.0, 0.0, 1.0, 0.0]), np.zeros(len(points), bool)
    for _ in range(_TRIALS):
        corner, one, other = points[rng.choice(len(points), 3, replace=False)]
        normal = np.cross(one - corner, other - corner)
        length = np.linalg.norm(normal)
        if length < 1e-12:
            continue
        normal /= length
        if up is not None and abs(float(normal @ up)) < np.cos(np.radians(50)):
            continue
        inside = np.abs((points - corner) @ normal) < tolerance
        if inside.sum() > best_inside.sum():
            best, best_inside = np.r_[normal, -normal @ corner], inside
    if best_inside.sum() >= 3:
        best = _fitted_plane(points[best_inside])
        best_inside = np.abs(points @ best[:3] + best[3]) < tolerance
    if up is not None and best[:3] @ up < 0:
        best = -best
    return best, best_inside


def off_plane_count(model: SparseModel) -> tuple[int, float]:
    """Well-seen points (3 photos or more) off the plane that holds most, and the share that lies on it."""
    points = model.points[model.track_lengths >= 3]
    if len(points) < 10:
        return 0, 0.0
    _, inside = dominant_plane(points, PLANE_TOLERANCE * camera_distance(model))
    return int((~inside).sum()), float(inside.mean())


def _fitted_plane(points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, " 4"]:
    centre = points.mean(0)
    normal = np.linalg.svd(points - centre, full_matrices=False)[2][2]
    return np.asarray(np.r_[normal, -normal @ centre])
