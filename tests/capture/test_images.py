"""Reading single pictures: all formats come out the same, and everything else is refused with its name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from capture_samples import ball, jpeg, png, smooth
from PIL import Image, ImageCms

from objectscan.capture.images import as_stored, decode_photo
from objectscan.capture.limits import ImageLimits
from objectscan.errors import ImageTooLarge, ImageTooSmall, InputError, UnreadableImage


def written(folder: Path, data: bytes, name: str = "photo.jpg") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def encoded(kind: str, pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def codes(path: Path) -> list[str]:
    return [finding.code for finding in decode_photo(path).findings]


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (jpeg(smooth()), 4),
        (jpeg(smooth(), progressive=True), 4),
        (png(smooth()), 0),
        (encoded("WEBP", smooth(), lossless=True), 0),
        (encoded("WEBP", smooth(), quality=95), 8),
        (encoded("TIFF", smooth(), compression="tiff_lzw"), 0),
        (encoded("BMP", smooth()), 0),
        (encoded("AVIF", smooth(), quality=95), 8),
    ],
    ids=["jpeg", "progressive", "png", "webp-lossless", "webp", "tiff", "bmp", "avif"],
)
def test_every_format_gives_the_same_picture_whatever_its_name(
    tmp_path: Path, data: bytes, tolerance: int
) -> None:
    photo = decode_photo(written(tmp_path, data, "wrong_name.dat"))
    assert photo.alpha is None
    assert photo.findings == ()
    assert np.abs(photo.image_srgb.astype(int) - smooth()).max() <= tolerance


def test_heic_is_read_upright_once(tmp_path: Path) -> None:
    upright = smooth((160, 120))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(
        np.rot90(upright, 1)
    )  # Orientation 6: a quarter turn clockwise makes it upright.
    file = pillow_heif.from_pillow(Image.fromarray(stored))
    file.save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    photo = decode_photo(tmp_path / "a.heic")
    assert photo.size == (160, 120)
    assert np.abs(photo.image_srgb.astype(int) - upright).mean() < 4


def test_a_heic_with_several_pictures_gives_one_and_says_so(tmp_path: Path) -> None:
    file = pillow_heif.from_pillow(Image.fromarray(smooth()))
    file.add_from_pillow(Image.fromarray(255 - smooth()))
    file.save(tmp_path / "a.heic", quality=95)
    photo = decode_photo(tmp_path / "a.heic")
    assert np.abs(photo.image_srgb.astype(int) - smooth()).mean() < 4
    assert [finding.code for finding in photo.findings] == ["multi_frame"]


def test_cmyk_colours_are_not_inverted(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(smooth()).convert("CMYK").save(buffer, "JPEG", quality=95)
    photo = decode_photo(written(tmp_path, buffer.getvalue()))
    assert np.abs(photo.image_srgb.astype(int) - smooth()).mean() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_can_be_undone(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = png(smooth(), exif=exif.tobytes())
    oracle = Image.open(io.BytesIO(data))
    from PIL import ImageOps

    photo = decode_photo(written(tmp_path, data, "a.png"))
    assert np.array_equal(photo.image_srgb, np.asarray(ImageOps.exif_transpose(oracle)))
    assert np.array_equal(as_stored(photo).image_srgb, smooth())


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 160 * 120).astype(np.uint16).reshape(120, 160)
    photo = decode_photo(written(tmp_path, png(ramp), "grey16.png"))
    assert np.array_equal(photo.image_srgb[..., 0], np.round(ramp / 257).astype(np.uint8))
    rows = ramp.astype(">u2")
    colour = b"".join(b"\0" + np.repeat(row[:, None], 3, axis=1).tobytes() for row in rows)
    photo = decode_photo(written(tmp_path, raw_png(160, 120, 16, 2, colour), "rgb16.png"))
    assert np.abs(photo.image_srgb[..., 1].astype(int) - np.round(ramp / 257)).max() <= 1


def test_a_transparent_palette_index_is_alpha_not_magenta(tmp_path: Path) -> None:
    indices = np.zeros((80, 90), np.uint8)
    indices[20:60, 30:70] = 1
    picture = Image.fromarray(indices, "L").convert("P")
    picture.putpalette([255, 0, 255, 10, 200, 30])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=0)
    photo = decode_photo(written(tmp_path, buffer.getvalue(), "a.png"))
    assert photo.alpha is not None
    assert np.array_equal(photo.alpha > 0, indices > 0)
    assert photo.image_srgb[30, 40].tolist() == [10, 200, 30]


def test_alpha_is_kept_straight(tmp_path: Path) -> None:
    photo = decode_photo(written(tmp_path, png(ball()), "a.png"))
    assert photo.alpha is not None
    assert np.array_equal(np.dstack([photo.image_srgb, photo.alpha]), ball())


def test_a_picture_without_colour_is_reported(tmp_path: Path) -> None:
    grey = smooth()[..., 0]
    assert codes(written(tmp_path, png(grey), "a.png")) == ["grayscale"]
    assert codes(written(tmp_path, jpeg(grey), "b.jpg")) == ["grayscale"]


def test_display_p3_is_converted_to_srgb(tmp_path: Path) -> None:
    profile = display_p3_profile()
    pixels = np.full((80, 80, 3), (200, 100, 50), np.uint8)
    photo = decode_photo(written(tmp_path, png(pixels, icc_profile=profile), "p3.png"))
    expected = srgb_from_p3(np.array([200, 100, 50]) / 255)
    assert np.abs(photo.image_srgb[40, 40] / 255 - expected).max() < 2.5 / 255
    assert np.abs(photo.image_srgb[40, 40].astype(int) - [200, 100, 50]).max() > 5


def test_an_srgb_profile_changes_nothing_and_a_broken_one_is_reported(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = decode_photo(written(tmp_path, png(smooth(), icc_profile=srgb), "a.png"))
    assert np.array_equal(photo.image_srgb, smooth())
    path = written(tmp_path, png(smooth(), icc_profile=b"no profile at all"), "b.png")
    assert codes(path) == ["profile_ignored"]
    assert np.array_equal(decode_photo(path).image_srgb, smooth())


def test_the_position_in_exif_is_nowhere_in_the_result(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 29.0)}
    exif[0x0132] = "2026:01:02 03:04:05"
    photo = decode_photo(written(tmp_path, jpeg(smooth(), exif=exif.tobytes())))
    assert photo.exif.taken == "2026:01:02 03:04:05"
    assert "48" not in repr(photo.exif).replace("2026:01:02", "")


def test_a_tiff_with_pages_gives_its_first_page_and_says_so(tmp_path: Path) -> None:
    other = Image.fromarray(255 - smooth())
    data = encoded("TIFF", smooth(), save_all=True, append_images=[other])
    photo = decode_photo(written(tmp_path, data, "a.tif"))
    assert np.array_equal(photo.image_srgb, smooth())
    assert [finding.code for finding in photo.findings] == ["multi_frame"]


def animation(kind: str) -> bytes:
    frames = [Image.fromarray(np.roll(smooth(), 20 * k, axis=1)) for k in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=80)
    return buffer.getvalue()


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


BROKEN = {
    "animated_gif": (animation("GIF"), UnreadableImage, "animated"),
    "animated_webp": (animation("WEBP"), UnreadableImage, "animated"),
    "animated_png": (animation("PNG"), UnreadableImage, "animated"),
    "animated_avif": (animation("AVIF"), UnreadableImage, "animated"),
    "half_jpeg": (half(jpeg(smooth())), UnreadableImage, "corrupt_image"),
    "headless_jpeg": (jpeg(smooth())[:150], UnreadableImage, "corrupt_image"),
    "half_jpeg_with_end": (half(jpeg(ball()[..., :3])) + b"\xff\xd9", UnreadableImage, "corrupt_image"),
    "half_png": (half(png(smooth())), UnreadableImage, "corrupt_image"),
    "half_webp": (half(encoded("WEBP", ball()[..., :3])), UnreadableImage, "corrupt_image"),
    "half_avif": (half(encoded("AVIF", ball()[..., :3])), UnreadableImage, "corrupt_image"),
    "half_tiff": (half(encoded("TIFF", smooth(), compression="tiff_lzw")), UnreadableImage, "corrupt_image"),
    "half_bmp": (half(encoded("BMP", smooth())), UnreadableImage, "corrupt_image"),
    "empty": (b"", UnreadableImage, "empty_file"),
    "text": (b"this is not a picture\n" * 20, UnreadableImage, "unsupported_type"),
    "html": (b"<!doctype html><script>alert(1)</script>", UnreadableImage, "unsupported_type"),
    "pdf": (b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj", UnreadableImage, "unsupported_type"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="640"/>', UnreadableImage, "unsupported_type"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", UnreadableImage, "unsupported_type"),
    "elf": (b"\x7fELF\x02\x01\x01" + bytes(57), UnreadableImage, "unsupported_type"),
    "one_pixel": (png(smooth((1, 1))), ImageTooSmall, None),
    "strip": (png(smooth((2000, 70))), ImageTooSmall, None),
}


@pytest.mark.parametrize("case", BROKEN)
def test_unusable_files_are_refused_by_name(tmp_path: Path, case: str) -> None:
    data, kind, reason = BROKEN[case]
    with pytest.raises(kind, match=r"holiday\.jpg") as caught:
        decode_photo(written(tmp_path, data, "holiday.jpg"))
    assert caught.value.details.get("reason") == reason
    assert caught.value.exit_code == 2


def raw_png(width: int, height: int, depth: int, kind: int, rows: bytes, extra: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(tag: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))


def test_a_wrong_checksum_is_found(tmp_path: Path) -> None:
    data = bytearray(png(smooth()))
    data[data.index(b"IDAT") + 4 + 300] ^= 0x10
    with pytest.raises(UnreadableImage, match="checksum"):
        decode_photo(written(tmp_path, bytes(data)))


def test_huge_sizes_are_refused_from_the_header(tmp_path: Path) -> None:
    png_bomb = raw_png(65000, 65000, 8, 6, bytes(64))
    jpeg_bomb = bytearray(jpeg(smooth()))
    at = jpeg_bomb.index(b"\xff\xc0")
    jpeg_bomb[at + 5 : at + 9] = struct.pack(">HH", 65000, 65000)
    webp_bomb = bytearray(encoded("WEBP", ball(), lossless=False, exif=b"Exif\0\0"))
    assert webp_bomb[12:16] == b"VP8X"
    webp_bomb[24:30] = (16000).to_bytes(3, "little") * 2
    bmp_bomb = bytearray(encoded("BMP", smooth()))
    bmp_bomb[18:26] = struct.pack("<ii", 60000, 60000)
    for data in (png_bomb, bytes(jpeg_bomb), bytes(webp_bomb), bytes(bmp_bomb)):
        with pytest.raises(ImageTooLarge, match=r"photo\.jpg"):
            decode_photo(written(tmp_path, data))


def test_a_text_that_unpacks_to_megabytes_is_refused(tmp_path: Path) -> None:
    extra = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"A" * 5_000_000))
    data = raw_png(80, 80, 8, 0, bytes(81 * 80), extra)
    with pytest.raises(UnreadableImage, match="unpacks"):
        decode_photo(written(tmp_path, data))


def test_limits_are_obeyed(tmp_path: Path) -> None:
    path = written(tmp_path, png(smooth()))
    with pytest.raises(ImageTooLarge, match="MB"):
        decode_photo(path, ImageLimits(max_file_bytes=100))
    with pytest.raises(ImageTooLarge, match="pixels"):
        decode_photo(path, ImageLimits(max_pixels=160 * 120 - 1))
    assert decode_photo(path, ImageLimits(max_pixels=160 * 120)).size == (160, 120)
    with pytest.raises(ImageTooSmall):
        decode_photo(path, ImageLimits(min_side_px=121))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP"])
def test_random_damage_gives_a_picture_or_an_input_error_and_nothing_else(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(11)
    good = encoded(kind, smooth())
    for _ in range(40):
        broken = bytearray(good)
        for at in rng.integers(0, len(good), 6):
            broken[at] = rng.integers(256)
        try:
            decode_photo(written(tmp_path, bytes(broken)))
        except InputError as error:
            assert "photo.jpg" in error.message


def display_p3_profile() -> bytes:
    """A matrix profile with the Display P3 primaries (D50-adapted) and the sRGB curve."""
    columns = {b"rXYZ": (0.51512, 0.2412, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189)}
    columns |= {b"bXYZ": (0.1571, 0.06657, 0.78407), b"wtpt": (0.9642, 1.0, 0.8249)}

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    tags = {name: b"XYZ \0\0\0\0" + b"".join(map(fixed, values)) for name, values in columns.items()}
    curve = b"para\0\0\0\0\0\3\0\0" + b"".join(
        map(fixed, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    )
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    text = b"Display P3\0"
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
    tags[b"cprt"] = b"text\0\0\0\0none\0"
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += padded
    size = offset + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += b"".join(map(fixed, (0.9642, 1.0, 0.8249))) + bytes(48)
    return header[:128] + struct.pack(">I", len(tags)) + table + body


def srgb_from_p3(encoded_p3: np.ndarray) -> np.ndarray:
    """By the published matrix between the two linear spaces (CSS Color 4, section 17)."""
    linear = np.where(encoded_p3 <= 0.04045, encoded_p3 / 12.92, ((encoded_p3 + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])
    linear = np.clip(matrix @ linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_may_be_decoded_at_a_fraction_and_says_its_full_size(tmp_path, orientation):
    y, x = np.mgrid[:1200, :1600]
    picture = np.stack([x / 1600 * 255, y / 1200 * 255, 0 * x + 90], -1).astype(np.uint8)
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "large.jpg", quality=95, exif=tags)
    whole = decode_photo(tmp_path / "large.jpg")
    small = decode_photo(tmp_path / "large.jpg", least_edge_px=400)
    assert whole.full_size is None and small.full_size == whole.size
    assert small.size == tuple(side // 4 for side in whole.size)
    means = cv2.resize(whole.image_srgb, small.size, interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(means - small.image_srgb).max() <= 6
    assert decode_photo(tmp_path / "large.jpg", least_edge_px=801).size == whole.size
