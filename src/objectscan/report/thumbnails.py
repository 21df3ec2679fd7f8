"""Small pictures of the photos with the outline of each mask, within a budget of bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from objectscan.report.photos import PhotoRow
from objectscan.types import Capture, PhotoRecord, View

EDGE_PX = 240
BUDGET_BYTES = 2_400_000
"""For all thumbnails of a page; base64 makes a third more. 100 photos of 240 px take about 1 MB."""
_LEAST_EDGE_PX = 32
_QUALITY = 72
_OUTLINE_BYTES = 4000
_SUBPIXELS = 2
"""The outline is traced at twice the thumbnail's size."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One small picture."""

    webp: bytes
    size: tuple[int, int]
    """(width, height) in pixels."""
    outline: str = ""
    """SVG path of the mask's outline in these pixels; empty without a mask."""


def thumbnails(
    rows: Sequence[PhotoRow], *, fit: Capture, held_out: Capture, budget_bytes: int = BUDGET_BYTES
) -> dict[int, Thumbnail]:
    """A picture for each row whose photo could be read, by its number.

    All are made smaller together until they fit the budget.
    """
    views = {view.name: view for view in (*fit.views, *held_out.views)}
    records = {record.name: record for record in (*held_out.photos, *fit.photos)}
    edge_px = EDGE_PX
    while True:
        made = {row.number: _thumbnail(row, views, records, edge_px) for row in rows}
        found = {number: one for number, one in made.items() if one is not None}
        total = sum(len(one.webp) + len(one.outline) for one in found.values())
        if total <= budget_bytes or edge_px <= _LEAST_EDGE_PX:
            return found
        # Bytes grow with somewhat less than the area.
        edge_px = max(_LEAST_EDGE_PX, int(0.95 * edge_px * (budget_bytes / total) ** 0.5))


def outline_path(mask: UInt8[np.ndarray, "H W"], size: tuple[int, int]) -> str:
    """Outlines of a mask, holes included, as an SVG path in pixels of a picture of `size`; under 4 kB."""
    large = size[0] * _SUBPIXELS, size[1] * _SUBPIXELS
    inside = (cv2.resize(mask, large, interpolation=cv2.INTER_AREA) >= 128).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    contours = sorted(contours, key=cv2.contourArea, reverse=True)
    path = ""
    for coarseness_px in (1.0, 2.0, 4.0, 8.0):
        corners = [cv2.approxPolyDP(contour, coarseness_px, True)[:, 0] for contour in contours]
        path = "".join(_closed(one / _SUBPIXELS) for one in corners if len(one) >= 3)
        if len(path) <= _OUTLINE_BYTES:
            return path
    return path[: path.rfind("Z", 0, _OUTLINE_BYTES) + 1]  # a mask of specks: the largest parts


def webp_thumbnail(image_srgb: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]) -> bytes:
    """A WebP file of `size`, (width, height)."""
    small = cv2.resize(image_srgb, size, interpolation=cv2.INTER_AREA)
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "webp", quality=_QUALITY, method=4)
    return buffer.getvalue()


def _closed(corners: np.ndarray) -> str:
    return "M" + "L".join(f"{column:g} {row:g}" for column, row in corners.tolist()) + "Z"


def _thumbnail(
    row: PhotoRow, views: Mapping[str, View], records: Mapping[str, PhotoRecord], edge_px: int
) -> Thumbnail | None:
    if row.view is not None:
        view = views[row.view]
        size = _size_within(view.image_srgb, edge_px)
        outline = "" if view.mask is None else outline_path(view.mask, size)
        return Thumbnail(webp_thumbnail(view.image_srgb, size), size, outline)
    record = records.get(row.name)
    if record is None or record.thumbnail is None:
        return None
    picture = np.asarray(Image.open(io.BytesIO(record.thumbnail)).convert("RGB"))
    size = _size_within(picture, edge_px)
    return Thumbnail(webp_thumbnail(picture, size), size)


def _size_within(image_srgb: UInt8[np.ndarray, "H W 3"], edge_px: int) -> tuple[int, int]:
    height, width = image_srgb.shape[:2]
    factor = min(1.0, edge_px / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))
