"""A red ball on a grey table before a dark wall, seen from a ring of known cameras, with its exact masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from capture_samples import ring

from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import PhotoSet, PlainPhoto, SolvedCameras

SIZE = (160, 120)
FOCAL_PX = 190.0
RADIUS = 0.5
"""The ball's; its centre is the origin, the table stands at z = -RADIUS."""
PLANE = np.array([0.0, 0.0, 1.0, RADIUS])


@dataclass(frozen=True)
class Scene:
    photos: PhotoSet
    solved: SolvedCameras
    truth: dict[str, np.ndarray]


class RedIsObject:
    """A segmenter that is exact on these scenes: soft by how red a pixel is."""

    side_px = 64

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def foreground(self, image_srgb: np.ndarray) -> np.ndarray:
        self.sizes.append((image_srgb.shape[1], image_srgb.shape[0]))
        values = image_srgb.astype(np.int16)
        redness = values[..., 0] - np.maximum(values[..., 1], values[..., 2])
        return np.clip(redness * 2, 0, 255).astype(np.uint8)


def rays(pose: np.ndarray) -> np.ndarray:
    columns, rows = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    local = np.stack(
        [(columns - SIZE[0] / 2) / FOCAL_PX, (rows - SIZE[1] / 2) / FOCAL_PX, np.ones_like(rows)], axis=-1
    )
    directions = local @ pose[:3, :3].T
    return directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def shot(pose: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(image, mask) of the ball seen by a camera."""
    directions, start = rays(pose), pose[:3, 3]
    along = directions @ start
    inside = along**2 - (start @ start - RADIUS**2)
    hit = (inside > 0) & (along < 0)
    to_table = (-RADIUS - start[2]) / np.where(directions[..., 2] < -1e-6, directions[..., 2], np.nan)
    place = start + to_table[..., None] * directions
    checks = np.floor(np.nan_to_num(place[..., :2]) * 4).sum(axis=-1) % 2
    image = np.where(np.isfinite(to_table), 120 + 50 * checks, 40)[..., None].repeat(3, axis=-1)
    light = 0.6 + 0.4 * (start / np.linalg.norm(start))[2]
    image[hit] = np.array([230, 30, 20]) * light
    image = image + np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), (hit * 255).astype(np.uint8)


def ball_scene(folder: Path, count: int = 8, *, distortion: tuple[float, ...] = ()) -> Scene:
    """Photos written as PNG files, with cameras and sparse points."""
    folder.mkdir(parents=True, exist_ok=True)
    poses, photos, truth = ring(count, elevation_deg=25, radius=3.0), [], {}
    for index, pose in enumerate(poses):
        name = f"photo{index}.jpg"
        image, truth[name] = shot(pose, index)
        path = folder / f"{index:04d}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        photos.append(PlainPhoto(name, path, SIZE))
    names = tuple(truth)
    lens = Lens((FOCAL_PX, FOCAL_PX), size=SIZE, distortion=distortion)
    points = sparse_points()
    solved = SolvedCameras(
        dict.fromkeys(names, lens),
        dict(zip(names, poses, strict=True)),
        points,
        np.zeros((len(points), 3), np.uint8),
        np.zeros((0, 2), np.int32),
        names,
        grade="good",
    )
    return Scene(PhotoSet(tuple(photos), is_ordered=True), solved, truth)


def sparse_points() -> np.ndarray:
    """300 points on the ball, 2000 on the table, 300 far away."""
    rng = np.random.default_rng(1)
    ball = rng.normal(size=(300, 3))
    ball *= RADIUS / np.linalg.norm(ball, axis=1, keepdims=True)
    table = np.column_stack([rng.uniform(-1.5, 1.5, (2000, 2)), rng.normal(-RADIUS, 0.004, 2000)])
    return np.concatenate([ball, table, rng.uniform(-8, 8, (300, 3))])


def iou(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first >= 128, second >= 128
    return float((a & b).sum() / max((a | b).sum(), 1))


def repaint(photo: PlainPhoto, box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    """Paint a rectangle (left, top, right, bottom) of a photo's file."""
    image = cv2.imread(str(photo.path))
    left, top, right, bottom = box
    image[top:bottom, left:right] = colour[::-1]
    cv2.imwrite(str(photo.path), image)
