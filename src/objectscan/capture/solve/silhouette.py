"""Whether cameras and masks fit: the part of each mask that the hull of all other masks covers.

A wrong camera puts its outline where the others see nothing, and a wrong mask leaves part of the object out.
Either shows here, for masks were not used to find the cameras.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int16, UInt8

from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import SolvedCameras

_EDGE_PX = 160
"""Masks are looked at with this longer side: about two voxels a pixel."""
_MISSES_ALLOWED = 0.1
"""Share of the other masks that may lack a voxel of the hull: one bad mask must not carve it from all."""
_TOLERANT_FROM = 6
"""Masks from which on one may be wrong."""


def silhouette_consistency(
    solved: SolvedCameras,
    masks: Mapping[str, UInt8[np.ndarray, "H W"]],
    *,
    bounds: Float[np.ndarray, "2 3"] | None = None,
    resolution: int = 80,
) -> dict[str, float]:
    """By photo the share of its mask that is covered by the hull of the other masks.

    Right cameras and masks give above 0.9; outlines too small for a voxel give less.

    Args:
        solved: Cameras.
        masks: By photo name, in pixels of `PlainPhoto.size` or reduced; above 127 is object. Photos without a
            camera are left out, as are empty masks.
        bounds: Box (min, max) that holds the object, world frame; by default +-1.8 around the origin, where
            `solve_cameras` puts it.
        resolution: Voxels along the longest side. 80 takes about 2 s for 30 photos.
    """
    names = [name for name in solved.photo_names if name in masks and (masks[name] > 127).any()]
    if len(names) < 2:
        return {}
    box = np.array([[-1.8] * 3, [1.8] * 3]) if bounds is None else np.asarray(bounds, np.float64)
    step = float((box[1] - box[0]).max()) / resolution
    voxels = _grid(box, step)
    small = {name: _reduced(masks[name]) for name in names}
    places = {name: _pixels(voxels, solved, name, small[name].shape) for name in names}
    inside = {name: _looked_up(small[name], places[name]) for name in names}
    missing = np.zeros(len(voxels), np.int16)
    for name in names:
        missing += ~inside[name]
    allowed = max(int(_MISSES_ALLOWED * (len(names) - 1)), int(len(names) >= _TOLERANT_FROM))
    return {
        name: _covered(small[name], places[name], missing - ~inside[name] <= allowed, solved, name, step)
        for name in names
    }


def _grid(box: Float[np.ndarray, "2 3"], step: float) -> Float32[np.ndarray, "X 3"]:
    axes = [np.arange(low + step / 2, high, step, dtype=np.float32) for low, high in box.T]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _reduced(mask: UInt8[np.ndarray, "H W"]) -> Bool[np.ndarray, "h w"]:
    factor = min(1.0, _EDGE_PX / max(mask.shape))
    size = (max(1, round(mask.shape[1] * factor)), max(1, round(mask.shape[0] * factor)))
    return cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 127


def _pixels(
    voxels: Float32[np.ndarray, "X 3"], solved: SolvedCameras, name: str, shape: tuple[int, ...]
) -> Int16[np.ndarray, "X 2"]:
    """(column, row) of each voxel's centre in a reduced mask; -1 where it is not in the picture."""
    camera_from_world = np.linalg.inv(solved.world_from_camera[name]).astype(np.float32)
    seen = voxels @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    depth = np.maximum(seen[:, 2], 1e-6)
    flat = seen[:, :2] / depth[:, None]
    lens = solved.lenses[name]
    k1 = lens.distortion[0] if lens.distortion else 0.0
    # Beyond the picture's corner the polynomial may fold back: kept from growing there.
    flat *= 1 + k1 * np.minimum((flat**2).sum(1, keepdims=True), 2.0)
    focal, centre, size = _stated(lens)
    places = np.floor((flat * focal + centre) / size * (shape[1], shape[0]))
    outside = (seen[:, 2] <= 0) | (places < 0).any(1) | (places >= (shape[1], shape[0])).any(1)
    places[outside] = -1
    return places.astype(np.int16)


def _stated(lens: Lens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    assert lens.focal_px and lens.centre_px and lens.size  # `solve_cameras` states all of them.
    return np.array(lens.focal_px), np.array(lens.centre_px), np.array(lens.size)


def _looked_up(mask: Bool[np.ndarray, "h w"], places: Int16[np.ndarray, "X 2"]) -> Bool[np.ndarray, " X"]:
    """Whether each voxel is in the mask; outside the picture nothing speaks against it, so it is."""
    column, row = places.T
    return np.asarray(mask[row, column] | (column < 0))


def _covered(
    mask: Bool[np.ndarray, "h w"],
    places: Int16[np.ndarray, "X 2"],
    hull: Bool[np.ndarray, " X"],
    solved: SolvedCameras,
    name: str,
    step: float,
) -> float:
    """Share of the mask under the hull's voxels, each drawn as large as it is at the origin's distance."""
    column, row = places[hull & (places[:, 0] >= 0)].T
    hits = np.zeros(mask.shape, np.uint8)
    hits[row, column] = 1
    focal, _, size = _stated(solved.lenses[name])
    distance = float(np.linalg.norm(solved.world_from_camera[name][:3, 3]))
    side = int(np.ceil(step * focal[0] / distance * mask.shape[1] / size[0])) | 1
    drawn = cv2.dilate(hits, np.ones((side, side), np.uint8))
    return float(drawn[mask].mean())
