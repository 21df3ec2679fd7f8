"""The solver looks at reduced copies; what it finds is told in pixels of the photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from objectscan.capture.photoset import PhotoSet
from objectscan.capture.samples.photographs import noise_texture, write_photos
from objectscan.capture.solve.pictures import write_masks, write_pictures
from objectscan.errors import UnreadableImage


@pytest.fixture
def photos(tmp_path: Path) -> PhotoSet:
    rng = np.random.default_rng(0)
    images = [noise_texture(rng, 512)[:300, :401].astype(np.uint8) for _ in range(2)]
    return write_photos(tmp_path / "in", images, focal_px=430.0, names=["a photo.jpg", "..odd;.jpg"])


def test_large_photos_are_reduced_and_small_ones_are_linked(photos: PhotoSet, tmp_path: Path):
    small = write_pictures(photos.photos, tmp_path / "small", 200)
    assert [picture.file_name for picture in small] == ["0000.jpg", "0001.jpg"]
    image = cv2.imread(str(tmp_path / "small/0000.jpg"))
    assert image.shape[:2] == (150, 200) and small[0].size == (200, 150)
    same = write_pictures(photos.photos, tmp_path / "same", 1200)
    assert (tmp_path / "same/0001.jpg").resolve() == photos.photos[1].path.resolve()
    assert same[1].scale == (1.0, 1.0)


def test_a_lens_is_told_in_pixels_of_the_photo(photos: PhotoSet, tmp_path: Path):
    picture = write_pictures(photos.photos, tmp_path / "small", 200)[0]
    assert picture.focal_prior_px == pytest.approx(430 * 200 / 401)
    lens = picture.lens_of_photo(np.array([100.0, 100.0, 75.0, -0.1]))
    assert lens.focal_px == pytest.approx((200.5, 200.0))
    assert lens.centre_px == pytest.approx((200.5, 150.0))
    assert (lens.size, lens.distortion[0]) == ((401, 300), -0.1)


def test_masks_are_as_large_as_the_pictures_and_a_little_wider(photos: PhotoSet, tmp_path: Path):
    mask = np.zeros((300, 401), np.uint8)
    mask[100:200, 150:250] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    pictures = write_pictures(photos.photos, tmp_path / "small", 200)
    write_masks(pictures, {"a photo.jpg": tmp_path / "mask.png"}, tmp_path / "masks")
    written = cv2.imread(str(tmp_path / "masks/0000.jpg.png"), cv2.IMREAD_GRAYSCALE)
    assert written.shape == (150, 200)
    assert set(np.unique(written).tolist()) == {0, 255}
    rows = np.flatnonzero(written.any(axis=1))
    assert (rows[0], rows[-1]) == (45, 104)  # 50 to 99, and 5 more on both sides
    assert not (tmp_path / "masks/0001.jpg.png").exists()


@pytest.mark.parametrize("edge", [200, 1200])
def test_a_photo_that_is_gone_is_named(photos: PhotoSet, tmp_path: Path, edge: int):
    photos.photos[1].path.unlink()
    with pytest.raises(UnreadableImage, match="odd"):
        write_pictures(photos.photos, tmp_path / "small", edge)
