"""What became of each photo: kept beside a capture as photos.json, and joined from stage to stage."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from objectscan.types import PhotoRecord

RECORDS_FILE = "photos.json"
_THUMBNAIL_EDGE_PX = 240
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 70]
"""With 240 px about 8 kB a photo."""


def thumbnail_of(image_srgb: UInt8[np.ndarray, "H W 3"]) -> bytes | None:
    """A JPEG of at most 240 px on the longer side; None if the photo is too slim for that."""
    height, width = image_srgb.shape[:2]
    factor = min(1.0, _THUMBNAIL_EDGE_PX / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image_srgb, size, interpolation=cv2.INTER_AREA)
    ok, encoded = cv2.imencode(".jpg", small[..., ::-1], _QUALITY)
    return encoded.tobytes() if ok else None


def joined(earlier: Sequence[PhotoRecord], later: Iterable[PhotoRecord]) -> tuple[PhotoRecord, ...]:
    """Records of one stage, with what the next stage found out about the views that it was given.

    Args:
        earlier: One for each photo, in order; these numbers win.
        later: `name` is a view of `earlier`. Records of other photos are added at the end.
    """
    found = {record.name: record for record in later}
    known = {record.view for record in earlier if record.view is not None}
    both = [
        record if record.view is None or record.view not in found else _filled(record, found[record.view])
        for record in earlier
    ]
    return (*both, *(record for name, record in found.items() if name not in known))


def _filled(record: PhotoRecord, later: PhotoRecord) -> PhotoRecord:
    values = {field.name: getattr(record, field.name) for field in fields(PhotoRecord)}
    missing = {name: getattr(later, name) for name, value in values.items() if value is None or value == ""}
    return replace(record, **{**missing, "view": later.view})


def write_records(records: Sequence[PhotoRecord], folder: Path) -> None:
    """Write photos.json into the folder of a capture. `OSError` if that can't be done."""
    text = json.dumps([_as_values(record) for record in records], indent=1)
    part = folder / f"{RECORDS_FILE}.new"
    part.write_text(text, "utf-8")
    part.replace(folder / RECORDS_FILE)


def read_records(folder: Path) -> tuple[PhotoRecord, ...]:
    """Records that `write_records` left in a folder; none if there is no such file.

    Raises:
        ValueError, TypeError, KeyError: The file is damaged.
    """
    file = folder / RECORDS_FILE
    if not file.is_file():
        return ()
    return tuple(_from_values(values) for values in json.loads(file.read_text("utf-8")))


def _as_values(record: PhotoRecord) -> dict[str, Any]:
    values = {field.name: getattr(record, field.name) for field in fields(PhotoRecord)}
    if record.world_from_camera is not None:
        values["world_from_camera"] = record.world_from_camera.tolist()
    if record.thumbnail is not None:
        values["thumbnail"] = base64.b64encode(record.thumbnail).decode("ascii")
    return values


def _from_values(values: dict[str, Any]) -> PhotoRecord:
    record = PhotoRecord(**values)
    if values["world_from_camera"] is not None:
        record = replace(record, world_from_camera=np.array(values["world_from_camera"], np.float64))
    if values["thumbnail"] is not None:
        record = replace(record, thumbnail=base64.b64decode(values["thumbnail"], validate=True))
    return record
