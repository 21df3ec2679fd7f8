"""Where a second solution starts, so that it can't repeat the first one's mistake by repeating its steps."""

from __future__ import annotations

import numpy as np

from objectscan.capture.solve.evidence import PairMatches, SparseModel

_LEAST_ANGLE_RAD = np.radians(16.0)
"""COLMAP refuses a first pair whose rays meet at less (init_min_tri_angle)."""
_LEAST_SHARED = 60
"""Points that both photos must see in the first solution."""


def other_first_pairs(matches: PairMatches, model: SparseModel, count: int) -> list[tuple[str, str]]:
    """Pairs of photos to start from, best first, with no photo of the strongest pair nor of each other.

    COLMAP starts from a strong pair; these are the strongest that stand elsewhere, see enough points of the
    model in common and see them under a large enough angle.
    """
    candidates = _candidates(matches, model)
    used: set[str] = set(candidates[0]) if candidates else set()
    found: list[tuple[str, str]] = []
    for pair in candidates[1:]:
        if not used & set(pair):
            found.append(pair)
            used |= set(pair)
        if len(found) == count:
            break
    return found


def _candidates(matches: PairMatches, model: SparseModel) -> list[tuple[str, str]]:
    where = {name: index for index, name in enumerate(model.photos)}
    sees = np.zeros((len(model.photos), len(model.points)), bool)
    sees[model.observations[:, 1], model.observations[:, 0]] = True
    found = []
    for pair in np.argsort(-matches.counts, kind="stable").tolist():
        one, other = (matches.photos[photo] for photo in matches.pairs[pair].tolist())
        if one not in where or other not in where:
            continue
        shared = sees[where[one]] & sees[where[other]]
        if (
            shared.sum() >= _LEAST_SHARED
            and _angle(model, where[one], where[other], shared) > _LEAST_ANGLE_RAD
        ):
            found.append((one, other))
    return found


def _angle(model: SparseModel, one: int, other: int, shared: np.ndarray) -> float:
    """Median angle at the shared points between the rays to two cameras."""
    rays = [model.centres[photo] - model.points[shared] for photo in (one, other)]
    cosine = (rays[0] * rays[1]).sum(1) / np.prod([np.linalg.norm(ray, axis=1) for ray in rays], axis=0)
    return float(np.median(np.arccos(np.clip(cosine, -1, 1))))
