"""The check of JPEG data accepts what encoders write and finds what decoders hide."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from objectscan.capture.codecs.jpeg import read_jpeg
from objectscan.capture.codecs.jpeg_entropy import check_jpeg_data
from objectscan.capture.codecs.png import BrokenPicture


def picture(mode: str, size: tuple[int, int] = (203, 151)) -> Image.Image:
    noise = np.random.default_rng(3).integers(0, 256, (20, 26, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def check(data: bytes) -> None:
    check_jpeg_data(data, read_jpeg(data))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_whole_files_of_every_kind_pass(mode: str, progressive: bool, subsampling: int) -> None:
    for quality in (5, 75, 100):
        for restart in (0, 5):
            options = {"restart_marker_blocks": restart} if restart else {}
            check(encoded(mode, quality=quality, progressive=progressive, subsampling=subsampling, **options))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_shortened_file_with_a_new_end_marker_is_found_although_decoders_show_it(progressive: bool) -> None:
    data = encoded(quality=90, progressive=progressive)
    cut = data[: len(data) * 2 // 3] + b"\xff\xd9"
    Image.open(io.BytesIO(cut)).load()  # Pillow says nothing: that is why the check exists.
    with pytest.raises(BrokenPicture):
        check(cut)


def test_a_progressive_file_that_ends_between_two_scans_is_incomplete() -> None:
    data = encoded(quality=90, progressive=True)
    last_scan = read_jpeg(data).scans[-1].data[0]
    scan_header = data.rfind(b"\xff\xda", 0, last_scan)
    with pytest.raises(BrokenPicture, match="ends before"):
        check(data[:scan_header] + b"\xff\xd9")


@pytest.mark.parametrize("progressive", [False, True])
def test_sixty_changed_bytes_are_nearly_always_found(progressive: bool) -> None:
    rng = np.random.default_rng(7)
    data = encoded(quality=90, progressive=progressive)
    found = 0
    for _ in range(20):
        broken = bytearray(data)
        for at in rng.integers(len(data) // 2, len(data) - 2, 60):
            broken[at] = rng.integers(256)
        try:
            check(bytes(broken))
        except BrokenPicture:
            found += 1
    assert found >= 19


def test_a_lost_restart_marker_is_found() -> None:
    data = encoded(quality=90, restart_marker_blocks=4)
    at = data.index(b"\xff\xd1")
    with pytest.raises(BrokenPicture):
        check(data[:at] + data[at + 2 :])


def test_the_picture_kept_for_the_decoder_has_no_exif_no_comment_and_the_same_pixels() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = (
        encoded(quality=90, exif=exif.tobytes(), comment=b"<script>secret</script>") + b"PK\x03\x04 trailing"
    )
    stream = read_jpeg(data)
    assert stream.exif is not None
    assert stream.exif.startswith(b"Exif")
    assert b"secret" not in stream.picture
    assert b"Exif" not in stream.picture
    assert b"trailing" not in stream.picture
    kept, full = (np.asarray(Image.open(io.BytesIO(source))) for source in (stream.picture, data))
    assert np.array_equal(kept, full)


def test_a_file_of_endless_scans_is_refused_before_it_costs_time() -> None:
    data = encoded(quality=90, progressive=True)
    scan = read_jpeg(data).scans[-1]
    start = data.rfind(b"\xff\xda", 0, scan.data[0])
    with pytest.raises(BrokenPicture, match="scans"):
        read_jpeg(data[:-2] + data[start : scan.data[1]] * 300 + b"\xff\xd9")


def test_stray_bytes_between_segments_are_stepped_over() -> None:
    data = encoded(quality=90)  # The first segment (JFIF) ends at byte 20.
    check(data[:20] + b"  " + data[20:])
    with pytest.raises(BrokenPicture, match="no marker"):
        check(data[:20] + b" " * 200 + data[20:])
