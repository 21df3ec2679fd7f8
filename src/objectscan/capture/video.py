"""From a video to photos: of each stretch of time the sharpest frame, without those that show nothing new."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from objectscan.capture.limits import DEFAULT_VIDEO_LIMITS, VideoLimits
from objectscan.capture.video_stream import TimedFrame, VideoFacts, frames_of, video_facts
from objectscan.errors import BadVideo, BadWorkspace, InputError
from objectscan.types import Finding, Progress, ProgressFn, ignore_progress

STAGE = "frames"
_CANDIDATES = 2
"""Stretches per wanted frame, so that still passages can be left out."""
_SMALL_EDGE_PX = 480
_STILL_SHARE = 0.01
"""A frame is new if a tenth of its features moved by this share of its width since the last one kept."""
_MOVED_PERCENTILE = 90
_LEAST_FEATURES = 20
_STILL_LEVELS = 1.0
"""Without features: mean change in grey levels (of 255) of a frame that shows nothing new."""
_JPEG_QUALITY = 95
_FEW = 0.5

Gray = UInt8[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True)
class VideoFrames:
    """Frames of a video as numbered JPEG files, in the order of time."""

    paths: tuple[Path, ...]
    times_s: tuple[float, ...]
    """Since the first frame of the video."""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    time_s: float
    path: Path


def frames_from_video(
    path: Path,
    work: Path,
    *,
    target_count: int = 60,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    report: ProgressFn = ignore_progress,
) -> VideoFrames:
    """Write the best frames of a video into a folder as frame_0001.jpg and so on, upright, without EXIF.

    The video is read once from end to end; memory holds one full frame and two small ones. Frames that show
    the same as the one kept before are left out, so that a resting camera gives one photo.

    Args:
        path: MP4, MOV, MKV, WebM, AVI or MPEG-TS.
        work: Folder for the frames; made if it is missing. Frames of an earlier run in it are replaced.
        target_count: How many frames are wanted; at most so many are written.
        limits: On the file, its duration and its frames.
        report: Told the share of the video that has been read.

    Raises:
        BadVideo: No video, only sound, damaged beyond use, or over a limit.
        InputError: `target_count` is below 1.
        MissingDependency: PyAV is not installed.
        BadWorkspace: `work` can't be written.
    """
    if target_count < 1:
        raise InputError(f"{target_count} frames were asked for.", hint="Ask for 1 or more, such as 60.")
    facts = video_facts(path, limits)
    parts = work / ".candidates"
    try:
        parts.mkdir(parents=True, exist_ok=True)
        candidates = _new_ones(_sharpest(path, facts, target_count, limits, report), parts)
        if not candidates:
            raise BadVideo(
                f"None of the {facts.frames} frames of {path.name} can be decoded.",
                hint="Copy it from the camera again, or save it in another format.",
            )
        chosen = [candidates[i] for i in _evenly(len(candidates), target_count)]
        written = _numbered(chosen, work)
    except OSError as problem:
        raise BadWorkspace(
            f"{work} can't be written: {problem.strerror or problem}.",
            hint="Free some space or choose another.",
        ) from problem
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    report(Progress(STAGE, 1.0))
    return VideoFrames(
        written, tuple(c.time_s for c in chosen), _findings(path, facts, len(written), target_count)
    )


def sharpness(gray: Gray) -> float:
    """Mean squared gradient (Tenengrad, Krotkov 1987): comparable between frames of one moment only."""
    across, down = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    return float((across * across + down * down).mean())


def shows_the_same(first: Gray, second: Gray) -> bool:
    """Whether so little moved between two frames that the second adds nothing.

    The 90th percentile of the features' motion counts: on a turntable most of the picture rests.
    """
    corners = cv2.goodFeaturesToTrack(first, 300, 0.01, 5)
    if corners is None or len(corners) < _LEAST_FEATURES:
        return float(cv2.absdiff(first, second).mean()) < _STILL_LEVELS
    moved, found, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, None)  # type: ignore[call-overload]
    followed = found.ravel() == 1
    if followed.mean() < 0.5:
        return False
    lengths = np.linalg.norm((moved - corners).reshape(-1, 2)[followed], axis=1)
    return float(np.percentile(lengths, _MOVED_PERCENTILE)) < _STILL_SHARE * max(first.shape)


def _sharpest(
    path: Path, facts: VideoFacts, target_count: int, limits: VideoLimits, report: ProgressFn
) -> Iterator[tuple[TimedFrame, Gray]]:
    """The sharpest frame of each of `2 * target_count` equal stretches of time that has one."""
    count = _CANDIDATES * target_count
    length_s = max(facts.duration_s, 1e-6) * (1 + 1e-6) / count
    best: tuple[float, TimedFrame, Gray] | None = None
    stretch = 0
    for frame in frames_of(path, limits):
        report(
            Progress(STAGE, min(1.0, max(0.0, frame.time_s) / (count * length_s)), f"{frame.time_s:.1f} s")
        )
        now = min(count - 1, int(max(frame.time_s, 0.0) / length_s))
        if now != stretch and best is not None:
            yield best[1], best[2]
            best = None
        stretch, gray = now, frame.gray(_SMALL_EDGE_PX)
        value = sharpness(gray)
        if best is None or value > best[0]:
            best = value, frame, gray
    if best is not None:
        yield best[1], best[2]


def _new_ones(frames: Iterator[tuple[TimedFrame, Gray]], folder: Path) -> list[_Candidate]:
    """Those that differ from the one kept before, written into `folder`."""
    kept: list[_Candidate] = []
    last: Gray | None = None
    for frame, gray in frames:
        if last is not None and last.shape == gray.shape and shows_the_same(last, gray):
            continue
        path = folder / f"{len(kept):06d}.jpg"
        _write_jpeg(frame.upright_srgb(), path)
        kept.append(_Candidate(frame.time_s, path))
        last = gray
    return kept


def _write_jpeg(image_srgb: UInt8[np.ndarray, "H W 3"], path: Path) -> None:
    ok, data = cv2.imencode(".jpg", image_srgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not ok:
        raise OSError(f"{path.name} could not be encoded")
    path.write_bytes(data.tobytes())


def _evenly(count: int, wanted: int) -> list[int]:
    """`wanted` of `count` indices, first and last among them; all if there are no more."""
    if count <= wanted:
        return list(range(count))
    return np.unique(np.round(np.linspace(0, count - 1, wanted)).astype(int)).tolist()


def _numbered(chosen: list[_Candidate], work: Path) -> tuple[Path, ...]:
    for old in work.glob("frame_[0-9]*.jpg"):
        old.unlink()
    paths = [work / f"frame_{number:04d}.jpg" for number in range(1, len(chosen) + 1)]
    for candidate, path in zip(chosen, paths, strict=True):
        candidate.path.replace(path)
    return tuple(paths)


def _findings(path: Path, facts: VideoFacts, written: int, target_count: int) -> tuple[Finding, ...]:
    found = []
    if facts.is_cut_short:
        words = f"{path.name} is cut off: only its first {facts.duration_s:.1f} seconds are there."
        found.append(Finding("video_cut_short", "warning", f"{words} Copy it from the camera again."))
    if written < _FEW * target_count:
        words = f"{path.name} gave {written} frames that differ, not {target_count}."
        found.append(Finding("video_few_frames", "warning", f"{words} Walk all the way round, slowly."))
    return tuple(found)
