"""How much a render resembles a photo: numbers for one view, as pure numpy functions.

Colours are sRGB in [0, 1], masks are foreground shares in [0, 1]. A pixel counts as foreground from one
half on. Two pixels on either side of the photo's mask edge are left out of every colour number: matting and
lens blur mix object and background there, and the outline has its own two numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from scipy.spatial import cKDTree
from skimage.measure import find_contours
from skimage.metrics import structural_similarity

from objectscan.render.colour import linear_from_srgb_array, srgb_from_linear_array

EDGE_BAND_PX = 2
"""Half-width of the band around the photo's outline that colour numbers ignore."""
PSNR_LIMIT_DB = 60.0
"""Reported for equal images, in place of infinity, which JSON can't hold."""
_GMSD_C = 170.0 / 255.0**2  # Xue et al. 2014 section III give 170 for intensities 0..255
_DETAIL_FLOOR = (
    0.25 / 255.0
)  # mean absolute rounding error of 8 bits: plain surfaces compare as equal, not as 0 / 0


@dataclass(frozen=True, slots=True)
class Picture:
    """Colours with the share of each pixel that the object covers."""

    colour_srgb: Float32[np.ndarray, "H W 3"]
    """Straight (not premultiplied) sRGB in [0, 1]."""
    coverage: Float32[np.ndarray, "H W"]
    """In [0, 1]."""

    @property
    def mask(self) -> Bool[np.ndarray, "H W"]:
        """Pixels at least half covered."""
        return np.asarray(self.coverage >= 0.5)

    def on_white(self) -> Float32[np.ndarray, "H W 3"]:
        """The object in front of white, blended in sRGB as published view-synthesis figures do."""
        share = self.coverage[..., None]
        blended: np.ndarray = self.colour_srgb * share + (1.0 - share)
        return blended


@dataclass(frozen=True, slots=True)
class ViewMetrics:
    """The numbers of one view."""

    iou: float
    """Intersection over union of the masks."""
    contour_px: float
    """95th percentile of the distance from the photo's outline to the render's, pixels."""
    contour_per_mille: float
    """`contour_px` for an object whose bounding box has a diagonal of 1000 px."""
    psnr_db: float
    """On the union of the masks, after the colour fit."""
    psnr_white_db: float
    """On the whole image over white, no colour fit: the figure that papers print."""
    ssim: float
    gmsd: float
    sharpness: float
    """Fine detail of the render over that of the photo; below 1 the render is softer."""
    highlights: float
    """Share of the mask where the photo is much brighter than the render: reflections it lacks."""
    gain: tuple[float, float, float]
    """Exposure and white balance of the photo relative to the render, per linear channel."""


def picture_from_photo(image_srgb: UInt8[np.ndarray, "H W 3"], mask: UInt8[np.ndarray, "H W"]) -> Picture:
    """A photo and its soft mask as a `Picture`."""
    return Picture(image_srgb.astype(np.float32) / 255.0, mask.astype(np.float32) / 255.0)


def picture_from_rgba(rgba_srgb: Float[np.ndarray, "H W 4"]) -> Picture:
    """A render with straight alpha as a `Picture`."""
    clipped = np.clip(rgba_srgb, 0.0, 1.0).astype(np.float32)
    return Picture(np.ascontiguousarray(clipped[..., :3]), np.ascontiguousarray(clipped[..., 3]))


def compare(photo: Picture, render: Picture) -> ViewMetrics:
    """All numbers of one view. Both pictures have the same size; the photo's mask is not empty."""
    gain = colour_gain(photo, render)
    fitted = with_gain(render, gain)
    window = _object_window(photo.mask | render.mask)
    near_photo, near_render = _cropped(photo, window), _cropped(fitted, window)
    union = (near_photo.mask | near_render.mask) & ~edge_band(near_photo.mask)
    inside = near_photo.mask & ~edge_band(near_photo.mask)
    inside = inside if inside.any() else near_photo.mask  # objects thinner than the band
    union = union if union.any() else near_photo.mask
    contour_px = contour_distance_px(photo.coverage, render.coverage)
    return ViewMetrics(
        iou=mask_iou(photo.mask, render.mask),
        contour_px=contour_px,
        contour_per_mille=1000.0 * contour_px / box_diagonal_px(photo.mask),
        psnr_db=psnr_db(near_photo.on_white(), near_render.on_white(), union),
        psnr_white_db=psnr_db(photo.on_white(), render.on_white(), np.ones_like(photo.mask)),
        ssim=masked_ssim(near_photo.on_white(), near_render.on_white(), inside),
        gmsd=masked_gmsd(near_photo.on_white(), near_render.on_white(), union),
        sharpness=sharpness_ratio(near_photo, near_render),
        highlights=highlight_share(near_photo, near_render),
        gain=gain,
    )


def mask_iou(photo_mask: Bool[np.ndarray, "H W"], render_mask: Bool[np.ndarray, "H W"]) -> float:
    """Intersection over union; 1 if both are empty."""
    union = np.count_nonzero(photo_mask | render_mask)
    return float(np.count_nonzero(photo_mask & render_mask) / union) if union else 1.0


def box_diagonal_px(mask: Bool[np.ndarray, "H W"]) -> float:
    """Diagonal of the mask's bounding box in pixels, at least 1."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        return 1.0
    return float(np.hypot(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1))


def contour_distance_px(
    photo_coverage: Float[np.ndarray, "H W"],
    render_coverage: Float[np.ndarray, "H W"],
    *,
    percentile: float = 95.0,
) -> float:
    """Percentile of the distance from the photo's outline to the nearest point of the render's, in pixels.

    Outlines are the half-coverage level lines, so that soft masks give sub-pixel distances. One direction
    only: extra parts of the render are what `mask_iou` finds. The image's diagonal if one side has no
    outline.
    """
    photo_points, render_points = _outline_points(photo_coverage), _outline_points(render_coverage)
    if not len(photo_points) or not len(render_points):
        return float(np.hypot(*photo_coverage.shape))
    distances, _ = cKDTree(render_points).query(photo_points)
    return float(np.percentile(distances, percentile))


def edge_band(mask: Bool[np.ndarray, "H W"], width_px: int = EDGE_BAND_PX) -> Bool[np.ndarray, "H W"]:
    """Pixels within `width_px` (square) of a change of the mask; the image border is no change."""
    kernel = np.ones((2 * width_px + 1, 2 * width_px + 1), np.uint8)
    grown = cv2.dilate(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE)
    shrunk = cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(grown != shrunk)


def colour_gain(photo: Picture, render: Picture) -> tuple[float, float, float]:
    """Median of photo / render per linear channel, where both show the object and neither is dark or clipped.

    Exposure and white balance scale linear light. A gain, not an affine map: an offset would excuse a
    washed-out texture. Limited to [1/4, 4]; 1 for a channel with fewer than 16 usable pixels.
    """
    both = photo.mask & render.mask & ~edge_band(photo.mask)
    photo_linear, render_linear = (
        linear_from_srgb_array(photo.colour_srgb[both]),
        linear_from_srgb_array(render.colour_srgb[both]),
    )
    usable = (photo_linear > 0.01) & (photo_linear < 0.95) & (render_linear > 0.01) & (render_linear < 0.95)
    gains = [1.0, 1.0, 1.0]
    for channel in range(3):
        keep = usable[:, channel]
        if np.count_nonzero(keep) >= 16:
            ratio = np.median(photo_linear[keep, channel] / render_linear[keep, channel])
            gains[channel] = float(np.clip(ratio, 0.25, 4.0))
    return gains[0], gains[1], gains[2]


def with_gain(picture: Picture, gain: tuple[float, float, float]) -> Picture:
    """The picture with its linear channels multiplied by `gain`, clipped to what a photo can hold."""
    scaled = linear_from_srgb_array(picture.colour_srgb) * np.asarray(gain, np.float32)
    return Picture(srgb_from_linear_array(np.clip(scaled, 0.0, 1.0)).astype(np.float32), picture.coverage)


def psnr_db(
    photo_srgb: Float[np.ndarray, "H W 3"],
    render_srgb: Float[np.ndarray, "H W 3"],
    where: Bool[np.ndarray, "H W"],
) -> float:
    """Peak signal-to-noise ratio over the pixels `where`, peak 1; at most `PSNR_LIMIT_DB`."""
    difference = photo_srgb[where].astype(np.float64) - render_srgb[where]
    mean_square = float(np.mean(difference**2)) if difference.size else 0.0
    return min(PSNR_LIMIT_DB, -10.0 * float(np.log10(max(mean_square, 1e-12))))


def masked_ssim(
    photo_srgb: Float[np.ndarray, "H W 3"],
    render_srgb: Float[np.ndarray, "H W 3"],
    where: Bool[np.ndarray, "H W"],
) -> float:
    """Mean over `where` of the structural similarity map (Wang et al. 2004; RGB, gaussian of 1.5 px)."""
    photo, render, where = (_at_least(array, 11) for array in (photo_srgb, render_srgb, where))
    _, similarity = structural_similarity(  # type: ignore[no-untyped-call]
        photo,
        render,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=2,
        full=True,
    )
    return float(similarity[where].mean())


def masked_gmsd(
    photo_srgb: Float[np.ndarray, "H W 3"],
    render_srgb: Float[np.ndarray, "H W 3"],
    where: Bool[np.ndarray, "H W"],
) -> float:
    """Gradient magnitude similarity deviation over `where` (Xue et al. 2014, eq. 4 to 6); 0 is equal.

    As published: luma, halved in size by 2 x 2 averaging, Prewitt gradients; the standard deviation of the
    map.
    """
    photo_gradient, render_gradient = (
        _gradient(_half(_luma(photo_srgb))),
        _gradient(_half(_luma(render_srgb))),
    )
    similarity = (2.0 * photo_gradient * render_gradient + _GMSD_C) / (
        photo_gradient**2 + render_gradient**2 + _GMSD_C
    )
    half_where = _half(where.astype(np.float32)) >= 0.5
    return float(similarity[half_where].std()) if half_where.any() else 0.0


def sharpness_ratio(photo: Picture, render: Picture) -> float:
    """Mean |I - blur(I)| of the render over that of the photo, well inside both masks; gaussian of 1.5 px.

    The blur is normalised by the mask, so that the background does not leak in. An object without detail of
    its own gives about 1. Sensor noise in the photo counts as detail and lowers the ratio.
    """
    both = photo.mask & render.mask
    inside = both & ~edge_band(both)
    inside = inside if inside.any() else both
    if not inside.any():
        return 0.0
    photo_detail = _detail(_luma(photo.colour_srgb), both)[inside].mean()
    render_detail = _detail(_luma(render.colour_srgb), both)[inside].mean()
    return float((render_detail + _DETAIL_FLOOR) / (photo_detail + _DETAIL_FLOOR))


def highlight_share(photo: Picture, render: Picture) -> float:
    """Share of the common mask where the photo's luma is above the render's by more than 0.25."""
    both = photo.mask & render.mask & ~edge_band(photo.mask)
    if not both.any():
        return 0.0
    excess = _luma(photo.colour_srgb)[both] - _luma(render.colour_srgb)[both]
    return float(np.mean(excess > 0.25))


def _outline_points(coverage: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "P 2"]:
    """Points a quarter pixel apart on the half-coverage level line; it closes along the image border."""
    lines = find_contours(np.pad(coverage.astype(np.float64), 1), 0.5)  # type: ignore[no-untyped-call]
    pieces = [np.zeros((0, 2))]
    for line in lines:
        # find_contours puts a vertex on every pixel-grid edge it crosses: at most sqrt(2) px
        # between them.
        steps = np.linspace(0.0, 1.0, 6, endpoint=False)[None, :, None]
        pieces.append((line[:-1, None] * (1.0 - steps) + line[1:, None] * steps).reshape(-1, 2))
    return np.concatenate(pieces)


def _object_window(mask: Bool[np.ndarray, "H W"], margin_px: int = 12) -> tuple[slice, slice]:
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        return slice(None), slice(None)
    return (
        slice(max(0, rows[0] - margin_px), rows[-1] + margin_px + 1),
        slice(max(0, columns[0] - margin_px), columns[-1] + margin_px + 1),
    )


def _cropped(picture: Picture, window: tuple[slice, slice]) -> Picture:
    return Picture(picture.colour_srgb[window], picture.coverage[window])


def _at_least(array: np.ndarray, edge_px: int) -> np.ndarray:
    """Padded at the bottom and right to the smallest size that the SSIM window takes."""
    height, width = array.shape[:2]
    margins = [(0, max(0, edge_px - height)), (0, max(0, edge_px - width)), (0, 0)][: array.ndim]
    if array.dtype == bool:
        return np.pad(array, margins)
    return np.pad(array, margins, mode="edge")


def _luma(colour_srgb: Float[np.ndarray, "*shape 3"]) -> Float32[np.ndarray, " *shape"]:
    bt601 = np.array([0.299, 0.587, 0.114], np.float32)  # the luma of the GMSD paper
    return np.asarray(colour_srgb @ bt601, np.float32)


def _half(image: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "h w"]:
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    halved: np.ndarray = image[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    return halved


def _gradient(luma: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    across = np.array([[1, 0, -1]] * 3, np.float32) / 3.0
    horizontal = cv2.filter2D(luma, cv2.CV_32F, across, borderType=cv2.BORDER_REPLICATE)
    vertical = cv2.filter2D(luma, cv2.CV_32F, across.T.copy(), borderType=cv2.BORDER_REPLICATE)
    magnitude: np.ndarray = np.hypot(horizontal, vertical)
    return magnitude


def _detail(luma: Float32[np.ndarray, "H W"], where: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    weight = where.astype(np.float32)
    blurred = cv2.GaussianBlur(luma * weight, (0, 0), 1.5)
    share = cv2.GaussianBlur(weight, (0, 0), 1.5)
    return np.abs(luma - blurred / np.maximum(share, 1e-6))
