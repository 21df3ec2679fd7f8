"""From a cut-out photo to the square picture that every network sees, exactly as published."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from objectscan.errors import BadMasks

EDGE_PX = 518
"""37 patches of 14 px."""
_OPAQUE = 0.8
"""From this share of opacity on a pixel is object; others become black."""
_MARGIN = 1.1
"""Edge of the crop over the longer edge of the object's box."""


def prepared(
    rgba_srgb: UInt8[np.ndarray, "H W 4"], *, name: str, edge_px: int = EDGE_PX, recentre: bool = True
) -> UInt8[np.ndarray, "E E 4"]:
    """The object in the middle of a black square; alpha is what was cut out.

    Args:
        rgba_srgb: Photo with straight alpha. Colours outside the object don't matter.
        name: For the error.
        edge_px: Edge of the result.
        recentre: Crop around the object; otherwise keep the photo's centre and crop no tighter than needed.

    Raises:
        BadMasks: No pixel is opaque.
    """
    box = _crop_box(rgba_srgb[:, :, 3], name, recentre=recentre)
    square = _padded_square(rgba_srgb[box[1] : box[3], box[0] : box[2]])
    pixels = torch.from_numpy(square).permute(2, 0, 1)[None].float() / 255
    pixels = functional.interpolate(pixels, (edge_px, edge_px), mode="bilinear", align_corners=False)[0]
    pixels[:3] *= pixels[3] > _OPAQUE
    result: np.ndarray = (pixels * 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return result


def photo_from_prepared(
    alpha: UInt8[np.ndarray, "H W"], *, name: str, edge_px: int = EDGE_PX
) -> Float[np.ndarray, "3 3"]:
    """From pixels of `prepared` (recentred) to those of the photo; pixel centres at +0.5 in both.

    Raises:
        BadMasks: No pixel is opaque.
    """
    left, top, right, bottom = _crop_box(alpha, name, recentre=True)
    edge = max(right - left, bottom - top)
    scale = edge / edge_px
    shift = left - (edge - (right - left)) // 2, top - (edge - (bottom - top)) // 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1.0]])


def network_input(prepared_srgb: list[UInt8[np.ndarray, "E E 4"]]) -> Float[Tensor, "N 3 E E"]:
    """Colours in [0, 1]; alpha is dropped, the background is black."""
    return torch.from_numpy(np.stack(prepared_srgb)[..., :3]).permute(0, 3, 1, 2).float() / 255


def _crop_box(alpha: UInt8[np.ndarray, "H W"], name: str, *, recentre: bool) -> tuple[int, int, int, int]:
    """(left, top, right, bottom), inside the photo."""
    rows, columns = np.nonzero(alpha > _OPAQUE * 255)
    if not len(rows):
        raise BadMasks(
            f"No pixel of {name} is object: its mask is empty where it should be opaque.",
            hint="Give a mask that is white on the object, or leave the photo out.",
        )
    height, width = alpha.shape
    left, right, top, bottom = columns.min(), columns.max(), rows.min(), rows.max()
    if recentre:
        centre = (left + right) / 2, (top + bottom) / 2
        size = int(max(right - left, bottom - top) * _MARGIN)
    else:
        centre = width / 2, height / 2
        size = int(
            2
            * max(
                abs(edge - middle)
                for edge, middle in zip((left, right, top, bottom), np.repeat(centre, 2), strict=True)
            )
        )
    # Truncated as in training, towards zero; a size of 0 (a single pixel) would leave nothing.
    half = max(1, size // 2)
    first = [max(0, int(middle - half)) for middle in centre]
    last = [min(end, int(middle + half)) for middle, end in zip(centre, (width, height), strict=True)]
    return first[0], first[1], last[0], last[1]


def _padded_square(rgba: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "E E 4"]:
    height, width = rgba.shape[:2]
    edge = max(height, width)
    square = np.zeros((edge, edge, 4), np.uint8)
    top, left = (edge - height) // 2, (edge - width) // 2
    square[top : top + height, left : left + width] = rgba
    return square
