"""A small capture made in code: a painted ball with a dent, drawn by the renderer at twice the size."""

from __future__ import annotations

import numpy as np
import torch

from objectscan.render import antialias, build_adjacency, clip_from_world, interpolate, rasterize
from objectscan.types import Camera, Capture, View


def ball(rings: int = 48, dent: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and outward faces of a sphere of radius 1, pushed in at +x by `dent`."""
    polar, azimuth = np.meshgrid(
        np.linspace(0, np.pi, rings), np.arange(2 * rings) * np.pi / rings, indexing="ij"
    )
    points = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1
    )
    flat = points.reshape(-1, 3)
    flat = flat * (1.0 - dent * np.exp(-20.0 * (1.0 - flat[:, :1])))
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(2 * rings), indexing="ij")
    a, b = i * 2 * rings + j, i * 2 * rings + (j + 1) % (2 * rings)
    quads = np.stack([a, a + 2 * rings, b + 2 * rings, b], axis=-1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return flat.astype(np.float32), faces.astype(np.int32)


def camera_at(azimuth_rad: float, height: float, edge_px: int, distance: float = 4.0) -> Camera:
    """A camera that looks at the origin, z up."""
    flat = np.sqrt(1.0 - height**2)
    forward = -np.array([flat * np.cos(azimuth_rad), flat * np.sin(azimuth_rad), height])
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    world_from_camera[:3, 3] = -distance * forward
    focal = 1.5 * edge_px
    intrinsics = np.array([[focal, 0.0, edge_px / 2], [0.0, focal, edge_px / 2], [0.0, 0.0, 1.0]])
    return Camera(intrinsics, world_from_camera, (edge_px, edge_px))


def picture(camera: Camera, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sRGB uint8, mask uint8): paint by position, light from above, box-filtered from twice the size."""
    width, height = camera.size
    double = Camera(
        camera.intrinsics * [[2.0], [2.0], [1.0]], camera.world_from_camera, (2 * width, 2 * height)
    )
    tensor, triangles = torch.from_numpy(vertices), torch.from_numpy(faces)
    clip = (
        torch.nn.functional.pad(tensor, (0, 1), value=1.0)
        @ torch.from_numpy(clip_from_world(double, 1.0, 9.0)).T
    )[None]
    hits = rasterize(clip, triangles, double.size)
    paint = 0.5 + 0.3 * np.sin(vertices @ np.array([[6.0, 1.0, 2.0], [1.0, 7.0, 2.0], [3.0, 1.0, 6.0]]))
    shade = (0.75 + 0.25 * vertices[:, 2:]).clip(0.3, 1.0)
    colours = torch.from_numpy(
        np.concatenate([paint * shade, np.ones((len(vertices), 1))], axis=1).astype(np.float32)
    )
    image = antialias(
        interpolate(colours, triangles, hits), hits, clip, triangles, build_adjacency(triangles)
    )[0]
    small = image.reshape(height, 2, width, 2, 4).mean(dim=(1, 3)).numpy()
    colour = small[..., :3] / np.maximum(small[..., 3:], 1e-3)
    return np.rint(255 * colour.clip(0, 1)).astype(np.uint8), np.rint(255 * small[..., 3]).astype(np.uint8)


def painted_ball(views: int = 12, edge_px: int = 96, dent: float = 0.0) -> Capture:
    """A capture of the ball on a golden-angle spiral."""
    vertices, faces = ball(dent=dent)
    heights = np.linspace(-0.6, 0.8, views)
    cameras = [camera_at(k * 2.39996, float(h), edge_px) for k, h in enumerate(heights)]
    pictures = [picture(camera, vertices, faces) for camera in cameras]
    named = [View(f"{k:02d}.png", c, *p) for k, (c, p) in enumerate(zip(cameras, pictures, strict=True))]
    return Capture(tuple(named), np.eye(4))
