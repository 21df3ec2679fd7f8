"""Formats are told by content."""

from __future__ import annotations

import pytest

from objectscan.capture.codecs.sniff import describe, picture_format


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"RIFF\x10\0\0\0WEBPVP8L", "WEBP"),
        (b"MM\0*", "TIFF"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", None),
        (b"", None),
        (b"RIFF\x10\0\0\0AVI ", None),
    ],
)
def test_formats_by_their_first_bytes(start: bytes, expected: str | None) -> None:
    assert picture_format(start) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%PDF-1.4", "a PDF document"),
        (b"%!PS-Adobe", "a PostScript program"),
        (b"\x7fELF", "a program"),
        (b"<?xml version='1.0'?><svg/>", "an SVG drawing"),
        (b"<!DOCTYPE html>", "an HTML page"),
        (b"hello\n", "plain text"),
        (b"\0\0\0\x18ftypisom", "a video"),
        (b"\x01\x02\x03", "not a known picture format"),
    ],
)
def test_refused_files_are_described_in_words(data: bytes, words: str) -> None:
    assert describe(data) == words
