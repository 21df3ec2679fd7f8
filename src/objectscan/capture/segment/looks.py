"""One look of the network at a crop of a photo, and several looks as one mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from objectscan.capture.segment.boxes import (
    Box,
    FourShares,
    box_around,
    box_of_mask,
    stated_box,
    touched_sides,
)
from objectscan.capture.segment.model import Segmenter

_KEPT_EDGE_PX = 768
"""Maps are kept no larger: all photos' maps lie in memory, and networks give 320 to 1024 pixels."""
_GROWTHS = 2
_GROWTH = 0.5
"""A box that cuts the object off grows by this share of its side."""
_FULL_FRAME_MARGIN = 1.3
_FEWEST_FOR_USUAL = 5
_USUAL_IOU = 0.3

Image = UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True, slots=True)
class Look:
    """What the network said about one crop."""

    box: Box
    share: UInt8[np.ndarray, "h w"]
    """Foreground share times 255, perhaps reduced."""


def look_at_box(image_srgb: Image, box: Box, model: Segmenter, *, mirrored: bool = False) -> Look:
    """One run of the network; `mirrored` shows it the picture's mirror image, for a second opinion."""
    crop = image_srgb[box.rows_columns]
    share = model.foreground(np.ascontiguousarray(crop[:, ::-1] if mirrored else crop))
    share = share[:, ::-1] if mirrored else share
    scale = min(1.0, _KEPT_EDGE_PX / max(share.shape))
    if scale < 1:
        size = (max(1, round(share.shape[1] * scale)), max(1, round(share.shape[0] * scale)))
        share = cv2.resize(np.ascontiguousarray(share), size, interpolation=cv2.INTER_AREA)
    return Look(box, np.ascontiguousarray(share, np.uint8))


def first_look(image_srgb: Image, box: Box | None, model: Segmenter) -> Look:
    """A look at the box; if it cuts the object off, at a larger one. Without a box the object is found first.

    The box of a mask of the whole photo, 1.3 times as large, is where to look then (two passes: IoU 0.79 to
    0.99 on a labelled bottle); a wrong first pass can't be repaired that way.
    """
    size = (image_srgb.shape[1], image_srgb.shape[0])
    if box is None:
        whole = look_at_box(image_srgb, Box(0, 0, *size), model)
        box = box_of_mask(merged([whole], size), _FULL_FRAME_MARGIN)
        if box is None:
            return whole
    look = look_at_box(image_srgb, box, model)
    for _ in range(_GROWTHS):
        larger = _grown(look, size)
        if larger is None:
            break
        look = look_at_box(image_srgb, larger, model)
    return look


def squared(box: Box, size: tuple[int, int]) -> Box:
    """The square around a box, cut at the photo: it shows the network more surroundings, undistorted."""
    middle = np.array([box.left + box.right, box.top + box.bottom]) / 2
    half = max(box.size) / 2
    return box_around(middle - half, middle + half, size, 1.0) or box


def merged(looks: Sequence[Look], size: tuple[int, int]) -> UInt8[np.ndarray, "H W"]:
    """Mean of the looks at each pixel of a photo of `size` (width, height); 0 outside a look's box."""
    total = np.zeros((size[1], size[0]), np.float32)
    for look in looks:
        total[look.box.rows_columns] += cv2.resize(look.share, look.box.size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.round(total / len(looks)), np.uint8)


def usual_box(looks: Sequence[tuple[Look, tuple[int, int]]]) -> FourShares | None:
    """Median (left, top, right, bottom) of the object, as shares of the photos; None if most show nothing.

    People keep the object in the middle of their photos, so one that seems to be elsewhere is doubtful.

    Args:
        looks: With the (width, height) of its photo each.
    """
    found = [(box_of_mask(merged([look], size), 1.0), size) for look, size in looks]
    shares = [
        (box.left / size[0], box.top / size[1], box.right / size[0], box.bottom / size[1])
        for box, size in found
        if box is not None
    ]
    if len(shares) < max(_FEWEST_FOR_USUAL, len(looks) / 2):
        return None
    left, top, right, bottom = np.median(shares, axis=0).tolist()
    return left, top, right, bottom


def is_usual(mask: UInt8[np.ndarray, "H W"], usual: FourShares) -> bool:
    """Whether a mask's box has an IoU of at least 0.3 with the usual one."""
    box, wanted = box_of_mask(mask, 1.0), stated_box(usual, (mask.shape[1], mask.shape[0]))
    if box is None:
        return False
    width = min(box.right, wanted.right) - max(box.left, wanted.left)
    height = min(box.bottom, wanted.bottom) - max(box.top, wanted.top)
    common = max(0, width) * max(0, height)
    return common >= _USUAL_IOU * (box.area_px + wanted.area_px - common)


def _grown(look: Look, size: tuple[int, int]) -> Box | None:
    """The box, larger at the sides where it and not the photo cuts the object off; None if nowhere."""
    box, cut = look.box, touched_sides(look.share)
    x, y = (round(_GROWTH * side) for side in box.size)
    larger = Box(
        max(0, box.left - x * ("left" in cut)),
        max(0, box.top - y * ("top" in cut)),
        min(size[0], box.right + x * ("right" in cut)),
        min(size[1], box.bottom + y * ("bottom" in cut)),
    )
    return None if larger == box else larger
