"""From a photo with a lens to a pinhole camera: intrinsics in its pixels, distortion removed, reduced."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from objectscan.capture.formats.posed import Lens
from objectscan.errors import BadCameras

Pixels = UInt8[np.ndarray, "H W 3"]
Mask = UInt8[np.ndarray, "H W"]

_HALF_PIXEL = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0.0]])
"""OpenCV puts pixel centres at whole numbers, this project at +0.5."""


def intrinsics_for(lens: Lens, size: tuple[int, int], label: str) -> Float[np.ndarray, "3 3"]:
    """Pinhole matrix in pixels of a photo of `size` (width, height); pixel centres at +0.5.

    Intrinsics stated for another size are scaled if both sides changed by the same factor.

    Raises:
        BadCameras: The stated size has another aspect, or the values can't belong to a photo of this size.
    """
    width, height = size
    scale_x, scale_y = _scales(lens, size, label)
    column, row = lens.centre_px or ((width / 2) / scale_x, (height / 2) / scale_y)
    focal_x, focal_y = lens.focal_px or _focal_from_angles(lens, width / scale_x, height / scale_y)
    intrinsics = np.array(
        [[focal_x * scale_x, 0, column * scale_x], [0, focal_y * scale_y, row * scale_y], [0, 0, 1.0]]
    )
    _check_plausible(intrinsics, size, label)
    return intrinsics


def undistorted(
    image_srgb: Pixels, mask: Mask | None, intrinsics: Float[np.ndarray, "3 3"], lens: Lens, *, cut_out: bool
) -> tuple[Pixels, Mask | None, Float[np.ndarray, "3 3"]]:
    """Photo and mask as a pinhole camera of the same size sees them, and that camera's intrinsics.

    All of the photo stays in the picture, so the focal length changes a little; where the lens saw nothing,
    the photo is black and the mask 0. Without distortion everything is returned as it came.

    Args:
        image_srgb: The photo.
        mask: Its mask, or None.
        intrinsics: Of the distorted photo.
        lens: Gives the model and its coefficients.
        cut_out: True if colours outside the mask mean nothing and must not bleed in.
    """
    if not any(lens.distortion):
        return image_srgb, mask, intrinsics
    height, width = image_srgb.shape[:2]
    column_map, row_map, result = _maps(intrinsics, lens, (width, height))

    def warped(pixels: np.ndarray) -> np.ndarray:
        return cv2.remap(pixels, column_map, row_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    image, new_mask = _through(warped, image_srgb, mask, cut_out)
    return image, new_mask, result


def reduced(
    image_srgb: Pixels,
    mask: Mask | None,
    intrinsics: Float[np.ndarray, "3 3"],
    *,
    max_edge_px: int,
    cut_out: bool,
) -> tuple[Pixels, Mask | None, Float[np.ndarray, "3 3"]]:
    """The same at a longer side of at most `max_edge_px`, area-averaged. Arguments as for `undistorted`."""
    height, width = image_srgb.shape[:2]
    if max(width, height) <= max_edge_px:
        return image_srgb, mask, intrinsics
    factor = max_edge_px / max(width, height)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))

    def shrunk(pixels: np.ndarray) -> np.ndarray:
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)

    image, new_mask = _through(shrunk, image_srgb, mask, cut_out)
    return image, new_mask, np.diag([size[0] / width, size[1] / height, 1.0]) @ intrinsics


def _scales(lens: Lens, size: tuple[int, int], label: str) -> tuple[float, float]:
    if lens.size is None:
        return 1.0, 1.0
    scale_x, scale_y = size[0] / lens.size[0], size[1] / lens.size[1]
    # One pixel of rounding on either side is what resizing programs leave.
    if abs(lens.size[1] * scale_x - size[1]) > max(1.0, scale_x):
        raise BadCameras(
            f"{label}: the camera is for {lens.size[0]} x {lens.size[1]} pixels, but the photo has "
            f"{size[0]} x {size[1]}, another aspect.",
            hint="Was the photo cropped or turned after the cameras were solved? Give the original.",
        )
    return scale_x, scale_y


def _focal_from_angles(lens: Lens, width: float, height: float) -> tuple[float, float]:
    """Square pixels if only one of the two angles is given."""
    angle_x, angle_y = lens.angle_rad
    focal_x = None if angle_x is None else width / 2 / np.tan(angle_x / 2)
    focal_y = None if angle_y is None else height / 2 / np.tan(angle_y / 2)
    known = focal_x if focal_x is not None else focal_y
    if known is None:
        raise ValueError("a lens needs a focal length or an angle; readers check this")
    return float(focal_x if focal_x is not None else known), float(focal_y if focal_y is not None else known)


def _check_plausible(intrinsics: Float[np.ndarray, "3 3"], size: tuple[int, int], label: str) -> None:
    width, height = size
    (focal_x, _, column), (_, focal_y, row), _ = intrinsics.tolist()
    # 0.05 x the longer side is a view of 169 degrees: a value for a picture of size 1, not in pixels.
    if min(focal_x, focal_y) < 0.05 * max(size) or max(focal_x, focal_y) > 1000 * max(size):
        raise BadCameras(
            f"{label}: a focal length of {focal_x:g} x {focal_y:g} pixels for a photo of {width} x {height}.",
            hint="Focal lengths must be in pixels of the photo.",
        )
    if not (-width <= column <= 2 * width and -height <= row <= 2 * height):
        raise BadCameras(
            f"{label}: the principal point ({column:g}, {row:g}) is far outside {width} x {height} pixels.",
            hint="cx and cy must be in pixels of the photo.",
        )


def _maps(
    intrinsics: Float[np.ndarray, "3 3"], lens: Lens, size: tuple[int, int]
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"], Float[np.ndarray, "3 3"]]:
    source, coefficients = intrinsics - _HALF_PIXEL, np.array(lens.distortion)
    if lens.model == "fisheye":
        new = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
            source, coefficients, size, np.eye(3), balance=0.0
        )
        maps = cv2.fisheye.initUndistortRectifyMap(source, coefficients, np.eye(3), new, size, cv2.CV_32FC1)
    else:
        new, _ = cv2.getOptimalNewCameraMatrix(source, coefficients, size, alpha=1.0)
        maps = cv2.initUndistortRectifyMap(source, coefficients, np.eye(3), new, size, cv2.CV_32FC1)
    return maps[0], maps[1], np.asarray(new, np.float64) + _HALF_PIXEL


def _through(step, image_srgb: Pixels, mask: Mask | None, cut_out: bool) -> tuple[Pixels, Mask | None]:  # type: ignore[no-untyped-def]
    """Image and mask through one resampling step; a cut-out's colours are weighted by its mask."""
    if mask is None:
        return step(image_srgb), None
    new_mask = step(mask)
    if not cut_out:
        return step(image_srgb), new_mask
    share = mask[..., None].astype(np.float32) / 255
    weighted = step(image_srgb.astype(np.float32) * share)
    colour = weighted / np.maximum(step(share[..., 0]), 1e-3)[..., None]
    return np.where(new_mask[..., None] > 0, np.clip(np.round(colour), 0, 255), 0).astype(np.uint8), new_mask
