"""The photos as an optimiser sees them: cropped to the object, at several sizes, as 8-bit tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from objectscan.render.threads import run_jobs
from objectscan.types import View

_MARGIN = 0.06
"""Border around the mask's box, as a share of its longer side: silhouettes move while they are fitted."""


@dataclass(frozen=True, slots=True)
class PhotoLevel:
    """All photos at one scale, each cut to a window of one common size around the object."""

    pixels: UInt8[Tensor, "N H W 5"]
    """sRGB colour multiplied by the mask, the mask, and whether the photo shows this pixel at all; times 255.
    """
    intrinsics: Float[np.ndarray, "N 3 3"]
    """Pixels of the window."""
    camera_from_world: Float[np.ndarray, "N 4 4"]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the window in pixels."""
        return self.pixels.shape[2], self.pixels.shape[1]

    def targets(self, index: Tensor) -> Float[Tensor, "B H W 5"]:
        """The chosen photos as floats in [0, 1]."""
        return self.pixels[index.to(self.pixels.device, non_blocking=True)].float() / 255.0


def photo_level(
    views: Sequence[View], longer_edge_px: int, *, device: torch.device | str = "cpu"
) -> PhotoLevel:
    """Shrink views to a longer side of at most `longer_edge_px` pixels, and cut them to the object."""
    scales = [min(1.0, longer_edge_px / max(view.camera.size)) for view in views]
    windows = [_window(view, scale) for view, scale in zip(views, scales, strict=True)]
    size = (max(w[2] for w in windows), max(w[3] for w in windows))
    cut = run_jobs(_cut, [(*one, size) for one in zip(views, scales, windows, strict=True)])
    return PhotoLevel(
        pixels=torch.from_numpy(np.stack([pixels for pixels, _ in cut])).to(device),
        intrinsics=np.stack([intrinsics for _, intrinsics in cut]),
        camera_from_world=np.stack([np.linalg.inv(view.camera.world_from_camera) for view in views]),
    )


def _window(view: View, scale: float) -> tuple[float, float, int, int]:
    """Centre (x, y) and needed (width, height) of the object in the shrunk photo, in pixels."""
    assert view.mask is not None  # `hull.carve` has refused views without a mask
    rows, columns = np.nonzero(view.mask.max(axis=1))[0], np.nonzero(view.mask.max(axis=0))[0]
    if not len(rows):
        return view.camera.size[0] * scale / 2, view.camera.size[1] * scale / 2, 8, 8
    left, right, top, bottom = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    margin = 2 * _MARGIN * max(right - left, bottom - top) + 4 / scale
    width, height = ((right - left + margin) * scale, (bottom - top + margin) * scale)
    return (left + right) * scale / 2, (top + bottom) * scale / 2, int(np.ceil(width)), int(np.ceil(height))


def _cut(
    view: View, scale: float, window: tuple[float, float, int, int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    shrunk = _shrunk(view, scale)
    left = round(window[0] - size[0] / 2)
    top = round(window[1] - size[1] / 2)
    pixels = np.zeros((size[1], size[0], 5), np.uint8)
    rows = slice(max(top, 0), min(top + size[1], shrunk.shape[0]))
    columns = slice(max(left, 0), min(left + size[0], shrunk.shape[1]))
    pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = shrunk[
        rows, columns
    ]
    intrinsics = np.array(view.camera.intrinsics, np.float64)
    intrinsics[0] *= shrunk.shape[1] / view.camera.size[0]
    intrinsics[1] *= shrunk.shape[0] / view.camera.size[1]
    intrinsics[:2, 2] -= (left, top)
    return pixels, intrinsics


def _shrunk(view: View, scale: float) -> np.ndarray:
    mask = np.asarray(view.mask, np.float32)[..., None]
    stacked = np.concatenate([view.image_srgb * (mask / 255.0), mask], axis=-1)
    if scale < 1.0:
        size = tuple(max(1, round(edge * scale)) for edge in view.camera.size)
        stacked = cv2.resize(stacked, size, interpolation=cv2.INTER_AREA)
    known = np.full((*stacked.shape[:2], 1), 255.0)
    return np.clip(np.rint(np.concatenate([stacked, known], axis=-1)), 0, 255).astype(np.uint8)
