"""Whether two solutions of the same photos are the same up to shift, turn and scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from objectscan.capture.solve.evidence import SparseModel

SAME_PLACE = 0.05
"""Distance of two camera centres, over the radius of the camera set, up to which they are one."""
SAME_DIRECTION_RAD = np.radians(5.0)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a second solution agrees with a first one."""

    share: float
    """Photos of the smaller solution whose cameras agree."""
    median: float
    """Median distance of camera centres over the radius of the camera set."""
    disagreeing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Similarity:
    """target = scale * rotation @ source + shift."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    shift: Float[np.ndarray, " 3"]

    def apply(self, points: Float[np.ndarray, "M 3"]) -> Float[np.ndarray, "M 3"]:
        """Points in the target frame."""
        return np.asarray(self.scale * points @ self.rotation.T + self.shift)


def compare(one: SparseModel, other: SparseModel) -> Agreement:
    """Agreement of two solutions over the photos that both have."""
    common = [name for name in one.photos if name in set(other.photos)]
    if len(common) < 3:
        return Agreement(0.0, float("inf"), tuple(common))
    first = [one.photos.index(name) for name in common]
    second = [other.photos.index(name) for name in common]
    similarity = robust_similarity(other.centres[second], one.centres[first])
    radius = camera_radius(one.centres[first])
    distance = np.linalg.norm(similarity.apply(other.centres[second]) - one.centres[first], axis=1) / radius
    axes_one = one.camera_from_world[first][:, 2, :3]
    axes_other = other.camera_from_world[second][:, 2, :3] @ similarity.rotation.T
    turned = np.arccos(np.clip((axes_one * axes_other).sum(1), -1, 1))
    agrees = (distance < SAME_PLACE) & (turned < SAME_DIRECTION_RAD)
    share = float(agrees.sum()) / min(len(one.photos), len(other.photos))
    names = tuple(name for name, ok in zip(common, agrees.tolist(), strict=True) if not ok)
    return Agreement(share, float(np.median(distance)), names)


def camera_radius(centres: Float[np.ndarray, "I 3"]) -> float:
    """Root mean square distance of cameras from their mean."""
    return float(np.sqrt(((centres - centres.mean(0)) ** 2).sum(1).mean()))


def robust_similarity(
    source: Float[np.ndarray, "M 3"], target: Float[np.ndarray, "M 3"], *, trials: int = 300
) -> Similarity:
    """Similarity that brings most of `source` near `target`: the best of fits to three points, refined.

    Needs at least 3 points that are not all in one place.
    """
    rng = np.random.default_rng(0)
    tolerance = SAME_PLACE * camera_radius(target)
    every = np.ones(len(source), bool)
    best, best_count = fit_similarity(source, target), -1
    samples: Sequence[Bool[np.ndarray, " M"]] = [every, *(_three(rng, len(source)) for _ in range(trials))]
    for sample in samples:
        if np.ptp(source[sample], axis=0).max() == 0:
            continue
        fitted = fit_similarity(source[sample], target[sample])
        near = np.linalg.norm(fitted.apply(source) - target, axis=1) < tolerance
        if near.sum() >= 3:
            fitted = fit_similarity(source[near], target[near])
            near = np.linalg.norm(fitted.apply(source) - target, axis=1) < tolerance
        if near.sum() > best_count:
            best, best_count = fitted, int(near.sum())
    return best


def fit_similarity(source: Float[np.ndarray, "M 3"], target: Float[np.ndarray, "M 3"]) -> Similarity:
    """Least-squares similarity from `source` to `target` (Umeyama 1991)."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    from_source, from_target = source - source_mean, target - target_mean
    left, stretch, right = np.linalg.svd(from_target.T @ from_source)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right)) or 1.0])
    rotation = left @ np.diag(sign) @ right
    scale = float((stretch * sign).sum() / max((from_source**2).sum(), 1e-300))
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def _three(rng: np.random.Generator, count: int) -> Bool[np.ndarray, " M"]:
    sample = np.zeros(count, bool)
    sample[rng.choice(count, 3, replace=False)] = True
    return sample
