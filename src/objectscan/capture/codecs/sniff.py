"""Which picture format a file holds, told by its first bytes and never by its name."""

from __future__ import annotations

from typing import Literal

PictureFormat = Literal["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"]

_MAGIC: tuple[tuple[bytes, PictureFormat], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"BM", "BMP"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript program"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript program"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"FUJIFILM", "a RAW file"),
    (b"IIU\x00", "a RAW file"),
    (b"\x1aE\xdf\xa3", "a video"),
)


def picture_format(data: bytes) -> PictureFormat | None:
    """The supported format that `data` starts like, or None."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIF"
    return None


def describe(data: bytes) -> str:
    """What an unsupported file seems to be, in words: 'a PDF document'."""
    for magic, words in _REFUSED:
        if data.startswith(magic):
            return words
    if data[4:8] == b"ftyp":
        return "a video"
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<script")):
        return "an HTML page"
    if b"<svg" in start:
        return "an SVG drawing"
    if start.startswith(b"<"):
        return "an XML document"
    if data and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in data[:512]):
        return "plain text"
    return "not a known picture format"


def _brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO base media file (ISO/IEC 14496-12, 4.3), at most 32."""
    if data[4:8] != b"ftyp":
        return set()
    box_bytes = min(int.from_bytes(data[:4], "big"), 16 + 4 * 32, len(data))
    return {data[8:12]} | {data[at : at + 4] for at in range(16, box_bytes - 3, 4)}
