import cv2
import numpy as np
import pytest

from objectscan.capture.checks import is_shaken, judge_photos, photo_facts, require_usable
from objectscan.capture.photoset import PhotoSet, PlainPhoto
from objectscan.errors import Cancelled, PhotosUnusable, UnreadableImage


def textured(seed: int, size=(480, 360)) -> np.ndarray:
    """Blobs of many sizes: crisp, with hundreds of keypoints."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((size[1], size[0], 3), np.float32)
    for cells in (6, 20, 60, 160):
        noise = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(noise, size, interpolation=cv2.INTER_NEAREST)
    return np.clip(128 + 35 * picture, 20, 240).astype(np.uint8)


def photo_set(tmp_path, pictures) -> PhotoSet:
    photos = []
    for number, picture in enumerate(pictures):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), picture)
        photos.append(PlainPhoto(f"p{number}.jpg", path, (picture.shape[1], picture.shape[0])))
    return PhotoSet(tuple(photos), is_ordered=True)


def test_sharp_well_lit_photos_pass_without_a_word(tmp_path):
    judgement = judge_photos(photo_set(tmp_path, [textured(k) for k in range(4)]))
    assert judgement.findings == () and judgement.reason is None
    require_usable(judgement)
    assert min(photo.keypoints for photo in judgement.photos) > 200


def test_the_measured_numbers_follow_blur_and_light(tmp_path):
    sharp = textured(0)
    photos = photo_set(tmp_path, [sharp, cv2.GaussianBlur(sharp, (0, 0), 2), (sharp * 0.5).astype(np.uint8)])
    crisp, soft, dim = (photo_facts(photo)[0] for photo in photos.photos)
    assert soft.sharpness < 0.6 * crisp.sharpness
    assert dim.sharpness == pytest.approx(crisp.sharpness, abs=0.05)
    # Half of an sRGB value is about a fifth of the light.
    assert dim.median_linear / crisp.median_linear == pytest.approx(0.21, abs=0.03)
    assert dim.contrast == pytest.approx(0.5 * crisp.contrast, rel=0.05)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda picture: (picture * 0.02).astype(np.uint8), "bad_exposure"),
        (lambda picture: np.clip(picture.astype(int) + 200, 0, 255).astype(np.uint8), "bad_exposure"),
        (lambda picture: cv2.GaussianBlur(picture, (0, 0), 9), "blurry_images"),
        (lambda picture: np.full_like(picture, 200) + (picture % 2), "insufficient_features"),
    ],
)
def test_a_spoilt_set_is_refused_with_its_reason_and_a_single_photo_is_named(tmp_path, spoil, reason):
    good = [textured(k) for k in range(4)]
    refused = judge_photos(photo_set(tmp_path, [spoil(picture) for picture in good]))
    assert refused.reason == reason
    with pytest.raises(PhotosUnusable, match="4 of 4 photos") as raised:
        require_usable(refused)
    assert raised.value.details["reason"] == reason and raised.value.hint
    one = judge_photos(photo_set(tmp_path, [*good[:3], spoil(good[3])]))
    assert one.reason is None
    assert ("p3.jpg",) in [finding.photos for finding in one.findings if finding.code == reason]


def test_a_photo_less_sharp_than_the_rest_and_uneven_light_are_told(tmp_path):
    good = [textured(k) for k in range(3)]
    soft = cv2.GaussianBlur(textured(5), (0, 0), 1.5)
    judgement = judge_photos(photo_set(tmp_path, [*good, soft]))
    assert [(f.code, f.photos) for f in judgement.findings] == [("blurry_images", ("p3.jpg",))]
    dim = (textured(6) * 0.6).astype(np.uint8)
    uneven = judge_photos(photo_set(tmp_path, [*good, dim]))
    (told,) = [finding for finding in uneven.findings if finding.code == "exposure_varies"]
    assert "p3.jpg" in told.photos and "times the light" in told.message


def test_contrast_without_corners_looks_shaken_and_sharp_photos_do_not(tmp_path):
    ramps = [np.tile(np.linspace(20, 235, 480, dtype=np.float32) + k, (360, 1)) for k in range(4)]
    streaked = [cv2.merge([ramp.astype(np.uint8)] * 3) for ramp in ramps]
    assert is_shaken(judge_photos(photo_set(tmp_path, streaked)))
    assert not is_shaken(judge_photos(photo_set(tmp_path, [textured(k) for k in range(4)])))


def test_judging_can_be_cancelled_and_a_lost_copy_is_named(tmp_path):
    photos = photo_set(tmp_path, [textured(k) for k in range(3)])

    def cancel(progress):
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        judge_photos(photos, cancel)
    photos.photos[1].path.unlink()
    with pytest.raises(UnreadableImage, match=r"p1\.jpg"):
        judge_photos(photos)
