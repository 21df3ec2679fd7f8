"""After undistortion a pinhole camera projects points to where the photo shows them."""

from __future__ import annotations

import numpy as np
import pytest

from objectscan.capture.formats.posed import Lens
from objectscan.capture.undistort import intrinsics_for, reduced, undistorted
from objectscan.errors import BadCameras

SIZE = (240, 180)
INTRINSICS = np.array([[200.0, 0, 118.0], [0, 205.0, 92.0], [0, 0, 1.0]])
POINTS = np.array([[x, y, 1.0] for x in (-0.3, 0.0, 0.25) for y in (-0.2, 0.05, 0.22)])
BROWN = (-0.25, 0.12, 0.004, -0.003, 0.02)
RATIONAL = (-0.2, 0.1, 0.003, -0.002, 0.01, 0.02, -0.01, 0.005)
FISHEYE = (0.05, -0.02, 0.01, -0.004)


def brown(ray: np.ndarray, k: tuple[float, ...]) -> np.ndarray:
    """Brown-Conrady with OpenCV's coefficients, written out from its documentation."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*k, *(0.0,) * (8 - len(k)))
    x, y = ray[:2]
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return np.array(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ]
    )


def fisheye(ray: np.ndarray, k: tuple[float, ...]) -> np.ndarray:
    """Kannala-Brandt as OpenCV documents it."""
    radius = np.hypot(*ray[:2])
    if radius == 0:
        return ray[:2]
    angle = np.arctan(radius)
    bent = angle * (1 + k[0] * angle**2 + k[1] * angle**4 + k[2] * angle**6 + k[3] * angle**8)
    return ray[:2] * bent / radius


def photo_of(points: np.ndarray, lens: Lens) -> np.ndarray:
    """A soft white dot for each point where the lens images it; pixel centres at +0.5."""
    bend = fisheye if lens.model == "fisheye" else brown
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    image = np.zeros((SIZE[1], SIZE[0]))
    for point in points:
        column, row = (INTRINSICS[:2, :2] @ bend(point, lens.distortion)) + INTRINSICS[:2, 2]
        image += np.exp(-((columns + 0.5 - column) ** 2 + (rows + 0.5 - row) ** 2) / (2 * 1.5**2))
    return np.repeat((np.clip(image, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray, near: np.ndarray) -> np.ndarray:
    column, row = np.round(near - 0.5).astype(int)
    window = image[row - 5 : row + 6, column - 5 : column + 6, 0].astype(float)
    rows, columns = np.mgrid[row - 5 : row + 6, column - 5 : column + 6]
    return np.array([(window * (columns + 0.5)).sum(), (window * (rows + 0.5)).sum()]) / window.sum()


@pytest.mark.parametrize(
    "lens",
    [
        Lens((200, 205), distortion=BROWN),
        Lens((200, 205), distortion=RATIONAL),
        Lens((200, 205), model="fisheye", distortion=FISHEYE),
    ],
    ids=["brown", "rational", "fisheye"],
)
def test_points_land_where_the_new_pinhole_camera_projects_them(lens: Lens) -> None:
    photo = photo_of(POINTS, lens)
    image, mask, intrinsics = undistorted(photo, photo[..., 0], INTRINSICS, lens, cut_out=False)
    assert mask is not None
    assert np.array_equal(image[..., 0], mask)
    for point in POINTS:
        expected = intrinsics[:2, :2] @ point[:2] + intrinsics[:2, 2]
        assert np.abs(centroid(image, expected) - expected).max() < 0.15


def test_without_distortion_nothing_changes() -> None:
    photo = photo_of(POINTS, Lens((200, 205), distortion=(0.0,) * 4))
    image, mask, intrinsics = undistorted(photo, None, INTRINSICS, Lens((200, 205)), cut_out=False)
    assert image is photo
    assert mask is None
    assert intrinsics is INTRINSICS


def test_where_the_lens_saw_nothing_the_mask_is_zero() -> None:
    full = np.full((SIZE[1], SIZE[0]), 255, np.uint8)
    lens = Lens((200, 205), distortion=(0.3, 0.0, 0.0, 0.0))
    _, mask, _ = undistorted(np.dstack([full] * 3), full, INTRINSICS, lens, cut_out=False)
    assert mask is not None
    assert mask[SIZE[1] // 2, SIZE[0] // 2] == 255
    assert (mask == 0).any()


def test_colours_under_zero_alpha_do_not_bleed_into_a_cut_out() -> None:
    rgb = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    rgb[40:140, 60:180], mask[40:140, 60:180] = (200, 100, 50), 255
    image, new_mask, _ = undistorted(rgb, mask, INTRINSICS, Lens((200, 205), distortion=BROWN), cut_out=True)
    small, small_mask, _ = reduced(rgb, mask, INTRINSICS, max_edge_px=77, cut_out=True)
    for pixels, share in ((image, new_mask), (small, small_mask)):
        assert share is not None
        edge = (share > 30) & (share < 220)
        assert edge.sum() > 20
        assert np.abs(pixels[edge].astype(int) - (200, 100, 50)).max() <= 6


def test_reduction_keeps_the_projection() -> None:
    lens = Lens((200, 205), distortion=(0.0,) * 4)
    photo = photo_of(POINTS, lens)
    image, _, intrinsics = reduced(photo, None, INTRINSICS, max_edge_px=160, cut_out=False)
    assert image.shape[:2] == (120, 160)
    for point in POINTS:
        expected = intrinsics[:2, :2] @ point[:2] + intrinsics[:2, 2]
        assert np.abs(centroid(image, expected) - expected).max() < 0.15


def test_intrinsics_scale_with_the_photo_and_tolerate_a_pixel_of_rounding() -> None:
    lens = Lens((1000, 1010), centre_px=(500, 376), size=(1001, 751))
    assert np.allclose(intrinsics_for(lens, (500, 375), "x")[0, 0], 1000 * 500 / 1001)
    with pytest.raises(BadCameras, match="another aspect"):
        intrinsics_for(lens, (500, 400), "x")


def test_two_angles_give_two_focal_lengths() -> None:
    intrinsics = intrinsics_for(Lens(None, angle_rad=(1.0, 0.5)), (200, 100), "x")
    assert np.isclose(intrinsics[0, 0], 100 / np.tan(0.5))
    assert np.isclose(intrinsics[1, 1], 50 / np.tan(0.25))
