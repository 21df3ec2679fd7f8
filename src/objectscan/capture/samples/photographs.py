"""Photographs of textured things made in code, with the cameras they were taken with: a small ray caster.

For the sample sets, and for tests and benchmarks of camera solving. The world is +Z up, the object stands on
z = 0 around the origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from objectscan.capture.photoset import PhotoSet, PlainPhoto

SKY = 200.0
_SUPERSAMPLING = 2


def noise_texture(rng: np.random.Generator, size: int = 512) -> np.ndarray:
    """A picture full of features, S x S x 3 in 0..255: noise of five sizes."""
    result = np.zeros((size, size, 3))
    for step in (4, 8, 16, 32, 64):
        grid = rng.random((size // step + 1, size // step + 1, 3)).astype(np.float32)
        result += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) * step**0.4
    low, high = result.min(), result.max()
    return (255 * (result - low) / (high - low)).astype(np.float32)


def tiled(texture: np.ndarray, times: int) -> np.ndarray:
    """A texture of the same size that repeats a smaller one."""
    size = len(texture)
    small = cv2.resize(texture, (size // times, size // times), interpolation=cv2.INTER_AREA)
    return np.tile(small, (times, times, 1))


@dataclass(frozen=True)
class Picture:
    """A flat, printed rectangle: corner + u * across + v * down, u and v in [0, 1]."""

    corner: tuple[float, float, float]
    across: tuple[float, float, float]
    down: tuple[float, float, float]
    texture: np.ndarray
    light: float = 1.0


@dataclass(frozen=True)
class Box:
    """A box turned about z."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    yaw_rad: float
    textures: Sequence[np.ndarray]
    """Six, for -x +x -y +y -z +z."""

    def faces(self) -> list[Picture]:
        """Its six sides."""
        cosine, sine = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        axes = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]]) * np.array(self.half)[:, None]
        found = []
        for face in range(6):
            side = face // 2
            first, second = (axes[number] for number in range(3) if number != side)
            middle = np.array(self.centre) + (1 if face % 2 else -1) * axes[side]
            light = (0.75, 0.95, 0.85, 0.7, 0.5, 1.0)[face]
            corner = middle - first - second
            found.append(
                Picture(tuple(corner), tuple(2 * first), tuple(2 * second), self.textures[face], light)
            )
        return found


@dataclass(frozen=True)
class Scene:
    """Boxes that don't overlap in any view, and pictures behind all of them."""

    boxes: Sequence[Box]
    pictures: Sequence[Picture] = ()


def table_top(texture: np.ndarray, side: float = 5.0) -> Picture:
    """A square in the plane z = 0 around the origin."""
    return Picture((-side / 2, -side / 2, 0), (side, 0, 0), (0, side, 0), texture)


def walls(textures: Sequence[np.ndarray], distance: float = 5.0, height: float = 6.0) -> list[Picture]:
    """Four walls around the origin, from below the table up."""
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    found = []
    for number, texture in enumerate(textures):
        (x, y), (next_x, next_y) = corners[number], corners[(number + 1) % 4]
        across = (distance * (next_x - x), distance * (next_y - y), 0)
        found.append(Picture((distance * x, distance * y, height / 2), across, (0, 0, -height), texture))
    return found


@dataclass(frozen=True)
class Shot:
    """A camera: pinhole, square pixels, principal point in the middle."""

    world_from_camera: np.ndarray
    focal_px: float
    size: tuple[int, int]


def look_at(
    eye: Sequence[float] | np.ndarray, target: Sequence[float] = (0, 0, 0.4), roll_rad: float = 0.0
) -> np.ndarray:
    """world_from_camera of a camera at `eye`, OpenCV axes, upright in a +Z up world."""
    forward = np.subtract(target, eye).astype(float)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    turned = np.stack([right, down, forward], axis=1) @ cv2.Rodrigues(np.array([0, 0, roll_rad]))[0]
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = turned, eye
    return result


def ring(
    count: int,
    *,
    size: tuple[int, int],
    radius: float = 2.3,
    elevation_deg: float = 25.0,
    arc_deg: float = 360.0,
    focal: float = 1.1,
    seed: int = 0,
) -> list[Shot]:
    """Cameras on a ring around the origin, slightly shaken; `focal` in units of the longer side."""
    rng = np.random.default_rng(seed)
    closed = arc_deg >= 360
    shots = []
    for angle in np.radians(np.linspace(0, arc_deg, count, endpoint=not closed)):
        elevation = np.radians(elevation_deg + rng.normal(0, 2))
        length = radius * (1 + rng.normal(0, 0.02))
        eye = length * np.array(
            [np.cos(elevation) * np.cos(angle), np.cos(elevation) * np.sin(angle), np.sin(elevation)]
        )
        target = (rng.normal(0, 0.03), rng.normal(0, 0.03), 0.4)
        shots.append(Shot(look_at(eye, target, rng.normal(0, 0.03)), focal * max(size), size))
    return shots


def photograph(scene: Scene, shot: Shot, *, rng: np.random.Generator, noise: float = 2.0) -> np.ndarray:
    """H x W x 3 sRGB bytes: the scene from a camera, 2 x 2 samples a pixel, with sensor noise."""
    width, height = (side * _SUPERSAMPLING for side in shot.size)
    eye = shot.world_from_camera[:3, 3]
    image = np.full((height, width, 3), SKY, np.float32)
    for picture in scene.pictures:
        _draw(picture, shot, image)
    for box in sorted(scene.boxes, key=lambda box: -float(np.linalg.norm(np.subtract(box.centre, eye)))):
        for face in box.faces():
            outward = np.add(face.corner, np.add(face.across, face.down) / 2) - box.centre
            if outward @ (eye - box.centre) > outward @ outward:
                _draw(face, shot, image)
    small = cv2.resize(image, shot.size, interpolation=cv2.INTER_AREA)
    return np.clip(np.round(small + rng.normal(0, noise, small.shape)), 0, 255).astype(np.uint8)


def box_on_a_table(seed: int = 0, *, has_walls: bool = True) -> Scene:
    """A turned, textured box with a small one beside it on a textured table in a room."""
    rng = np.random.default_rng(seed)
    six = [noise_texture(rng) for _ in range(6)]
    other = [noise_texture(rng, 256) for _ in range(6)]
    table = table_top(noise_texture(rng, 1024))
    around = walls([noise_texture(rng, 512) for _ in range(4)]) if has_walls else []
    boxes = [
        Box((0, 0, 0.4), (0.35, 0.25, 0.4), 0.3, six),
        Box((0.65, 0.45, 0.15), (0.15, 0.12, 0.15), 1.0, other),
    ]
    return Scene(boxes, [*around, table])


def write_photos(
    folder: Path,
    images: Sequence[np.ndarray],
    *,
    focal_px: float | None,
    names: Sequence[str] = (),
    is_ordered: bool = True,
) -> PhotoSet:
    """Write pictures as JPEGs and describe them as the gathering step would."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = []
    for number, image in enumerate(images):
        name = names[number] if names else f"photo_{number:02d}.jpg"
        path = folder / name
        ok, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        assert ok
        path.write_bytes(data.tobytes())
        photos.append(PlainPhoto(name, path, (image.shape[1], image.shape[0]), focal_px, "Test Camera"))
    return PhotoSet(tuple(photos), is_ordered)


def _draw(picture: Picture, shot: Shot, image: np.ndarray) -> None:
    """Paint a rectangle over the image, by the homography from pixels to its texture."""
    height, width = image.shape[:2]
    focal = shot.focal_px * _SUPERSAMPLING
    # Pixel centres at whole numbers, as OpenCV counts.
    ray_from_pixel = np.array([[1, 0, 0.5 - width / 2], [0, 1, 0.5 - height / 2], [0, 0, focal]]) / focal
    eye, turn = shot.world_from_camera[:3, 3], shot.world_from_camera[:3, :3]
    world_from_place = np.stack([picture.across, picture.down, np.subtract(picture.corner, eye)], axis=1)
    size = len(picture.texture)
    texel_from_place = np.array([[size, 0, -0.5], [0, size, -0.5], [0, 0, 1.0]])
    place_from_pixel = np.linalg.inv(world_from_place) @ turn @ ray_from_pixel
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    lines = place_from_pixel.astype(np.float32)
    u, v, nearness = (line[0] * columns + (line[1] * rows + line[2]) for line in lines)
    if nearness.max() <= 0:
        return
    inside = (nearness > 0) & (u >= 0) & (v >= 0) & (u <= nearness) & (v <= nearness)
    if not inside.any():
        return
    drawn = cv2.warpPerspective(
        picture.texture, texel_from_place @ place_from_pixel, (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    np.copyto(image, picture.light * drawn, where=inside[..., None])
