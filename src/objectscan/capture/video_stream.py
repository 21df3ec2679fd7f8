"""Opens a video file safely and gives its frames one by one, upright, with their times.

FFmpeg's libraries do the decoding, through PyAV. They would also open playlists, network addresses and
hundreds of odd formats: the container is told by content, from a short list, and nothing but the file itself
may be read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from objectscan.capture.limits import VideoLimits
from objectscan.errors import BadVideo, MissingDependency

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

SUPPORTED = "MP4, MOV, MKV, WebM, AVI or MPEG-TS"
_HEAD_BYTES = 400
_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_HD_ROWS = 720
"""From this height on a video that doesn't say so has the colours of BT.709, below those of BT.601."""
_CUT_SHORT = 0.9
"""Share of the stated duration below which a file counts as cut short."""


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What the file's packets say, before anything is decoded."""

    duration_s: float
    """From the first to the last frame, by their time stamps."""
    frames: int
    size: tuple[int, int]
    """(width, height) as stored, before rotation."""
    is_cut_short: bool
    """Whether the file states to be longer than it is."""


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """One decoded frame."""

    time_s: float
    """Since the first frame."""
    frame: VideoFrame

    def gray(self, max_edge_px: int) -> UInt8[np.ndarray, "H W"]:
        """Its brightness at a longer side of `max_edge_px` or less, as stored (not turned upright)."""
        scale = min(1.0, max_edge_px / max(self.frame.width, self.frame.height))
        width, height = (max(16, round(side * scale)) for side in (self.frame.width, self.frame.height))
        small = self.frame.reformat(width=width, height=height, format="gray", threads=1)
        return np.asarray(small.to_ndarray(), np.uint8)

    def upright_srgb(self) -> UInt8[np.ndarray, "H W 3"]:
        """Its pixels, turned as the file says a player must."""
        is_hd = self.frame.height >= _HD_ROWS
        source = self.frame.colorspace if self.frame.colorspace in (1, 5, 6, 9) else (1 if is_hd else 5)
        pixels = self.frame.reformat(format="rgb24", src_colorspace=source, threads=1).to_ndarray()
        # The stated angle is counter-clockwise, as numpy's quarter turns are.
        return np.ascontiguousarray(np.rot90(pixels, round(self.frame.rotation / 90) % 4), np.uint8)


def video_facts(path: Path, limits: VideoLimits) -> VideoFacts:
    """Read a video's time stamps; a few milliseconds for each megabyte, nothing is decoded.

    Raises:
        BadVideo: No video, without pictures, damaged beyond use, or over a limit.
        MissingDependency: PyAV is not installed.
    """
    _check_bytes(path, limits)
    with _opened(path, limits) as container:
        stream = container.streams.video[0]
        size = stream.codec_context.width, stream.codec_context.height
        _check_size(path, size, limits)
        stated_s = 0.0 if container.duration is None else container.duration / 1e6
        times_s = []
        for packet in _packets(container):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None and packet.size:
                times_s.append(float(stamp * packet.time_base))
            if len(times_s) > limits.max_frames:
                raise _over(path, f"more than {limits.max_frames} frames", "frames")
    if not times_s:
        raise BadVideo(f"{path.name} holds no frames.", hint="Copy it from the camera again.")
    duration_s = max(times_s) - min(times_s)
    if duration_s > limits.max_duration_s:
        raise _over(path, f"{duration_s:.0f} seconds, more than {limits.max_duration_s:.0f}", "duration")
    is_cut_short = stated_s > 0 and duration_s + 1.0 < _CUT_SHORT * stated_s
    return VideoFacts(duration_s, len(times_s), size, is_cut_short)


def frames_of(path: Path, limits: VideoLimits) -> Iterator[TimedFrame]:
    """The frames in order of their times; one is in memory at once. Damaged ones are left out.

    Raises:
        BadVideo: As `video_facts`, or a frame is over the limit on pixels.
    """
    import av

    with _opened(path, limits) as container:
        first_s: float | None = None
        for packet in _packets(container):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in frames:
                if frame.time is None or frame.is_corrupt:
                    continue
                _check_size(path, (frame.width, frame.height), limits)
                first_s = frame.time if first_s is None else first_s
                yield TimedFrame(frame.time - first_s, frame)


def _packets(container: InputContainer):  # type: ignore[no-untyped-def]
    """Packets of the first video stream; ends early where the file is damaged."""
    import av

    packets = container.demux(container.streams.video[0])
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        yield packet


@contextlib.contextmanager
def _opened(path: Path, limits: VideoLimits) -> Iterator[InputContainer]:
    try:
        import av
    except ImportError as problem:
        raise MissingDependency(
            "Reading videos needs PyAV, which is not installed.",
            hint="Install it with: pip install 'objectscan[video]'. Or give photos.",
        ) from problem
    kind = _container_format(path)
    try:
        # The prefix keeps a colon in a file's name from being read as a protocol.
        container = av.open(
            f"file:{path.resolve()}",
            format=kind,
            options={"protocol_whitelist": "file"},
            metadata_errors="ignore",
        )
    except av.error.FFmpegError as problem:
        raise BadVideo(
            f"{path.name} can't be opened as a video: {problem.strerror or problem}.",
            hint="It may be cut off; copy it from the camera again.",
        ) from problem
    with container:
        if not container.streams.video:
            held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise BadVideo(f"{path.name} holds no pictures, only {held}.", hint="Give a video of the object.")
        context = container.streams.video[0].codec_context
        if context is None or not context.width:
            raise BadVideo(
                f"{path.name} has an unknown or damaged video stream.", hint=f"Save it as {SUPPORTED}."
            )
        context.options = {"max_pixels": str(limits.max_pixels)}
        context.thread_count = 1
        yield container


def _container_format(path: Path) -> str:
    """FFmpeg's name of the container, by the first bytes.

    Raises:
        BadVideo: The file is empty or no video of the list.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise BadVideo(f"{path.name} is empty (0 bytes).", hint="Copy it from the camera again.")
    if head[4:8] in _ISO_BOXES:
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return "mpegts"
    raise BadVideo(f"{path.name} is not a supported video.", hint=f"Give {SUPPORTED}.")


def _check_bytes(path: Path, limits: VideoLimits) -> None:
    if not path.is_file():
        raise BadVideo(f"{path} is not a file.", hint="Give the path of one video.")
    size_bytes = path.stat().st_size
    if size_bytes > limits.max_bytes:
        raise _over(path, f"{size_bytes / 1e6:.0f} MB, more than {limits.max_bytes / 1e6:.0f}", "bytes")


def _check_size(path: Path, size: tuple[int, int], limits: VideoLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise _over(path, f"frames of {width} x {height} pixels, more than {limits.max_pixels}", "pixels")
    if min(size) < limits.min_side_px:
        raise BadVideo(
            f"{path.name} has frames of {width} x {height} pixels; the shorter side must have at least "
            f"{limits.min_side_px}.",
            hint="Give the video as the camera took it.",
        )


def _over(path: Path, what: str, limit: str) -> BadVideo:
    return BadVideo(
        f"{path.name} has {what}.",
        hint=f"Cut it shorter or save it smaller, or raise the limit on {limit} of a video.",
        details={"limit": limit},
    )
