"""From cameras to clip space. Camera axes are OpenCV's; clip y points down, so pictures are never flipped."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from objectscan.types import Camera


def clip_from_camera(
    intrinsics: Float[np.ndarray, "3 3"], size: tuple[int, int], near: float, far: float
) -> Float[np.ndarray, "4 4"]:
    """Projection of OpenCV camera coordinates: NDC (-1, -1) is the image's top left, z -1 near, 1 far.

    Args:
        intrinsics: Pixels; any principal point and skew. Pixel centres at +0.5.
        size: (width, height) in pixels.
        near: Distance of the near plane along the optical axis, world units, above 0.
        far: Distance of the far plane.
    """
    width, height = size
    (fx, skew, cx), (_, fy, cy) = intrinsics[0], intrinsics[1]
    return np.array(
        [
            [2 * fx / width, 2 * skew / width, 2 * cx / width - 1, 0],
            [0, 2 * fy / height, 2 * cy / height - 1, 0],
            [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, 1, 0],
        ]
    )


def clip_from_world(camera: Camera, near: float, far: float) -> Float32[np.ndarray, "4 4"]:
    """The whole projection of a photo's camera."""
    projection = clip_from_camera(camera.intrinsics, camera.size, near, far)
    return (projection @ np.linalg.inv(camera.world_from_camera)).astype(np.float32)


def depth_range(camera: Camera, points: Float[np.ndarray, "V 3"]) -> tuple[float, float]:
    """(near, far) that just hold the points, with a margin; near stays above 0."""
    camera_from_world = np.linalg.inv(camera.world_from_camera)
    depths = points @ camera_from_world[2, :3] + camera_from_world[2, 3]
    far = max(float(depths.max()), 1e-6) * 1.05
    return max(float(depths.min()) * 0.9, far * 1e-3), far
