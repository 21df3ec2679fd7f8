"""The quality evidence made visible: photo | render | difference, one strip a view; and a sheet of strips."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from objectscan.mesh.metrics import Picture, colour_gain, with_gain

MISSING_SRGB = (37, 99, 235)
"""Blue: the photo shows the object, the render does not."""
EXTRA_SRGB = (245, 158, 11)
"""Amber: the render shows something where the photo has background."""
_PAPER_SRGB = (244, 245, 246)
_INK_SRGB = (31, 41, 55)
# White through red to near black. A difference of 2 % of the range, as with a good model, stays white.
_DIFFERENCE_SHARES = (0.02, 0.08, 0.20, 0.35)
_DIFFERENCE_SRGB = ((255, 255, 255), (252, 190, 165), (220, 50, 47), (70, 0, 20))
_GAP_PX = 8
_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def difference_picture(photo: Picture, render: Picture) -> UInt8[np.ndarray, "H W 3"]:
    """Where the render, after the colour fit, differs from the photo.

    White to red to black: the largest channel difference on the common mask. Blue: missing. Amber: extra.
    """
    fitted = with_gain(render, colour_gain(photo, render))
    error = np.abs(photo.colour_srgb - fitted.colour_srgb).max(-1)
    ramp = np.array(_DIFFERENCE_SRGB, np.float64)
    shown = np.stack(
        [np.interp(error, _DIFFERENCE_SHARES, ramp[:, channel]) for channel in range(3)], axis=-1
    )
    shown[~photo.mask & ~render.mask] = _PAPER_SRGB
    shown[photo.mask & ~render.mask] = MISSING_SRGB
    shown[render.mask & ~photo.mask] = EXTRA_SRGB
    return shown.astype(np.uint8)


def view_strip(photo: Picture, render: Picture, *, edge_px: int = 360) -> UInt8[np.ndarray, "h w 3"]:
    """Photo, render and difference side by side, cropped to the object; each panel is `edge_px` square."""
    window = _square_window(photo.mask | render.mask)
    panels = (_on_paper(photo), _on_paper(render), difference_picture(photo, render))
    scaled = [_resized(_windowed(panel, window), edge_px) for panel in panels]
    gap = np.full((edge_px, _GAP_PX, 3), 255, np.uint8)
    return np.concatenate([scaled[0], gap, scaled[1], gap, scaled[2]], axis=1)


def contact_sheet(
    strips: Sequence[UInt8[np.ndarray, "h w 3"]], captions: Sequence[str], *, columns: int = 2
) -> UInt8[np.ndarray, "H W 3"]:
    """All strips with their captions in a grid, read row by row. Strips have one size; there is at "
    "least one.
    """
    columns = min(columns, len(strips))
    caption_px, gap_px = 30, 18
    height, width = strips[0].shape[0] + caption_px, strips[0].shape[1]
    rows = -(-len(strips) // columns)
    sheet = Image.new(
        "RGB", (columns * (width + gap_px) + gap_px, rows * (height + gap_px) + gap_px), (255, 255, 255)
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for k, (strip, caption) in enumerate(zip(strips, captions, strict=True)):
        left, top = gap_px + k % columns * (width + gap_px), gap_px + k // columns * (height + gap_px)
        draw.text((left, top + 4), _fitting(caption, draw, font, width), fill=_INK_SRGB, font=font)
        sheet.paste(Image.fromarray(strip), (left, top + caption_px))
    return np.asarray(sheet)


def _fitting(text: str, draw: ImageDraw.ImageDraw, font: _Font, width_px: int) -> str:
    """The text, cut with dots if it is wider than `width_px`."""
    if draw.textlength(text, font=font) <= width_px:
        return text
    while text and draw.textlength(text + "...", font=font) > width_px:
        text = text[:-1]
    return text + "..."


def _on_paper(picture: Picture) -> UInt8[np.ndarray, "H W 3"]:
    share = picture.coverage[..., None]
    blended = picture.colour_srgb * share + np.array(_PAPER_SRGB, np.float32) / 255.0 * (1.0 - share)
    return np.asarray(blended * 255.0 + 0.5).astype(np.uint8)


def _square_window(mask: np.ndarray, margin_share: float = 0.06) -> tuple[int, int, int]:
    """(top, left, edge) of the square around the mask with a margin; it may reach over the image's border."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        return 0, 0, max(mask.shape)
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    edge = int(np.ceil(max(height, width) * (1.0 + 2.0 * margin_share)))
    return int(rows[0] - (edge - height) // 2), int(columns[0] - (edge - width) // 2), edge


def _windowed(image: UInt8[np.ndarray, "H W 3"], window: tuple[int, int, int]) -> UInt8[np.ndarray, "e e 3"]:
    top, left, edge = window
    result = np.full((edge, edge, 3), _PAPER_SRGB, np.uint8)
    rows = slice(max(top, 0), min(top + edge, image.shape[0]))
    columns = slice(max(left, 0), min(left + edge, image.shape[1]))
    result[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = image[
        rows, columns
    ]
    return result


def _resized(image: UInt8[np.ndarray, "H W 3"], edge_px: int) -> UInt8[np.ndarray, "h w 3"]:
    shrinks = edge_px < image.shape[0]
    resized = cv2.resize(
        image, (edge_px, edge_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return np.asarray(resized, np.uint8)
