import io

import numpy as np
import pytest
from PIL import Image

from objectscan.capture.gather import gather, has_plain_photos
from objectscan.capture.images import decode_photo
from objectscan.capture.limits import ImageLimits
from objectscan.errors import InputError, TooFewViews


def picture(seed, size=(96, 72)):
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
    return Image.fromarray(pixels.repeat(8, axis=0).repeat(8, axis=1))


def write(folder, names, **exif):
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        tags = Image.Exif()
        tags[0x010F], tags[0x0110] = "Maker", "Phone 3"
        tags.get_ifd(0x8769)[0xA405] = 27
        for tag, value in exif.items():
            tags.get_ifd(0x8769)[int(tag[1:], 16)] = value(seed)
        picture(seed).save(folder / name, exif=tags.tobytes())
    return folder


def test_photos_come_in_natural_order_with_what_the_camera_wrote(tmp_path):
    folder = write(tmp_path / "in", [f"img_{k}.jpg" for k in (1, 2, 10, 3)])
    photos = gather(folder, tmp_path / "work")
    assert [photo.name for photo in photos.photos] == ["img_1.jpg", "img_2.jpg", "img_3.jpg", "img_10.jpg"]
    assert photos.is_ordered
    first = photos.photos[0]
    assert first.camera == "Maker Phone 3" and first.size == (96, 72)
    assert first.focal_prior_px == pytest.approx(27 / 36 * 96)


def test_times_decide_the_order_if_all_photos_have_one(tmp_path):
    folder = write(
        tmp_path / "in", ["a.jpg", "b.jpg", "c.jpg"], x9003=lambda k: f"2026:05:01 10:00:{30 - k:02d}"
    )
    photos = gather(folder, tmp_path / "work")
    assert [photo.name for photo in photos.photos] == ["c.jpg", "b.jpg", "a.jpg"] and photos.is_ordered


def test_names_without_numbers_tell_no_order(tmp_path):
    assert not gather(write(tmp_path / "in", ["front.jpg", "left.jpg", "top.jpg"]), tmp_path / "w").is_ordered


def test_copies_are_upright_reduced_and_without_position(tmp_path):
    folder = write(tmp_path / "in", ["1.jpg", "2.jpg", "3.jpg"])
    tags = Image.Exif()
    tags[0x0112] = 6
    tags.get_ifd(0x8825)[1] = "N"
    picture(7, (160, 80)).save(folder / "4.jpg", exif=tags.tobytes())
    photo = gather(folder, tmp_path / "work", ImageLimits(max_edge_px=80)).photos[-1]
    assert photo.size == (40, 80)
    copy = Image.open(photo.path)
    assert copy.size == (40, 80) and not copy.getexif()
    turned = np.asarray(picture(7, (160, 80)).rotate(-90, expand=True).resize((40, 80), Image.Resampling.BOX))
    assert np.abs(np.asarray(copy).astype(int) - turned).mean() < 15


def test_what_is_no_photo_or_broken_or_double_is_left_out_by_name(tmp_path):
    folder = write(tmp_path / "in", [f"{k}.jpg" for k in range(4)])
    (folder / "notes.txt").write_text("turn it a little")
    (folder / "broken.jpg").write_bytes((folder / "0.jpg").read_bytes()[:400])
    (folder / "twin.jpg").write_bytes((folder / "1.jpg").read_bytes())
    (folder / ".DS_Store").write_bytes(b"junk")
    before = sorted(file.name for file in folder.iterdir())
    photos = gather(folder, tmp_path / "work")
    assert [photo.name for photo in photos.photos] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    by_code = {finding.code: finding for finding in photos.findings}
    assert by_code["stray_files"].photos == ("notes.txt",)
    assert by_code["photo_dropped"].photos == ("broken.jpg",)
    assert by_code["duplicate_images"].photos == ("twin.jpg",)
    assert sorted(file.name for file in folder.iterdir()) == before


def test_real_alpha_becomes_the_users_mask(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(3):
        alpha = Image.fromarray(np.uint8(np.hypot(*np.mgrid[-36:36, -48:48]) < 20 + k) * 255)
        cut_out = picture(k)
        cut_out.putalpha(alpha)
        cut_out.save(folder / f"{k}.png")
    photos = gather(folder, tmp_path / "work").photos
    masks = [decode_photo(photo.mask_path, ImageLimits(min_side_px=1)).image_srgb[..., 0] for photo in photos]
    assert [int((mask > 127).sum()) for mask in masks] == sorted(int((mask > 127).sum()) for mask in masks)
    assert masks[0][36, 48] == 255 and masks[0][0, 0] == 0


def test_too_few_photos_and_identical_photos_are_refused_with_their_reason(tmp_path):
    with pytest.raises(TooFewViews, match="2 usable") as few:
        gather(write(tmp_path / "two", ["1.jpg", "2.jpg"]), tmp_path / "w1")
    assert few.value.details["reason"] == "too_few_images"
    folder = tmp_path / "same"
    folder.mkdir()
    buffer = io.BytesIO()
    picture(1).save(buffer, "jpeg")
    for k in range(5):
        (folder / f"{k}.jpg").write_bytes(buffer.getvalue())
    with pytest.raises(TooFewViews) as same:
        gather(folder, tmp_path / "w2")
    assert same.value.details["reason"] == "duplicate_images"


def test_too_many_photos_and_no_folder_are_refused(tmp_path):
    folder = write(tmp_path / "in", [f"{k}.jpg" for k in range(4)])
    with pytest.raises(InputError, match="4 photos; the limit is 3"):
        gather(folder, tmp_path / "w", ImageLimits(max_views=3))
    with pytest.raises(InputError, match="not a folder"):
        gather(tmp_path / "nowhere", tmp_path / "w")
    assert has_plain_photos(folder) and not has_plain_photos(tmp_path / "nowhere")
