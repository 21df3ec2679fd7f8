"""The markers of a JPEG: its size, its EXIF block, and a copy that holds nothing but the picture.

Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64, UInt16

from objectscan.capture.codecs.png import BrokenPicture

_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_SOS, _EOI, _DHT, _DQT, _DRI, _APP1, _APP2, _COMMENT = 0xDA, 0xD9, 0xC4, 0xDB, 0xDD, 0xE1, 0xE2, 0xFE
_STRAY_BYTES = 64
_MAX_SCANS = 200
"""Encoders write about 10; each of many near-empty ones would cost a walk over the whole picture."""
_MAX_COLOURS = 4


@dataclass(frozen=True, slots=True)
class JpegScan:
    """One scan and the tables that hold for it."""

    components: tuple[tuple[int, int, int], ...]
    """(index into `JpegStream.components`, DC table, AC table)."""
    spectral: tuple[int, int]
    """First and last coefficient, zig-zag order."""
    approximation: tuple[int, int]
    """(high, low) bit position; (0, 0) in sequential files."""
    data: tuple[int, int]
    """First and last + 1 byte of the entropy-coded data."""
    restart_interval: int
    huffman: dict[int, tuple[bytes, bytes]]
    """Code counts and symbols by 4 x class + table number."""


@dataclass(slots=True)
class JpegStream:
    """What the markers of one JPEG say."""

    size: tuple[int, int] = (0, 0)
    frame: int = 0
    """Start-of-frame marker: 0xC0 and 0xC1 sequential, 0xC2 progressive Huffman."""
    precision_bits: int = 8
    components: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(identifier, horizontal, vertical sampling, quantisation table)."""
    dc_quantisation: dict[int, int] = field(default_factory=dict)
    scans: list[JpegScan] = field(default_factory=list)
    exif: bytes | None = None
    picture: bytes = b""
    """The file without EXIF, XMP, comments, further pictures and whatever follows the end marker."""


def read_jpeg(data: bytes) -> JpegStream:
    """Walk the markers of a JPEG.

    Raises:
        BrokenPicture: A marker is cut off or stands where none may be.
    """
    stream, kept, at = JpegStream(), [b"\xff\xd8"], 2
    tables: dict[int, tuple[bytes, bytes]] = {}
    restart_interval = 0
    markers = _marker_positions(data)
    while True:
        marker, at = _next_marker(data, at)
        if marker == _EOI:
            break
        body, end = _segment(data, at)
        if marker in _FRAMES:
            _read_frame(stream, marker, body)
        elif marker == _DHT:
            tables = {**tables, **_huffman_tables(body)}
        elif marker == _DQT:
            stream.dc_quantisation.update(_first_quantisers(body))
        elif marker == _DRI:
            restart_interval = int.from_bytes(body[:2], "big")
        if marker == _APP1 and body.startswith(b"Exif\x00\x00") and stream.exif is None:
            stream.exif = body
        if marker == _SOS:
            if len(stream.scans) == _MAX_SCANS:
                raise BrokenPicture(f"it has more than {_MAX_SCANS} scans")
            after = int(np.searchsorted(markers, end))
            data_end = int(markers[after]) if after < len(markers) else len(data)
            stream.scans.append(_read_scan(stream, body, (end, data_end), restart_interval, tables))
            kept.append(data[at - 2 : data_end])
            at = data_end
            if at >= len(data):  # Without an end marker: the entropy check says whether the picture is whole.
                break
            continue
        if _is_picture(marker, body):
            kept.append(data[at - 2 : end])
        at = end
    if not stream.scans:
        raise BrokenPicture("it has a header but no picture")
    stream.picture = b"".join([*kept, b"\xff\xd9"])
    return stream


def _is_picture(marker: int, body: bytes) -> bool:
    """Whether a decoder needs this segment: tables, frames, JFIF, Adobe and the colour profile, no more."""
    if 0xE0 <= marker <= 0xEF:
        return marker in (0xE0, 0xEE) or (marker == _APP2 and body.startswith(b"ICC_PROFILE\x00"))
    return marker != _COMMENT


def _marker_positions(data: bytes) -> Int64[np.ndarray, " M"]:
    codes = np.frombuffer(data, np.uint8)
    first, second = codes[:-1], codes[1:]
    found = (first == 0xFF) & (second != 0) & (second != 0xFF) & ~((second >= 0xD0) & (second <= 0xD7))
    return np.flatnonzero(found).astype(np.int64)


def _next_marker(data: bytes, at: int) -> tuple[int, int]:
    if at + 2 > len(data):
        raise BrokenPicture("it is cut off")
    if data[at] != 0xFF:  # Decoders step over a few stray bytes, and so do we.
        stray = data.find(b"\xff", at, at + _STRAY_BYTES)
        if stray < 0:
            raise BrokenPicture(f"there is no marker at byte {at}")
        at = stray
    while at < len(data) and data[at] == 0xFF:  # Fill bytes, B.1.1.2.
        at += 1
    if at >= len(data):
        raise BrokenPicture("it is cut off")
    return data[at], at + 1


def _segment(data: bytes, at: int) -> tuple[bytes, int]:
    length = int.from_bytes(data[at : at + 2], "big")
    if length < 2 or at + length > len(data):
        raise BrokenPicture("it is cut off in its header")
    return data[at + 2 : at + length], at + length


def _read_frame(stream: JpegStream, marker: int, body: bytes) -> None:
    if stream.components or len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise BrokenPicture("its frame header is damaged")
    precision, height, width, count = struct.unpack_from(">BHHB", body)
    parts = [body[6 + 3 * k : 9 + 3 * k] for k in range(count)]
    components = [(part[0], part[1] >> 4, part[1] & 15, part[2]) for part in parts]
    if (
        count > _MAX_COLOURS
        or not width
        or not height
        or any(not 1 <= sampling <= 4 for part in components for sampling in part[1:3])
    ):
        raise BrokenPicture("its frame header is damaged")
    stream.size, stream.frame, stream.precision_bits = (width, height), marker, precision
    stream.components = components


def _read_scan(
    stream: JpegStream,
    body: bytes,
    data: tuple[int, int],
    restart_interval: int,
    tables: dict[int, tuple[bytes, bytes]],
) -> JpegScan:
    count = body[0] if body else 0
    identifiers = [component[0] for component in stream.components]
    if not 1 <= count <= 4 or len(body) < 4 + 2 * count:
        raise BrokenPicture("a scan header is damaged")
    chosen = [body[1 + 2 * k : 3 + 2 * k] for k in range(count)]
    if any(part[0] not in identifiers for part in chosen):
        raise BrokenPicture("a scan names a colour that the frame does not have")
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    if first > last or last > 63:
        raise BrokenPicture("a scan header is damaged")
    components = tuple((identifiers.index(part[0]), part[1] >> 4, part[1] & 15) for part in chosen)
    return JpegScan(components, (first, last), (bits >> 4, bits & 15), data, restart_interval, tables)


def _huffman_tables(body: bytes) -> dict[int, tuple[bytes, bytes]]:
    tables, at = {}, 0
    while at + 17 <= len(body):
        counts = body[at + 1 : at + 17]
        symbols = body[at + 17 : at + 17 + sum(counts)]
        if len(symbols) < sum(counts):
            raise BrokenPicture("a code table is damaged")
        tables[4 * (body[at] >> 4 & 1) + (body[at] & 3)] = (counts, symbols)
        at += 17 + sum(counts)
    return tables


def _first_quantisers(body: bytes) -> dict[int, int]:
    found, at = {}, 0
    while at + 65 <= len(body):
        wide = body[at] >> 4
        found[body[at] & 15] = int.from_bytes(body[at + 1 : at + 2 + (wide > 0)], "big")
        at += 1 + 64 * (1 + (wide > 0))
    return found


def code_lookup(counts: bytes, symbols: bytes) -> UInt16[np.ndarray, " 65536"]:
    """Canonical Huffman codes as a table over the next 16 bits: length x 256 + symbol, 0 where no code fits.

    Raises:
        BrokenPicture: The code lengths promise more codes than there are.
    """
    lookup = np.zeros(1 << 16, np.uint16)
    code, used = 0, 0
    for length, count in enumerate(counts, start=1):
        for symbol in symbols[used : used + count]:
            start = code << (16 - length)
            if start >= 1 << 16:
                raise BrokenPicture("a code table is damaged")
            lookup[start : start + (1 << (16 - length))] = length << 8 | symbol
            code += 1
        used += count
        code <<= 1
    return lookup
