"""Small videos made in code with PyAV: a textured wall that a camera moves past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SIZE = (192, 128)


def wall() -> np.ndarray:
    """A large picture with structure at every scale, [512 1024 3]."""
    rng = np.random.default_rng(3)
    total = np.zeros((512, 1024, 3), np.float32)
    for cells in (8, 16, 32, 64, 128):
        total += cv2.resize(rng.random((cells, 2 * cells, 3), np.float32), (1024, 512)) / 5
    return (255 * np.clip(2.2 * (total - 0.5) + 0.5, 0, 1)).astype(np.uint8)


def passing(count: int, step_px: float = 6.0) -> list[np.ndarray]:
    """Frames of a camera that moves right past the wall."""
    width, height = SIZE
    picture = wall()
    return [
        picture[100 : 100 + height, round(i * step_px) : round(i * step_px) + width] for i in range(count)
    ]


def blurred(frame: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(frame, (0, 0), 2.5)


def write_video(
    file: Path,
    frames: Sequence[np.ndarray],
    *,
    rate: int = 30,
    times: Sequence[int] | None = None,
    rotation_deg: float | None = None,
    options: dict[str, str] | None = None,
    edit: Callable[[av.VideoFrame], None] | None = None,
) -> Path:
    """Encode frames as MPEG-4; `times` are the frames' time stamps in units of 1 / `rate` seconds."""
    with av.open(str(file), "w", options=options or {}) as container:
        stream = container.add_stream("mpeg4", rate=rate, bit_rate=4_000_000)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        if rotation_deg is not None:
            stream.set_display_rotation(rotation_deg)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = index if times is None else times[index]
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


def write_sound(file: Path) -> Path:
    """Half a second of silence, no pictures."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 22050), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file
