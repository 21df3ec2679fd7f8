"""Which photos overlap, from quick features, before any camera is looked for.

    features -> pairs worth matching -> matches -> two-view geometry -> `PairMatches`, as the solver has it

A few pairs a photo are matched: its neighbours in time and those that look alike as a whole (VLAD, Jegou et
al. 2010). Before photos count as unconnected they are matched with more of the largest group.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from objectscan.capture.checks import thresholds as limit
from objectscan.capture.checks.features import PhotoFeatures, matches_between, quick_features
from objectscan.capture.ingest import in_threads
from objectscan.capture.photoset import PhotoSet
from objectscan.capture.solve.evidence import PairMatches
from objectscan.capture.solve.graph import groups_of
from objectscan.types import Progress, ProgressFn, ignore_progress

STAGE = "overlaps"
_WORDS = 32
"""Visual words of the whole-photo descriptor, learned from the set itself."""
_WORD_ROUNDS = 6
_GENERAL, _PLANAR = 3, 6
"""COLMAP's numbers for a pair that needs an epipolar geometry, and one that a homography explains."""

_TRIALS = 500

Pair = tuple[int, int]
Places = Float32[np.ndarray, "M 2"]
Descriptors = Float32[np.ndarray, "K 128"]
Words = Float32[np.ndarray, "W 128"]
Verified = tuple[Places, Places, int]


def quick_graph(photos: PhotoSet, report: ProgressFn = ignore_progress) -> PairMatches:
    """Verified matches of the pairs that matter. About 0.1 s a photo on one core.

    Args:
        photos: At least one.
        report: Receives progress of the stage `overlaps`; may raise `Cancelled`.

    Returns:
        Pairs with at least `thresholds.LINK_MATCHES` matches that agree with one two-view geometry; places in
        pixels of pictures with a longer side of `thresholds.GRAPH_EDGE_PX`.

    Raises:
        UnreadableImage: A normalised picture is gone.
    """
    features = in_threads(
        quick_features, photos.photos, lambda share: report(Progress(STAGE, 0.5 * share, "looking at photos"))
    )
    likeness = _likeness(features)
    pairs = _likely_pairs(likeness, is_ordered=photos.is_ordered)
    verified = _verify_all(
        features, pairs, lambda share: report(Progress(STAGE, 0.5 + 0.4 * share, "overlaps"))
    )
    graph = _as_matches(features, verified)
    further = _bridging_pairs(graph, likeness, set(pairs))
    if further:
        verified |= _verify_all(
            features, further, lambda share: report(Progress(STAGE, 0.9 + 0.1 * share, "overlaps"))
        )
        graph = _as_matches(features, verified)
    return graph


def _likely_pairs(likeness: Float[np.ndarray, "N N"], *, is_ordered: bool) -> list[Pair]:
    """All pairs of a small set; else neighbours, the ring's ends, and the photos most alike."""
    count = len(likeness)
    if count <= limit.ALL_PAIRS_UP_TO:
        return list(itertools.combinations(range(count), 2))
    pairs = set()
    if is_ordered:
        pairs |= {(one, (one + step) % count) for one in range(count) for step in limit.NEIGHBOUR_STEPS}
    order = np.argsort(-likeness, axis=1)[:, : limit.ALIKE]
    pairs |= {(one, other) for one in range(count) for other in order[one].tolist()}
    return sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})


def _bridging_pairs(graph: PairMatches, likeness: Float[np.ndarray, "N N"], tried: set[Pair]) -> list[Pair]:
    """More pairs between each photo outside the largest group and those most like it inside."""
    number = {name: index for index, name in enumerate(graph.photos)}
    groups = [[number[name] for name in group] for group in groups_of(graph, limit.LINK_MATCHES)]
    found: set[Pair] = set()
    for outside in itertools.chain.from_iterable(groups[1:]):
        inside = [one for one in groups[0] if (min(one, outside), max(one, outside)) not in tried]
        inside.sort(key=lambda one: -likeness[outside, one])
        found |= {(min(one, outside), max(one, outside)) for one in inside[: limit.BRIDGES]}
    return sorted(found)


def _verify_all(
    features: Sequence[PhotoFeatures], pairs: list[Pair], report: Callable[[float], None]
) -> dict[Pair, Verified]:
    results = in_threads(lambda pair: verify(features[pair[0]], features[pair[1]]), pairs, report)
    return {pair: result for pair, result in zip(pairs, results, strict=True) if result is not None}


def verify(one: PhotoFeatures, other: PhotoFeatures) -> Verified | None:
    """Matches that agree with an epipolar geometry or a homography, and which of them it takes; None if few.

    A pair counts as planar if a homography explains `thresholds.PLANAR_INLIERS` of its matches.
    """
    matches = matches_between(one, other)
    if len(matches) < limit.LINK_MATCHES:
        return None
    first, second = one.places_px[matches[:, 0]], other.places_px[matches[:, 1]]
    epipolar = _epipolar_inliers(first, second)
    if epipolar.sum() < max(limit.LINK_MATCHES, limit.LINK_SHARE * len(matches)):
        return None
    flat = _planar_inliers(first, second)
    is_planar = flat.sum() >= limit.PLANAR_INLIERS * epipolar.sum()
    return first[epipolar], second[epipolar], _PLANAR if is_planar else _GENERAL


def _epipolar_inliers(first: Places, second: Places) -> Bool[np.ndarray, " M"]:
    # Each call of OpenCV's estimators seeds its own generator, so results repeat.
    try:
        _, inside = cv2.findFundamentalMat(first, second, cv2.USAC_FAST, limit.INLIER_PX, 0.999, _TRIALS)
    except cv2.error:  # USAC asserts on some degenerate matches instead of returning nothing.
        return np.zeros(len(first), bool)
    return _as_mask(inside, len(first))


def _planar_inliers(first: Places, second: Places) -> Bool[np.ndarray, " M"]:
    try:
        _, inside = cv2.findHomography(first, second, cv2.USAC_FAST, limit.INLIER_PX, None, _TRIALS, 0.999)
    except cv2.error:
        return np.zeros(len(first), bool)
    return _as_mask(inside, len(first))


def _as_mask(inside: UInt8[np.ndarray, "M 1"] | None, count: int) -> Bool[np.ndarray, " M"]:
    return np.zeros(count, bool) if inside is None else np.asarray(inside).ravel() > 0


def _likeness(features: Sequence[PhotoFeatures]) -> Float[np.ndarray, "N N"]:
    """Cosine of whole-photo descriptors: residuals to visual words, summed by word; -2 on the diagonal."""
    pool = np.concatenate([one.descriptors[::4] for one in features])
    if len(pool) < _WORDS:
        return np.zeros((len(features), len(features)))
    words = pool[np.linspace(0, len(pool) - 1, _WORDS).astype(int)]
    for _ in range(_WORD_ROUNDS):
        sums = _sums(pool, words)
        words = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    whole = np.array([_residuals(one.descriptors, words) for one in features])
    likeness = whole @ whole.T
    np.fill_diagonal(likeness, -2.0)
    return np.asarray(likeness)


def _sums(descriptors: Descriptors, words: Words) -> Words:
    member = (descriptors @ words.T).argmax(1)
    sums = np.zeros_like(words)
    np.add.at(sums, member, descriptors)
    return sums


def _residuals(descriptors: Descriptors, words: Words) -> Float32[np.ndarray, " D"]:
    if not len(descriptors):
        return np.zeros(words.size, np.float32)
    counts = np.bincount((descriptors @ words.T).argmax(1), minlength=len(words))
    sums = _sums(descriptors, words) - words * counts[:, None].astype(np.float32)
    flat = (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)).ravel()
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-9), np.float32)


def _as_matches(features: Sequence[PhotoFeatures], verified: dict[Pair, Verified]) -> PairMatches:
    pairs = sorted(verified)
    counts = [len(verified[pair][0]) for pair in pairs]
    empty = np.zeros((0, 2), np.float32)
    return PairMatches(
        tuple(one.name for one in features),
        np.array([len(one.descriptors) for one in features], np.int32),
        np.array(pairs, np.int32).reshape(-1, 2),
        np.array([verified[pair][2] for pair in pairs], np.int32),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([empty, *(verified[pair][0] for pair in pairs)]),
        np.concatenate([empty, *(verified[pair][1] for pair in pairs)]),
    )
