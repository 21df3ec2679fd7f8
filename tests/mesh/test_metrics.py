from __future__ import annotations

import numpy as np
import pytest

from objectscan.mesh.metrics import (
    Picture,
    box_diagonal_px,
    colour_gain,
    compare,
    contour_distance_px,
    edge_band,
    highlight_share,
    mask_iou,
    masked_gmsd,
    masked_ssim,
    picture_from_photo,
    picture_from_rgba,
    psnr_db,
    sharpness_ratio,
    with_gain,
)


def disc(size: int = 96, radius: float = 30.0, centre: tuple[float, float] = (48.0, 48.0)) -> np.ndarray:
    """Soft coverage of a disc: a linear ramp of one pixel across its edge."""
    y, x = np.mgrid[:size, :size] + 0.5
    return np.clip(radius - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1).astype(np.float32)


def speckle(size: int = 96, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.random((size // 4, size // 4, 3)), np.ones((4, 4, 1)))
    return (0.2 + 0.6 * coarse).astype(np.float32)


def test_equal_pictures_are_perfect_in_every_number() -> None:
    picture = Picture(speckle(), disc())
    numbers = compare(picture, picture)
    assert numbers.iou == 1.0 and numbers.contour_px == 0.0 and numbers.gmsd == pytest.approx(0.0, abs=1e-6)
    assert numbers.psnr_db == numbers.psnr_white_db == 60.0
    assert numbers.ssim == pytest.approx(1.0) and numbers.sharpness == pytest.approx(1.0)
    assert numbers.gain == pytest.approx((1.0, 1.0, 1.0)) and numbers.highlights == 0.0


def test_iou_counts_pixels() -> None:
    left, right = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    left[:, :4], right[:, 2:] = True, True
    assert mask_iou(left, right) == pytest.approx(8 / 24)
    assert mask_iou(left & ~left, right & ~right) == 1.0


def test_contour_distance_of_concentric_discs_is_the_difference_of_their_radii() -> None:
    for difference in (0.5, 1.0, 3.25):
        measured = contour_distance_px(disc(radius=30.0), disc(radius=30.0 - difference))
        assert measured == pytest.approx(difference, abs=1 / 6)


def test_contour_distance_agrees_with_a_brute_force_search() -> None:
    def outline(coverage: np.ndarray) -> np.ndarray:
        """Level crossings on the grid edges, by definition of linear interpolation."""
        points = []
        height, width = coverage.shape
        for r in range(height):
            for c in range(width):
                for r2, c2 in ((r + 1, c), (r, c + 1)):
                    if r2 < height and c2 < width and (coverage[r, c] >= 0.5) != (coverage[r2, c2] >= 0.5):
                        t = (0.5 - coverage[r, c]) / (coverage[r2, c2] - coverage[r, c])
                        points.append((r + t * (r2 - r), c + t * (c2 - c)))
        return np.array(points)

    photo, render = disc(radius=26.0), disc(radius=24.0, centre=(52.0, 46.0))
    gaps = np.linalg.norm(outline(photo)[:, None] - outline(render)[None], axis=-1).min(1)
    assert contour_distance_px(photo, render) == pytest.approx(np.percentile(gaps, 95), abs=0.15)


def test_an_empty_render_is_one_image_diagonal_away() -> None:
    assert contour_distance_px(disc(), np.zeros((96, 96))) == pytest.approx(np.hypot(96, 96))
    assert compare(Picture(speckle(), disc()), Picture(speckle(), np.zeros((96, 96), np.float32))).iou == 0.0


def test_extra_parts_leave_the_contour_alone_and_lower_the_overlap() -> None:
    whole = disc()
    extra = whole.copy()
    extra[2:14, 2:14] = 1.0
    assert contour_distance_px(whole, extra) == pytest.approx(0.0, abs=1e-6)
    assert mask_iou(whole >= 0.5, extra >= 0.5) < 0.96


def test_box_diagonal_is_that_of_the_tight_box() -> None:
    mask = np.zeros((50, 50), bool)
    mask[10:40, 5:45] = True
    assert box_diagonal_px(mask) == 50.0
    assert box_diagonal_px(np.zeros((5, 5), bool)) == 1.0


def test_edge_band_covers_two_pixels_on_each_side_and_not_the_image_border() -> None:
    mask = np.zeros((20, 20), bool)
    mask[:, :10] = True
    band = edge_band(mask)
    assert band[:, 8:12].all() and not band[:, :8].any() and not band[:, 12:].any()


def test_exposure_and_white_balance_are_recovered_and_forgiven() -> None:
    render = Picture(speckle(), disc())
    photo = with_gain(render, (0.8, 0.9, 1.1))
    assert colour_gain(photo, render) == pytest.approx((0.8, 0.9, 1.1), rel=1e-3)
    numbers = compare(photo, render)
    assert numbers.psnr_db > 45.0
    assert numbers.psnr_white_db < 35.0


def test_gain_ignores_highlights_and_stays_within_limits() -> None:
    render = Picture(speckle(), disc())
    with_glint = with_gain(render, (0.8, 0.8, 0.8)).colour_srgb.copy()
    with_glint[40:50, 40:50] = 1.0
    assert colour_gain(Picture(with_glint, disc()), render) == pytest.approx((0.8, 0.8, 0.8), rel=1e-2)
    dark = Picture(np.full((96, 96, 3), 0.9, np.float32), disc())
    assert max(colour_gain(dark, Picture(np.full((96, 96, 3), 0.12, np.float32), disc()))) <= 4.0


def test_a_washed_out_texture_is_not_excused() -> None:
    photo = Picture(speckle(), disc())
    washed = Picture((0.5 + 0.3 * (photo.colour_srgb - 0.5)).astype(np.float32), disc())
    numbers = compare(photo, washed)
    assert numbers.psnr_db < 23.0 and numbers.ssim < 0.8 and numbers.sharpness < 0.5


def test_psnr_matches_its_definition() -> None:
    a, b = speckle(seed=1), speckle(seed=2)
    where = disc() > 0.5
    total = sum(float(np.sum((a[r, c] - b[r, c]) ** 2)) for r, c in np.argwhere(where))
    assert psnr_db(a, b, where) == pytest.approx(-10 * np.log10(total / (3 * where.sum())), rel=1e-5)


def test_ssim_agrees_with_its_definition_at_one_pixel() -> None:
    a, b = speckle(32, seed=3), speckle(32, seed=4)
    offsets = np.arange(-5, 6)
    weight = np.exp(-(offsets**2) / (2 * 1.5**2))
    weight = np.outer(weight, weight) / weight.sum() ** 2
    per_channel = []
    for channel in range(3):
        x, y = (image[11:22, 11:22, channel].astype(np.float64) for image in (a, b))
        mean_x, mean_y = (weight * x).sum(), (weight * y).sum()
        var_x, var_y = (weight * (x - mean_x) ** 2).sum(), (weight * (y - mean_y) ** 2).sum()
        covariance = (weight * (x - mean_x) * (y - mean_y)).sum()
        per_channel.append(
            (2 * mean_x * mean_y + 1e-4)
            * (2 * covariance + 9e-4)
            / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))
        )
    where = np.zeros((32, 32), bool)
    where[16, 16] = True
    assert masked_ssim(a, b, where) == pytest.approx(np.mean(per_channel), abs=1e-4)


def test_gmsd_agrees_with_a_loop_over_pixels() -> None:
    a, b = speckle(24, seed=5), speckle(24, seed=6)
    luma = np.array([0.299, 0.587, 0.114])

    def gradient(image: np.ndarray) -> np.ndarray:
        half = (image @ luma).reshape(12, 2, 12, 2).mean((1, 3))
        padded = np.pad(half, 1, mode="edge")
        result = np.zeros((12, 12))
        for r in range(12):
            for c in range(12):
                patch = padded[r : r + 3, c : c + 3]
                result[r, c] = np.hypot(
                    (patch[:, 0] - patch[:, 2]).sum() / 3, (patch[0] - patch[2]).sum() / 3
                )
        return result

    ga, gb, constant = gradient(a), gradient(b), 170 / 255**2
    similarity = (2 * ga * gb + constant) / (ga**2 + gb**2 + constant)
    assert masked_gmsd(a, b, np.ones((24, 24), bool)) == pytest.approx(similarity.std(), abs=1e-5)


def test_blur_lowers_sharpness_and_the_background_does_not_leak_in() -> None:
    import cv2

    photo = Picture(speckle(), disc())
    ratios = [
        sharpness_ratio(photo, Picture(cv2.GaussianBlur(photo.colour_srgb, (0, 0), sigma), disc()))
        for sigma in (0.5, 1.0, 2.0, 4.0)
    ]
    assert ratios == sorted(ratios, reverse=True) and ratios[-1] < 0.35
    plain = Picture(np.full((96, 96, 3), 0.5, np.float32), disc())
    assert sharpness_ratio(plain, plain) == pytest.approx(1.0)
    on_black = Picture(photo.colour_srgb * photo.mask[..., None], disc())
    assert sharpness_ratio(photo, on_black) == pytest.approx(1.0, abs=0.01)


def test_highlights_that_the_render_lacks_are_counted() -> None:
    render = Picture(np.full((96, 96, 3), 0.4, np.float32), disc())
    shiny = render.colour_srgb.copy()
    shiny[40:50, 40:50] = 1.0
    assert highlight_share(Picture(shiny, disc()), render) == pytest.approx(100 / 2600, rel=0.2)
    assert highlight_share(render, Picture(shiny, disc())) == 0.0


def test_small_and_thin_objects_still_get_finite_numbers() -> None:
    colour = speckle(24)
    line = np.zeros((24, 24), np.float32)
    line[4:20, 11:13] = 1.0
    numbers = compare(Picture(colour, line), Picture(colour, np.roll(line, 1, axis=1)))
    assert np.isfinite([numbers.iou, numbers.psnr_db, numbers.ssim, numbers.gmsd, numbers.sharpness]).all()
    tiny = Picture(colour[:6, :6], np.ones((6, 6), np.float32))
    assert compare(tiny, tiny).ssim == pytest.approx(1.0)


def test_pictures_from_photos_and_renders_share_one_scale() -> None:
    photo = picture_from_photo(np.full((3, 3, 3), 255, np.uint8), np.full((3, 3), 128, np.uint8))
    render = picture_from_rgba(np.full((3, 3, 4), 1.5))
    assert photo.mask.all() and photo.colour_srgb.max() == 1.0
    assert render.colour_srgb.max() == 1.0 and render.coverage.max() == 1.0
    assert np.allclose(photo.on_white(), 1.0)
