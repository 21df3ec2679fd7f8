"""What happens to a network's mask: held to the hull, its edge laid along the picture's edges, tidied up."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from objectscan.capture.segment.boxes import INSIDE, Box

_SUSPECTED = 26
"""Least value (of 255) for what the hull may fill: where the network sees none of the object, a hole is real
or the cells lie hidden behind the object in all photos. Fills 0.001 more of IoU than never filling."""
_GUIDE_DAMPING = 1e-3
"""Variance of colours in [0, 1] below which a place counts as flat (epsilon of He et al. 2010)."""
_LEAST_PIECE = 0.02
"""Pieces below this share of the largest one are specks."""
_LARGEST_PINHOLE = 0.002
"""Enclosed gaps up to this share of the object's area are closed; larger ones may be real."""

Mask = UInt8[np.ndarray, "H W"]


def held_to_hull(mask: Mask, widest: Mask, surest: Mask, band_px: float) -> Mask:
    """The mask without what lies outside the hull, filled where it is doubtful and all other photos are sure.

    Args:
        mask: The network's.
        widest: Silhouette of the cells that most photos call object.
        surest: Silhouette of the cells that (nearly) all other photos call object.
        band_px: How far the silhouettes may be wrong; within it the network decides.
    """
    side = 2 * max(1, round(band_px)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    outer, inner = cv2.dilate(widest, kernel), cv2.erode(surest, kernel)
    inner = np.where(mask >= _SUSPECTED, inner, 0)
    return np.asarray(np.maximum(np.minimum(mask, outer), inner), np.uint8)


def edges_followed(mask: Mask, image_srgb: UInt8[np.ndarray, "H W 3"], box: Box, radius_px: int) -> Mask:
    """The mask with its edge moved onto the picture's edges nearby: guided filter, He, Sun and Tang 2010.

    Only the edge's surroundings change; the inside of the box is worked on, the rest returned as it came.

    Args:
        mask: Soft mask of the whole photo.
        image_srgb: The photo.
        box: Where the object is.
        radius_px: How far an edge may move, about the size of one pixel of the network's map.
    """
    at = box.rows_columns
    share = mask[at].astype(np.float32) / 255
    guide = image_srgb[at].astype(np.float32) / 255
    filtered = _guided(share, guide, radius_px)
    kernel = np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    near_edge = cv2.dilate(share, kernel) - cv2.erode(share, kernel) > 0.5
    result = mask.copy()
    result[at] = np.where(near_edge, np.round(255 * np.clip(filtered, 0, 1)), mask[at]).astype(np.uint8)
    return result


def tidied(mask: Mask) -> Mask:
    """The mask without specks and pinholes; soft values stay."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats((mask >= INSIDE).astype(np.uint8))
    if count < 2:
        return mask
    areas = facts[:, cv2.CC_STAT_AREA]
    areas[0] = 0
    largest = int(areas.max())
    kept = np.isin(labels, np.nonzero(areas >= _LEAST_PIECE * largest)[0])
    # Soft values around a kept piece belong to it.
    near = cv2.dilate(kept.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    result = np.where(near, mask, 0).astype(np.uint8)
    return _without_pinholes(result, _LARGEST_PINHOLE * largest)


def _without_pinholes(mask: Mask, largest_px: float) -> Mask:
    count, labels, facts, _ = cv2.connectedComponentsWithStats((mask < INSIDE).astype(np.uint8))
    height, width = mask.shape
    small = [
        piece
        for piece in range(1, count)
        if facts[piece, cv2.CC_STAT_AREA] <= largest_px
        and facts[piece, cv2.CC_STAT_LEFT] > 0
        and facts[piece, cv2.CC_STAT_TOP] > 0
        and facts[piece, cv2.CC_STAT_LEFT] + facts[piece, cv2.CC_STAT_WIDTH] < width
        and facts[piece, cv2.CC_STAT_TOP] + facts[piece, cv2.CC_STAT_HEIGHT] < height
    ]
    return np.where(np.isin(labels, small), np.uint8(255), mask) if small else mask


def _guided(
    share: Float32[np.ndarray, "H W"], guide: Float32[np.ndarray, "H W 3"], radius_px: int
) -> Float32[np.ndarray, "H W"]:
    """`share` as a locally linear function of the guide's colour (He et al. 2010, eq. 19 to 21)."""
    side = (2 * radius_px + 1, 2 * radius_px + 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, side)

    colour_mean, share_mean = mean(guide), mean(share)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    products = mean(np.stack([guide[..., i] * guide[..., j] for i, j in pairs[:3]], axis=-1))
    others = mean(np.stack([guide[..., i] * guide[..., j] for i, j in pairs[3:]], axis=-1))
    covariance = np.zeros((*share.shape, 3, 3), np.float32)
    for k, (i, j) in enumerate(pairs):
        second = products[..., k] if k < 3 else others[..., k - 3]
        value = second - colour_mean[..., i] * colour_mean[..., j] + (_GUIDE_DAMPING if i == j else 0)
        covariance[..., i, j] = covariance[..., j, i] = value
    cross = mean(guide * share[..., None]) - colour_mean * share_mean[..., None]
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
    offset = share_mean - (slope * colour_mean).sum(axis=-1)
    return np.asarray((mean(slope) * guide).sum(axis=-1) + mean(offset), np.float32)
