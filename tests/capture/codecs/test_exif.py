"""EXIF facts: the few that are needed, nothing of the rest, and no trouble with broken blocks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from objectscan.capture.codecs.exif import ExifFacts, read_exif


def block(**facts: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = facts.get("orientation", 6)
    exif[0x0132] = "2026:01:02 03:04:05"
    exif.get_ifd(0x8769)[0xA405] = 28
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 29.0), 3: "E", 4: (2.0, 17.0, 40.0)}
    return exif.tobytes()


def test_orientation_focal_length_and_date_are_read() -> None:
    assert read_exif(block()) == ExifFacts(6, 28.0, "2026:01:02 03:04:05")


def test_an_invalid_orientation_counts_as_upright() -> None:
    assert read_exif(block(orientation=99)).orientation == 1


@pytest.mark.parametrize(
    "data", [b"", None, b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(range(64))]
)
def test_broken_blocks_say_nothing(data: bytes | None) -> None:
    assert read_exif(data) == ExifFacts()


def test_random_bytes_never_raise() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        broken = bytearray(block())
        for at in rng.integers(6, len(broken), 8):
            broken[at] = rng.integers(256)
        assert 1 <= read_exif(bytes(broken)).orientation <= 8
