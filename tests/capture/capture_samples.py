"""Small captures made in code: a coloured ball at the origin seen from a ring of exactly known cameras."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (96, 72)
FOCAL_PX = 110.0
_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


def look_at(centre: np.ndarray, up: tuple[float, float, float] = (0, 0, 1)) -> np.ndarray:
    """world_from_camera with OpenCV axes for a camera at `centre` that looks at the origin."""
    forward = -centre / np.linalg.norm(centre)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.column_stack([right, np.cross(forward, right), forward, centre])
    return pose


def ring(
    count: int, *, elevation_deg: float = 20.0, radius: float = 4.0, turn: float = 1.0
) -> list[np.ndarray]:
    """Poses around +z; `turn` is the share of the full circle."""
    poses = []
    for index in range(count):
        angle = 2 * np.pi * turn * index / count
        level, height = np.cos(np.radians(elevation_deg)), np.sin(np.radians(elevation_deg))
        poses.append(look_at(radius * np.array([level * np.cos(angle), level * np.sin(angle), height])))
    return poses


def ball(size: tuple[int, int] = SIZE, *, shift: int = 0) -> np.ndarray:
    """RGBA picture with a textured disc in the middle; alpha is its mask."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    radius = 0.3 * min(size)
    inside = (columns + 0.5 - size[0] / 2) ** 2 + (rows + 0.5 - size[1] / 2) ** 2 < radius**2
    red = ((columns + shift) * 13 % 200 + 30).astype(np.uint8)
    green = (rows * 7 % 180 + 40).astype(np.uint8)
    blue = np.full_like(red, 90)
    return np.dstack([red, green, blue, (inside * 255).astype(np.uint8)])


def png(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def jpeg(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **{"quality": 95, **options})
    return buffer.getvalue()


def smooth(size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """An RGB picture that every lossy codec keeps well: gradients, red at the left, green at the top."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    red = 230 - 200 * columns / size[0]
    green = 220 - 180 * rows / size[1]
    return np.dstack([red, green, np.full_like(red, 60)]).astype(np.uint8)


def transforms(count: int = 8, **top: Any) -> dict[str, Any]:
    """The content of a transforms.json for `ring(count)` and photos images/00.png ..."""
    frames = [
        {"file_path": f"images/{index:02d}.png", "transform_matrix": (pose @ _OPENGL_FROM_OPENCV).tolist()}
        for index, pose in enumerate(ring(count))
    ]
    return {"fl_x": FOCAL_PX, "fl_y": FOCAL_PX, "frames": frames, **top}


def write_capture(
    folder: Path, count: int = 8, edit: Callable[[dict[str, Any]], Any] | None = None, **top: Any
) -> Path:
    """A complete capture folder; `edit` changes the camera file before it is written."""
    (folder / "images").mkdir(parents=True)
    for index in range(count):
        (folder / "images" / f"{index:02d}.png").write_bytes(png(ball(shift=index)))
    values = transforms(count, **top)
    if edit is not None:
        edit(values)
    (folder / "transforms.json").write_text(json.dumps(values))
    return folder


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """(w, x, y, z) of a rotation matrix, by its largest component (Shepperd 1978)."""
    trace_parts = np.array([np.trace(rotation), *np.diag(rotation)])
    largest = int(trace_parts.argmax())
    m = rotation
    if largest == 0:
        parts = [1 + trace_parts[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]]
    elif largest == 1:
        parts = [m[2, 1] - m[1, 2], 1 + m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]]
    elif largest == 2:
        parts = [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], 1 - m[0, 0] + m[1, 1] - m[2, 2], m[1, 2] + m[2, 1]]
    else:
        parts = [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], 1 - m[0, 0] - m[1, 1] + m[2, 2]]
    return np.array(parts) / np.linalg.norm(parts)


def write_colmap(
    folder: Path,
    *,
    binary: bool,
    model: tuple[int, str, tuple[float, ...]],
    count: int = 8,
    place: str = "sparse/0",
) -> Path:
    """A COLMAP capture of `ring(count)`; `model` is (number, name, parameters)."""
    number, name, parameters = model
    (folder / "images").mkdir(parents=True)
    target = folder / place
    target.mkdir(parents=True, exist_ok=True)
    entries = []
    for index, pose in enumerate(ring(count)):
        (folder / "images" / f"{index:02d}.png").write_bytes(png(ball(shift=index)))
        camera_from_world = np.linalg.inv(pose)
        entries.append(
            (index + 1, quaternion(camera_from_world[:3, :3]), camera_from_world[:3, 3], f"{index:02d}.png")
        )
    if binary:
        camera = struct.pack("<QiiQQ", 1, 7, number, *SIZE) + struct.pack(f"<{len(parameters)}d", *parameters)
        (target / "cameras.bin").write_bytes(camera)
        images = struct.pack("<Q", len(entries))
        for image, rotation, shift, file in entries:
            images += struct.pack("<i7di", image, *rotation, *shift, 7) + file.encode() + b"\0"
            images += struct.pack("<Q", 2) + struct.pack("<ddqddq", 1.0, 2.0, 5, 3.0, 4.0, -1)
        (target / "images.bin").write_bytes(images)
        return folder
    stated = " ".join(map(repr, parameters))
    (target / "cameras.txt").write_text(f"# cameras\n7 {name} {SIZE[0]} {SIZE[1]} {stated}\n")
    lines = ["# images"]
    for image, rotation, shift, file in entries:
        lines.append(f"{image} {' '.join(repr(float(v)) for v in (*rotation, *shift))} 7 {file}")
        lines.append("" if image % 2 else "1.0 2.0 5 3.0 4.0 -1")
    (target / "images.txt").write_text("\n".join(lines) + "\n")
    return folder
