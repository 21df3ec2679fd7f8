"""How well solved cameras explain the matches that they were not all made from.

Registered photos and a small reprojection error prove nothing: wrong cameras reach both, because points that
do not fit are thrown away. Two-view matches were found without any model, and stay.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

from objectscan.capture.solve.evidence import PairMatches, SparseModel

TOLERANCE_PX = 4.0
"""Sampson distance up to which a match agrees with the cameras; the same as the two-view RANSAC's."""
STRONGEST = 3
"""Pairs that count for a photo: those with most matches. Print that repeats makes many false weak ones."""


def rays(places_px: Float[np.ndarray, "M 2"], lens: Float[np.ndarray, " 4"]) -> Float[np.ndarray, "M 2"]:
    """Points on the plane z = 1 that a SIMPLE_RADIAL lens (focal, column, row, k1) shows at these pixels."""
    focal, column, row, k1 = lens
    distorted = (np.asarray(places_px, np.float64) - (column, row)) / focal
    result = distorted
    for _ in range(10 if k1 else 0):  # Fixed point; converges for |k1| r^2 below about 0.3.
        radius2 = np.minimum((result**2).sum(1, keepdims=True), 4.0)
        result = distorted / np.maximum(1 + k1 * radius2, 0.1)
    return np.asarray(result)


def photo_index(matches: PairMatches, model: SparseModel) -> Int64[np.ndarray, " N"]:
    """For each photo of the matches its index in the model, -1 if it is not in it."""
    where = {name: index for index, name in enumerate(model.photos)}
    return np.array([where.get(name, -1) for name in matches.photos], np.int64)


def relative(model: SparseModel, one: int, other: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and shift of other_from_one."""
    first, second = model.camera_from_world[one], model.camera_from_world[other]
    rotation = second[:, :3] @ first[:, :3].T
    return rotation, second[:, 3] - rotation @ first[:, 3]


def sampson_px(
    model: SparseModel, one: int, other: int, first_px: np.ndarray, second_px: np.ndarray
) -> Float[np.ndarray, " M"]:
    """Sampson distance of matches to the epipolar geometry of two cameras, in pixels (Hartley and Zisserman
    2004, eq. 11.9, on undistorted rays, times the mean focal length).
    """
    rotation, shift = relative(model, one, other)
    cross = np.array([[0, -shift[2], shift[1]], [shift[2], 0, -shift[0]], [-shift[1], shift[0], 0]])
    essential = cross @ rotation
    ones = np.ones((len(first_px), 1))
    first = np.hstack([rays(first_px, model.lenses[one]), ones])
    second = np.hstack([rays(second_px, model.lenses[other]), ones])
    lines, back = first @ essential.T, second @ essential
    numerator = np.abs((second * lines).sum(1))
    gradient = np.sqrt((lines[:, :2] ** 2).sum(1) + (back[:, :2] ** 2).sum(1))
    focal = (model.lenses[one, 0] + model.lenses[other, 0]) / 2
    return np.asarray(numerator / np.maximum(gradient, 1e-12) * focal)


def in_front(
    model: SparseModel, one: int, other: int, first_px: np.ndarray, second_px: np.ndarray
) -> Bool[np.ndarray, " M"]:
    """Whether the point nearest to both rays lies before both cameras (cheirality)."""
    rotation, shift = relative(model, one, other)
    ones = np.ones((len(first_px), 1))
    first = np.hstack([rays(first_px, model.lenses[one]), ones]) @ rotation.T
    second = np.hstack([rays(second_px, model.lenses[other]), ones])
    # Depths d1, d2 that minimise |d1 first + shift - d2 second|: normal equations of two unknowns.
    aa, bb, ab = (first**2).sum(1), (second**2).sum(1), (first * second).sum(1)
    ac, bc = first @ shift, second @ shift
    determinant = np.maximum(aa * bb - ab**2, 1e-15)
    return np.asarray(((ab * bc - bb * ac) / determinant > 0) & ((aa * bc - ab * ac) / determinant > 0))


def pair_shares(
    matches: PairMatches, model: SparseModel
) -> tuple[Float[np.ndarray, " Q"], Float[np.ndarray, " Q"]]:
    """For each pair the share of its matches within `TOLERANCE_PX` of the cameras' epipolar geometry, and the
    share that lies before both cameras. NaN where a photo is not in the model.
    """
    index = photo_index(matches, model)
    shares, fronts = np.full(len(matches.pairs), np.nan), np.full(len(matches.pairs), np.nan)
    for number, (one, other) in enumerate(index[matches.pairs].tolist()):
        if one < 0 or other < 0:
            continue
        rows = matches.rows(number)
        first, second = matches.first[rows], matches.second[rows]
        shares[number] = float((sampson_px(model, one, other, first, second) < TOLERANCE_PX).mean())
        fronts[number] = float(in_front(model, one, other, first, second).mean())
    return shares, fronts


def photo_consistency(
    matches: PairMatches, model: SparseModel, shares: Float[np.ndarray, " Q"]
) -> dict[str, float]:
    """By photo the mean of `shares` over its strongest pairs inside the model; 0 for a photo without any."""
    result = {}
    usable = ~np.isnan(shares)
    for name in model.photos:
        number = matches.photos.index(name)
        own = np.flatnonzero(usable & (matches.pairs == number).any(1))
        strongest = own[np.argsort(-matches.counts[own], kind="stable")[:STRONGEST]]
        result[name] = float(shares[strongest].mean()) if len(strongest) else 0.0
    return result
