"""Reads one picture file: any supported format in, upright 8-bit sRGB and alpha out, or an error that names
it.

The order is the defence: bytes are counted, the format is told by content and from a short list, the size is
taken from the header and damage is looked for, all before a decoder runs. No decoder gets EXIF, comments or
trailing data of a JPEG to see.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import (
    AvifImagePlugin,  # noqa: F401 - registers its format; so do the others
    BmpImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from objectscan.capture.codecs.exif import ExifFacts, facts_of, read_exif
from objectscan.capture.codecs.jpeg import JpegStream, read_jpeg
from objectscan.capture.codecs.png import BrokenPicture, check_png, png_size, webp_size
from objectscan.capture.codecs.sniff import PictureFormat, describe, picture_format
from objectscan.capture.colour import to_srgb
from objectscan.capture.limits import DEFAULT_LIMITS, ImageLimits
from objectscan.capture.notes import photo_finding
from objectscan.errors import (
    ImageTooLarge,
    ImageTooSmall,
    MissingDependency,
    ObjectscanError,
    UnreadableImage,
)
from objectscan.types import Finding

SUPPORTED = "JPEG, PNG, WebP, TIFF, BMP, AVIF or HEIC"
_SAFE_LIBHEIF = (1, 23, 4)
"""First libheif without the remote code execution published in August 2026."""
_DNG_VERSION = 50706

Reason = Literal["unsupported_type", "corrupt_image", "animated", "empty_file", "missing"]


@dataclass(frozen=True, slots=True)
class Photo:
    """One decoded picture."""

    name: str
    image_srgb: UInt8[np.ndarray, "H W 3"]
    alpha: UInt8[np.ndarray, "H W"] | None
    """Straight, 255 = opaque; None if the file has none."""
    exif: ExifFacts
    """`exif.orientation` has been applied to the pixels."""
    findings: tuple[Finding, ...] = ()
    full_size: tuple[int, int] | None = None
    """(width, height) upright of the picture in the file, if `image_srgb` was decoded at a fraction of it."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, upright."""
        return self.image_srgb.shape[1], self.image_srgb.shape[0]


def decode_photo(
    path: Path,
    limits: ImageLimits = DEFAULT_LIMITS,
    *,
    name: str | None = None,
    least_edge_px: int | None = None,
) -> Photo:
    """Read one picture file.

    Args:
        path: The file; its name says nothing about its format.
        limits: On bytes, pixels and sides.
        name: What messages call the picture; by default its file name.
        least_edge_px: A JPEG may be decoded at a half, a quarter or an eighth if its longer side keeps so
            many pixels (12 megapixels at a quarter: 0.03 s instead of 0.16). By default it is decoded whole.

    Raises:
        UnreadableImage: Not a supported picture, broken, or animated; `details["reason"]` says which.
        ImageTooLarge: Over the byte or pixel limit.
        ImageTooSmall: Too few pixels, or an extreme strip.
        MissingDependency: A HEIC file and no safe libheif.
    """
    name = name or path.name
    data = _read_bytes(path, name, limits)
    kind = picture_format(data)
    if kind is None:
        raise _unsupported(data, name)
    try:
        return _decode(data, kind, name, limits, least_edge_px)
    except BrokenPicture as error:
        raise _corrupt(name, str(error)) from error
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"{name} is too large: {error}", details={"photo": name}) from error


def as_stored(photo: Photo) -> Photo:
    """The photo as its pixels lie in the file, for cameras that were solved without looking at EXIF."""
    undo = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[photo.exif.orientation]
    alpha = None if photo.alpha is None else _turned(photo.alpha, undo)
    return replace(
        photo,
        image_srgb=_turned(photo.image_srgb, undo),
        alpha=alpha,
        exif=replace(photo.exif, orientation=1),
    )


def _read_bytes(path: Path, name: str, limits: ImageLimits) -> bytes:
    if not path.is_file():
        raise UnreadableImage(f"{name} is not a file.", details={"reason": "missing", "photo": name})
    with path.open("rb") as file:
        data = file.read(limits.max_file_bytes + 1)
    if len(data) > limits.max_file_bytes:
        raise ImageTooLarge(
            f"{name} has more than {limits.max_file_bytes / 1e6:.0f} MB.",
            hint="Save it smaller, or raise the limit on bytes per photo.",
            details={"photo": name},
        )
    if not data:
        raise UnreadableImage(f"{name} is empty (0 bytes).", details={"reason": "empty_file", "photo": name})
    return data


def _unsupported(data: bytes, name: str) -> UnreadableImage:
    # One graphic control block comes before each frame (GIF89a, 23).
    animated = data.startswith(b"GIF8") and data.count(b"\x21\xf9\x04") > 1
    words = "an animation" if animated else describe(data)
    reason: Reason = "animated" if animated else "unsupported_type"
    message = f"{name} is not a supported picture: it is {words}."
    return UnreadableImage(
        message, hint=f"Give {SUPPORTED} files.", details={"reason": reason, "photo": name}
    )


def _corrupt(name: str, why: str) -> UnreadableImage:
    return UnreadableImage(
        f"{name} is damaged: {why}.",
        hint="Copy it from the camera again, or leave it out.",
        details={"reason": "corrupt_image", "photo": name},
    )


def _decode(
    data: bytes, kind: PictureFormat, name: str, limits: ImageLimits, least_edge_px: int | None
) -> Photo:
    stream = read_jpeg(data) if kind == "JPEG" else None
    size = _header_size(data, kind, stream)
    if size is not None:
        check_size(size, name, limits)
    if kind == "PNG" and check_png(data).animated:
        raise _animated(name)
    if stream is not None:
        from objectscan.capture.codecs.jpeg_entropy import check_jpeg_data  # numba: only for JPEG files

        check_jpeg_data(data, stream)
        data = stream.picture
    picture, pages = _open(data, kind, name, limits)
    if pages > 1 and kind not in ("TIFF", "HEIF"):
        raise _animated(name)
    whole = picture.size
    try:
        if stream is not None and least_edge_px is not None:
            _draft(picture, least_edge_px)
        picture.load()
        exif = _exif(picture, stream)
        pixels = to_srgb(picture)
    except Exception as error:  # Decoders raise anything on hostile bytes.
        raise BrokenPicture(_reason(error)) from error
    alpha = None if pixels.alpha is None else _turned(pixels.alpha, exif.orientation)
    findings = _findings(name, pixels.has_colour, pixels.profile_problem, pages)
    full_size = None if picture.size == whole else _upright(whole, exif.orientation)
    return Photo(name, _turned(pixels.image_srgb, exif.orientation), alpha, exif, findings, full_size)


def _upright(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation >= 5 else size


def _draft(picture: Image.Image, least_edge_px: int) -> None:
    """Have a JPEG decoded at the smallest scale whose longer side has `least_edge_px`."""
    longer = max(picture.size)
    if longer >= 2 * least_edge_px:
        wanted = (picture.width * least_edge_px // longer, picture.height * least_edge_px // longer)
        picture.draft("", (max(1, wanted[0]), max(1, wanted[1])))


def _header_size(data: bytes, kind: PictureFormat, stream: JpegStream | None) -> tuple[int, int] | None:
    if stream is not None:
        return stream.size
    if kind == "PNG":
        return png_size(data)
    return webp_size(data) if kind == "WEBP" else None


def check_size(size: tuple[int, int], name: str, limits: ImageLimits) -> None:
    """Raise `ImageTooLarge` or `ImageTooSmall` if a (width, height) is outside the limits."""
    width, height = size
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"{name} has {width} x {height} = {width * height / 1e6:.0f} million pixels; the limit is "
            f"{limits.max_pixels / 1e6:.0f} million.",
            hint="Save it smaller, or raise the limit on pixels per photo.",
            details={"photo": name, "size": [width, height]},
        )
    short, long = min(size), max(size)
    if short < limits.min_side_px:
        words = f"the shorter side must have at least {limits.min_side_px} pixels"
    elif long > limits.max_aspect * short:
        words = f"one side is more than {limits.max_aspect:g} times the other"
    else:
        return
    raise ImageTooSmall(
        f"{name} has {width} x {height} pixels: {words}.",
        hint="Give the photo as the camera took it.",
        details={"photo": name, "size": [width, height]},
    )


def _animated(name: str) -> UnreadableImage:
    return UnreadableImage(
        f"{name} is an animation, not a photo.",
        hint="Save the one picture that you want.",
        details={"reason": "animated", "photo": name},
    )


def _open(data: bytes, kind: PictureFormat, name: str, limits: ImageLimits) -> tuple[Image.Image, int]:
    """The picture, its size checked, and how many pages or frames the file has."""
    try:
        if kind == "HEIF":
            return _open_heif(data, name, limits)
        picture = Image.open(io.BytesIO(data), formats=[kind])
        check_size(picture.size, name, limits)
        if isinstance(picture, TiffImagePlugin.TiffImageFile) and _DNG_VERSION in picture.tag_v2:
            raise UnreadableImage(
                f"{name} is a RAW file (DNG).",
                hint=f"Develop it to {SUPPORTED}.",
                details={"reason": "unsupported_type", "photo": name},
            )
        return picture, int(getattr(picture, "n_frames", 1))
    except (ObjectscanError, Image.DecompressionBombError):
        raise
    except UnidentifiedImageError as error:
        raise BrokenPicture("it is cut off or its header is wrong") from error
    except Exception as error:  # Decoders raise anything on hostile bytes.
        raise BrokenPicture(_reason(error)) from error


def _open_heif(data: bytes, name: str, limits: ImageLimits) -> tuple[Image.Image, int]:
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingDependency("HEIC needs pillow-heif.", hint="Run: pip install pillow-heif") from error
    version = pillow_heif.libheif_version()
    if tuple(int(part) for part in version.split(".")[:3]) < _SAFE_LIBHEIF:
        raise MissingDependency(
            f"libheif {version} has a known security hole, so HEIC files are not opened.",
            hint="Run: pip install --upgrade pillow-heif",
        )
    container = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    check_size(container.size, name, limits)
    return container.to_pillow(), len(container)  # libheif has turned the picture; the EXIF copy says so.


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _exif(picture: Image.Image, stream: JpegStream | None) -> ExifFacts:
    if stream is not None:
        return read_exif(stream.exif)
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return facts_of({274: picture.tag_v2.get(274), 0x0132: picture.tag_v2.get(0x0132)})
    return read_exif(picture.info.get("exif"))


def _findings(name: str, has_colour: bool, profile_problem: str, pages: int) -> tuple[Finding, ...]:
    found = []
    if not has_colour:
        found.append(
            photo_finding("grayscale", "warning", name, "has no colour, so the model will have none there.")
        )
    if profile_problem:
        text = f"has a colour profile that can't be used ({profile_problem}); its colours are taken as sRGB."
        found.append(photo_finding("profile_ignored", "warning", name, text))
    if pages > 1:
        found.append(
            photo_finding("multi_frame", "warning", name, f"holds {pages} pictures; only the first is used.")
        )
    return tuple(found)


def _turned(pixels: UInt8[np.ndarray, ...], orientation: int) -> UInt8[np.ndarray, ...]:
    """Pixels turned by an Exif orientation (Exif 2.32, 4.6.4 A)."""
    if orientation in (2, 3, 4):
        pixels = {2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1]}[orientation]
    elif orientation >= 5:
        flipped = np.swapaxes(pixels, 0, 1)
        pixels = {5: flipped, 6: flipped[:, ::-1], 7: flipped[::-1, ::-1], 8: flipped[::-1]}[orientation]
    return np.ascontiguousarray(pixels)
