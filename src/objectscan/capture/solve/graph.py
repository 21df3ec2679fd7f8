"""What the matches alone tell, before any camera is trusted: overlaps, what stands still, what is flat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int64

from objectscan.capture.solve.consistency import STRONGEST, TOLERANCE_PX
from objectscan.capture.solve.evidence import PLANAR_KINDS, PairMatches

_GUESSED_FOCALS = (0.7, 0.9, 1.2, 1.6, 2.2)
"""Over the longer side: where EXIF says nothing, a rotation may have been taken with any of these."""
_REFITS = 6


def strongest_pairs(matches: PairMatches) -> Int64[np.ndarray, " S"]:
    """Indices of pairs that are among the strongest of one of their photos."""
    found: set[int] = set()
    for photo in range(len(matches.photos)):
        own = np.flatnonzero((matches.pairs == photo).any(1))
        found |= set(own[np.argsort(-matches.counts[own], kind="stable")[:STRONGEST]].tolist())
    return np.array(sorted(found), np.int64)


def static_share(matches: PairMatches) -> float:
    """Median over the strongest pairs of the share of matches that lie at the same place in both photos."""
    shares = []
    for pair in strongest_pairs(matches).tolist():
        rows = matches.rows(pair)
        moved = np.linalg.norm(matches.first[rows] - matches.second[rows], axis=1)
        shares.append(float((moved < TOLERANCE_PX).mean()))
    return float(np.median(shares)) if shares else 0.0


def planar_share(matches: PairMatches) -> float:
    """Share of the strongest pairs that a homography explains: a flat thing, or a camera that only turned."""
    strongest = strongest_pairs(matches)
    return float(np.isin(matches.kinds[strongest], PLANAR_KINDS).mean()) if len(strongest) else 0.0


def rotation_share(
    matches: PairMatches, focals_px: Mapping[str, float | None], sizes: Mapping[str, tuple[int, int]]
) -> float:
    """Median over the strongest pairs of the share of matches that a mere turn of the camera explains.

    Args:
        matches: Of the set.
        focals_px: By photo; None where nothing is known, then a range is tried.
        sizes: (width, height) by photo.
    """
    shares = [
        max(
            _turned(matches, pair, factor, focals_px, sizes)
            for factor in ((1.0,) if _known(matches, pair, focals_px) else _GUESSED_FOCALS)
        )
        for pair in strongest_pairs(matches).tolist()
    ]
    return float(np.median(shares)) if shares else 0.0


def groups_of(matches: PairMatches, least_matches: int) -> list[tuple[str, ...]]:
    """Photos that pairs of at least so many matches connect, largest group first; single photos too."""
    label = np.arange(len(matches.photos))
    for one, other in matches.pairs[matches.counts >= least_matches].tolist():
        label[label == label[other]] = label[one]
    members = [np.flatnonzero(label == value).tolist() for value in np.unique(label)]
    members.sort(key=lambda photos: (-len(photos), photos))
    return [tuple(matches.photos[photo] for photo in photos) for photos in members]


def second_best(matches: PairMatches) -> dict[str, int]:
    """By photo the number of matches with its second-best partner; 0 if it has none."""
    found = {}
    for number, name in enumerate(matches.photos):
        counts = np.sort(matches.counts[(matches.pairs == number).any(1)])
        found[name] = int(counts[-2]) if len(counts) > 1 else 0
    return found


def _known(matches: PairMatches, pair: int, focals_px: Mapping[str, float | None]) -> bool:
    return all(focals_px[matches.photos[photo]] is not None for photo in matches.pairs[pair].tolist())


def _turned(
    matches: PairMatches,
    pair: int,
    factor: float,
    focals_px: Mapping[str, float | None],
    sizes: Mapping[str, tuple[int, int]],
) -> float:
    """Share of a pair's matches within tolerance of the best rotation between their rays."""
    rows, directions, focals = matches.rows(pair), [], []
    for photo, places in zip(
        matches.pairs[pair].tolist(), (matches.first[rows], matches.second[rows]), strict=True
    ):
        name = matches.photos[photo]
        focal = focals_px[name] or factor * max(sizes[name])
        flat = (places - np.array(sizes[name]) / 2) / focal
        ray = np.hstack([flat, np.ones((len(flat), 1))])
        directions.append(ray / np.linalg.norm(ray, axis=1, keepdims=True))
        focals.append(focal)
    tolerance = TOLERANCE_PX / min(focals)
    kept = np.ones(len(directions[0]), bool)
    for _ in range(_REFITS):
        rotation = _best_rotation(directions[0][kept], directions[1][kept])
        error = np.linalg.norm(directions[0] @ rotation.T - directions[1], axis=1)
        kept = error <= max(tolerance, float(np.median(error)))
    return float((error < tolerance).mean())


def _best_rotation(
    source: Float[np.ndarray, "M 3"], target: Float[np.ndarray, "M 3"]
) -> Float[np.ndarray, "3 3"]:
    """Rotation that turns `source` best to `target` (Kabsch 1976)."""
    left, _, right = np.linalg.svd(target.T @ source)
    return np.asarray(left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right)
