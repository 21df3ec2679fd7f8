"""What a capture may weigh: limits that an operator sets and that every reader obeys."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on single pictures and on the whole capture. The defaults suit photos of phones and cameras."""

    max_pixels: int = 60_000_000
    """Pixels of one picture, read from its header before anything is decoded."""
    max_file_bytes: int = 64_000_000
    """Bytes of one picture file."""
    max_camera_file_bytes: int = 256_000_000
    """Bytes of one camera file. COLMAP's images.txt lists every feature and grows large."""
    max_views: int = 400
    min_views: int = 3
    """Below this many usable photos no capture is made."""
    min_side_px: int = 64
    """Shorter side of the smallest usable picture."""
    max_aspect: float = 8.0
    """Longer side / shorter side."""
    max_edge_px: int = 2048
    """Larger photos are reduced to this longer side when they are read; the finest preset uses no more."""


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """Limits on one video. The defaults allow ten minutes of a phone's 4K."""

    max_bytes: int = 4_000_000_000
    max_duration_s: float = 600.0
    """By its frames' time stamps, not by what its header says."""
    max_frames: int = 40_000
    """All are decoded: 4K takes about 20 ms each."""
    max_pixels: int = 36_000_000
    """Pixels of one frame; 8K has 33 million."""
    min_side_px: int = 64


DEFAULT_VIDEO_LIMITS = VideoLimits()
