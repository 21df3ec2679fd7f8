"""Matches and models as a right solve of a known scene would give them, without running one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np

from objectscan.capture.samples.photographs import ring
from objectscan.capture.solve.evidence import PairMatches, SparseModel
from objectscan.capture.solve.gate import Asked

SIZE, FOCAL = (800, 600), 880.0
COUNT = 16
NAMES = tuple(f"photo_{number:02d}.jpg" for number in range(COUNT))


def scene_points(rng: np.random.Generator, count: int = 1500) -> np.ndarray:
    """Points of a table top and of a lump on it."""
    table = np.c_[rng.uniform(-1.5, 1.5, (count // 2, 2)), np.zeros(count // 2)]
    lump = np.array([0, 0, 0.45]) + rng.normal(0, 0.18, (count - count // 2, 3))
    return np.vstack([table, lump])


def true_cameras(count: int = COUNT) -> np.ndarray:
    """world_from_camera, N x 4 x 4."""
    return np.array([shot.world_from_camera for shot in ring(count, size=SIZE)])


def seen(points: np.ndarray, camera: np.ndarray, k1: float = 0.0) -> np.ndarray:
    """Pixels of points; NaN outside the picture."""
    inside = (points - camera[:3, 3]) @ camera[:3, :3]
    flat = inside[:, :2] / inside[:, 2:]
    flat = flat * (1 + k1 * (flat**2).sum(1, keepdims=True))
    pixels = flat * FOCAL + np.array(SIZE) / 2
    outside = (inside[:, 2] <= 0) | (pixels < 0).any(1) | (pixels > SIZE).any(1)
    pixels[outside] = np.nan
    return pixels


def model_of(cameras: np.ndarray, points: np.ndarray, k1: float = 0.0) -> SparseModel:
    """A model that is exactly right."""
    places = [seen(points, camera, k1) for camera in cameras]
    observations, pixels = [], []
    for photo, where in enumerate(places):
        for point in np.flatnonzero(~np.isnan(where[:, 0])).tolist():
            observations.append((point, photo))
            pixels.append(where[point])
    camera_from_world = np.linalg.inv(cameras)[:, :3]
    lens = (FOCAL, SIZE[0] / 2, SIZE[1] / 2, k1)
    return SparseModel(
        Path("nowhere"), NAMES[: len(cameras)], camera_from_world, np.array([lens] * len(cameras)), points,
        np.full((len(points), 3), 128, np.uint8), np.full(len(points), 0.4),
        np.array(observations, np.int32), np.array(pixels),
    )  # fmt: skip


def matches_of(
    cameras: np.ndarray,
    points: np.ndarray,
    rng: np.random.Generator,
    *,
    k1: float = 0.0,
    noise_px: float = 0.5,
) -> PairMatches:
    """Matches between all pairs within 50 degrees, of points that both photos show."""
    places = [seen(points, camera, k1) for camera in cameras]
    pairs, starts, first, second = [], [0], [], []
    for one, other in itertools.combinations(range(len(cameras)), 2):
        if cameras[one][:3, 2] @ cameras[other][:3, 2] < np.cos(np.radians(50)):
            continue
        both = ~np.isnan(places[one][:, 0] + places[other][:, 0])
        pairs.append((one, other))
        starts.append(starts[-1] + int(both.sum()))
        first.append(places[one][both] + rng.normal(0, noise_px, (both.sum(), 2)))
        second.append(places[other][both] + rng.normal(0, noise_px, (both.sum(), 2)))
    return PairMatches(
        NAMES[: len(cameras)], np.full(len(cameras), 1200, np.int32), np.array(pairs, np.int32),
        np.full(len(pairs), 2, np.int32), np.array(starts),
        np.vstack(first).astype(np.float32), np.vstack(second).astype(np.float32),
    )  # fmt: skip


def asked_for(model: SparseModel, focal_px: float | None = FOCAL) -> Asked:
    """A set that has exactly the model's photos."""
    return Asked(model.photos, dict.fromkeys(model.photos, focal_px))


def with_camera(model: SparseModel, photo: int, world_from_camera: np.ndarray) -> SparseModel:
    """The model with another camera for one photo."""
    cameras = model.camera_from_world.copy()
    cameras[photo] = np.linalg.inv(world_from_camera)[:3]
    return replace(model, camera_from_world=cameras)
