"""One picture of all photos with their masks, for a person to look over."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from objectscan.capture.photoset import PhotoSet, PlainPhoto
from objectscan.capture.segment.boxes import INSIDE
from objectscan.capture.segment.mask_set import MaskSet, read_picture
from objectscan.errors import BadWorkspace

_TILE_PX = 240
_COLUMNS = 6
_LINE_BY_SOURCE = {"user": (60, 220, 60), "network": (255, 210, 0), "hull": (255, 60, 200)}
_DIMMED = 0.35
"""Brightness of what is outside the mask."""

Picture = UInt8[np.ndarray, "H W 3"]


def overview(photos: PhotoSet, masks: MaskSet) -> Picture:
    """Tiles of 240 pixels: the background darkened, an outline whose colour tells who made the mask.

    Green: the user; yellow: the network; magenta: the other photos' hull. No outline: no mask.
    """
    tiles = [_tile(photo, masks) for photo in photos.photos]
    blank = np.zeros((_TILE_PX, _TILE_PX, 3), np.uint8)
    tiles += [blank] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[first : first + _COLUMNS]) for first in range(0, len(tiles), _COLUMNS)]
    return np.vstack(rows)


def write_overview(photos: PhotoSet, masks: MaskSet, path: Path) -> Path:
    """Write `overview` as a PNG.

    Raises:
        BadWorkspace: The file can't be written.
    """
    ok, data = cv2.imencode(".png", overview(photos, masks)[..., ::-1])
    try:
        if not ok:
            raise OSError("the picture could not be encoded")
        path.write_bytes(data.tobytes())
    except OSError as problem:
        raise BadWorkspace(f"{path} can't be written: {problem}.", hint="Free some space.") from problem
    return path


def _tile(photo: PlainPhoto, masks: MaskSet) -> Picture:
    scale = _TILE_PX / max(photo.size)
    size = (max(1, round(photo.size[0] * scale)), max(1, round(photo.size[1] * scale)))
    small = cv2.resize(read_picture(photo.path, photo), size, interpolation=cv2.INTER_AREA)
    if photo.name in masks.paths:
        mask = read_picture(masks.paths[photo.name], photo, gray=True)
        share = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
        dimmed = small * (_DIMMED + (1 - _DIMMED) * share[..., None] / 255)
        small = np.asarray(dimmed, np.uint8)
        lines, _ = cv2.findContours((share >= INSIDE).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        small = cv2.drawContours(small, lines, -1, _LINE_BY_SOURCE[masks.sources[photo.name]], 1)
    tile = np.zeros((_TILE_PX, _TILE_PX, 3), np.uint8)
    tile[: size[1], : size[0]] = small
    return tile
