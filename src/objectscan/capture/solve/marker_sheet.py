"""A sheet to print and put under the object: tags at known places, so that photos tell its size.

AprilTags (Olson 2011), family 36h11, along the edges; the middle is free for the object. Cells are whole
millimetres and the picture has 20 pixels a millimetre, so every edge is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, PdfImagePlugin  # noqa: F401 - registers the format

from objectscan.errors import ExportError, InputError

DICTIONARY = cv2.aruco.DICT_APRILTAG_36h11
PX_PER_MM = 20
_DPI = PX_PER_MM * 25.4
_CELLS = 8
"""Cells of a tag's side, its black border included."""
_RULER_MM = 100


@dataclass(frozen=True, slots=True)
class MarkerSheet:
    """Where the tags of a sheet are. Tag `i` is row i of `centres_mm`."""

    name: str
    size_mm: tuple[int, int]
    """(width, height) of the paper."""
    tag_mm: int
    """Side of a tag, its black border included."""
    centres_mm: tuple[tuple[int, int], ...]
    """(right, down) from the top left corner of the paper."""

    def corners_mm(self, tag: int) -> Float[np.ndarray, "4 2"]:
        """Corners of a tag as detectors give them: top left, top right, bottom right, bottom left."""
        half = self.tag_mm / 2
        offsets = np.array([(-half, -half), (half, -half), (half, half), (-half, half)])
        return np.asarray(np.array(self.centres_mm[tag]) + offsets)


def _around(name: str, size_mm: tuple[int, int], columns: int, rows: int) -> MarkerSheet:
    """Tags of 32 mm along the edges, their centres 27 mm from them: printers leave up to 10 mm white."""
    margin, tag = 27, 32
    across = np.linspace(margin, size_mm[0] - margin, columns).round().astype(int).tolist()
    down = np.linspace(margin, size_mm[1] - margin, rows).round().astype(int).tolist()
    places = [
        (x, y)
        for row, y in enumerate(down)
        for column, x in enumerate(across)
        if row in (0, rows - 1) or column in (0, columns - 1)
    ]
    return MarkerSheet(name, size_mm, tag, tuple(places))


SHEETS = {
    sheet.name: sheet
    for sheet in (
        _around("a4", (210, 297), columns=4, rows=6),
        _around("letter", (216, 279), columns=4, rows=6),
    )
}
"""By name of the paper."""


def sheet_for(paper: str) -> MarkerSheet:
    """The sheet for a paper size.

    Raises:
        InputError: There is none.
    """
    if paper not in SHEETS:
        raise InputError(f"There is no marker sheet for '{paper}'.", hint=f"Known: {', '.join(SHEETS)}.")
    return SHEETS[paper]


def draw_sheet(sheet: MarkerSheet) -> UInt8[np.ndarray, "H W"]:
    """The sheet as it is printed, `PX_PER_MM` pixels a millimetre, black 0 and white 255."""
    dictionary = cv2.aruco.getPredefinedDictionary(DICTIONARY)
    width, height = (side * PX_PER_MM for side in sheet.size_mm)
    page = np.full((height, width), 255, np.uint8)
    side = sheet.tag_mm * PX_PER_MM
    assert side % _CELLS == 0  # every cell has whole pixels
    for tag, (x, y) in enumerate(sheet.centres_mm):
        row, column = y * PX_PER_MM - side // 2, x * PX_PER_MM - side // 2
        page[row : row + side, column : column + side] = cv2.aruco.generateImageMarker(dictionary, tag, side)
    _draw_ruler(page, sheet)
    return page


def write_sheet(sheet: MarkerSheet, file: Path) -> None:
    """Write the sheet as a PDF of the paper's size.

    Raises:
        ExportError: The file can't be written.
    """
    page = Image.fromarray(draw_sheet(sheet)).convert("1")
    try:
        page.save(file, "PDF", resolution=_DPI)
    except OSError as error:
        raise ExportError(f"{file} can't be written: {error}.", hint="Choose another place.") from error


def _draw_ruler(page: UInt8[np.ndarray, "H W"], sheet: MarkerSheet) -> None:
    """A line of 100 mm to check the print with, and what to do, below the middle."""
    left = (sheet.size_mm[0] - _RULER_MM) // 2 * PX_PER_MM
    row = (sheet.size_mm[1] - 60) * PX_PER_MM
    page[row : row + 6, left : left + _RULER_MM * PX_PER_MM] = 0
    for end in (left, left + _RULER_MM * PX_PER_MM - 6):
        page[row - 60 : row + 66, end : end + 6] = 0
    words = ("This line is 100 mm long: print at 100 %, not fitted to the page.", "Put the object above it.")
    for number, text in enumerate(words):
        place = (left, row - 180 + 90 * number)
        cv2.putText(page, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.75, (0,), 3, cv2.LINE_AA)
