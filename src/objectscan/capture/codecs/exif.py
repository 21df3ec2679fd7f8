"""The few facts of an EXIF block that a reconstruction needs. Position (GPS) is never looked at.

An own reader of 7 tags instead of a library: broken blocks are common and must be ignored quietly, and what
is not read can't leak. Source: Exif 2.32 (CIPA DC-008), sections 4.5.2 and 4.6.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

_MAKE, _MODEL = 0x010F, 0x0110
_ORIENTATION, _DATE, _EXIF_FOLDER = 0x0112, 0x0132, 0x8769
_DATE_ORIGINAL, _FOCAL_35MM = 0x9003, 0xA405
_SHORT, _LONG, _ASCII = 3, 4, 2
_MAX_ENTRIES = 512


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """What the camera wrote about a photo; None where it says nothing usable."""

    orientation: int = 1
    """1 to 8, as in Exif: the change that turns the stored pixels upright."""
    focal_35mm: float | None = None
    """Focal length in mm on a 36 mm wide film: focal in pixels is about this / 36 x the longer side."""
    taken: str | None = None
    """'YYYY:MM:DD HH:MM:SS' by the camera's clock."""
    camera: str | None = None
    """Make and model, at most 64 characters each."""


def read_exif(block: bytes | None) -> ExifFacts:
    """Facts of an EXIF block (with or without its 'Exif' header); whatever is broken counts as not stated."""
    if not block:
        return ExifFacts()
    tiff = block[6:] if block.startswith(b"Exif\x00\x00") else block
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return ExifFacts()
    main = _folder(tiff, order, _unsigned(tiff, order + "I", 4))
    photo = _folder(tiff, order, int(main.get(_EXIF_FOLDER, 0)))
    return facts_of({**main, **photo})


def facts_of(tags: Mapping[int, object]) -> ExifFacts:
    """Facts from tag values by number, invalid ones left out."""
    orientation, focal = tags.get(_ORIENTATION), tags.get(_FOCAL_35MM)
    taken = tags.get(_DATE_ORIGINAL) or tags.get(_DATE)
    return ExifFacts(
        orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        float(focal) if isinstance(focal, int) and 3 <= focal <= 2000 else None,
        taken
        if isinstance(taken, str) and len(taken) == 19 and taken.isascii() and taken.isprintable()
        else None,
        " ".join(str(tags[tag]) for tag in (_MAKE, _MODEL) if isinstance(tags.get(tag), str)) or None,
    )


def _folder(tiff: bytes, order: str, at: int) -> dict[int, int | str]:
    tags: dict[int, int | str] = {}
    if not 8 <= at <= len(tiff) - 2:
        return tags
    count = min(_unsigned(tiff, order + "H", at), _MAX_ENTRIES)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, length = struct.unpack_from(order + "HHI", tiff, entry)
        if kind == _SHORT and length == 1:
            tags[tag] = _unsigned(tiff, order + "H", entry + 8)
        elif kind == _LONG and length == 1:
            tags[tag] = _unsigned(tiff, order + "I", entry + 8)
        elif kind == _ASCII and tag in (_MAKE, _MODEL) and 1 < length <= 64:
            # Up to four bytes stand in the entry itself.
            start = entry + 8 if length <= 4 else _unsigned(tiff, order + "I", entry + 8)
            text = tiff[start : start + length].split(b"\0")[0].decode("ascii", "replace").strip()
            tags[tag] = "".join(letter for letter in text if letter.isprintable())
        elif kind == _ASCII and length == 20:
            start = _unsigned(tiff, order + "I", entry + 8)
            tags[tag] = tiff[start : start + 19].decode("latin-1")
    return tags


def _unsigned(tiff: bytes, form: str, at: int) -> int:
    return int(struct.unpack_from(form, tiff, at)[0])
