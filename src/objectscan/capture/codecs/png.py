"""PNG and WebP headers and checksums, read without a decoder."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

_MAX_TEXT_BYTES = 1_000_000


class BrokenPicture(Exception):
    """The bytes are damaged or cut off; the text says how."""


@dataclass(frozen=True, slots=True)
class PngFacts:
    """Header facts of a PNG."""

    size: tuple[int, int]
    animated: bool


def check_png(data: bytes) -> PngFacts:
    """Walk the chunks and check each checksum (PNG 1.2, section 3.2).

    Pillow stops at the last pixel and so misses damage that zlib happens to accept.

    Raises:
        BrokenPicture: A chunk is cut off or its checksum is wrong.
    """
    at, size, animated, ended = 8, None, False, False
    while at + 8 <= len(data) and not ended:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise BrokenPicture("it is cut off")
        if kind == b"IHDR" and length >= 8:
            size = struct.unpack_from(">II", data, at + 8)
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise BrokenPicture(f"the checksum of its {kind.decode('latin-1')!r} block is wrong")
        animated |= kind == b"acTL"
        if kind == b"zTXt" and _unpacks_too_far(data[at + 8 : end - 4]):
            raise BrokenPicture(f"a text in it unpacks to more than {_MAX_TEXT_BYTES // 1_000_000} MB")
        ended = kind == b"IEND"
        at = end
    if size is None or not ended:
        raise BrokenPicture("it is cut off")
    return PngFacts(size, animated)


def _unpacks_too_far(block: bytes) -> bool:
    """Whether a compressed text (keyword, 0, method, data; PNG 1.2, section 4.2.3.2) is a bomb."""
    packed = block.partition(b"\x00")[2][1:]
    try:
        return len(zlib.decompressobj().decompress(packed, _MAX_TEXT_BYTES + 1)) > _MAX_TEXT_BYTES
    except zlib.error:
        return False


def png_size(data: bytes) -> tuple[int, int]:
    """(width, height) from the header alone.

    Raises:
        BrokenPicture: The file is shorter than its header.
    """
    if len(data) < 24:
        raise BrokenPicture("it is cut off in its header")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def webp_size(data: bytes) -> tuple[int, int]:
    """(width, height) of the canvas (RFC 9649, sections 2.5 to 2.7), before a decoder allocates it.

    Raises:
        BrokenPicture: The header is cut off or unknown.
    """
    if len(data) < 30:
        raise BrokenPicture("it is cut off in its header")
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    raise BrokenPicture("its first block is not a picture")
