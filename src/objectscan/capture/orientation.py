"""Which way is up, and where the object is, as far as the cameras alone can tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

Z_UP_TO_Y_UP: Float[np.ndarray, "4 4"] = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""(x, y, z) -> (x, z, -y)."""


def camera_up(world_from_cameras: Sequence[Float[np.ndarray, "4 4"]]) -> Float[np.ndarray, " 3"]:
    """Mean of the directions that are up in the photos; of length 1 if all agree, 0 if they cancel out."""
    return np.asarray(np.mean([-transform[:3, 1] for transform in world_from_cameras], axis=0))


def meeting_point(world_from_cameras: Sequence[Float[np.ndarray, "4 4"]]) -> Float[np.ndarray, " 3"]:
    """The point nearest to all optical axes (least squares), where the object should be.

    Parallel axes do not meet; the small ridge then keeps the point near the cameras' mean.
    """
    centres = np.array([transform[:3, 3] for transform in world_from_cameras])
    axes = np.array([transform[:3, 2] for transform in world_from_cameras])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    ridge = 1e-6 * len(centres) * np.eye(3)
    mean = centres.mean(axis=0)
    offset = np.linalg.solve(across.sum(axis=0) + ridge, np.einsum("nij,nj->i", across, centres - mean))
    return np.asarray(mean + offset)


def delivered_from_up(up: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "4 4"]:
    """The smallest rotation that turns `up` to +Y (Rodrigues' formula)."""
    source, target = up / np.linalg.norm(up), np.array([0.0, 1.0, 0.0])
    axis, cosine = np.cross(source, target), float(source @ target)
    result = np.eye(4)
    if cosine < -1 + 1e-9:  # Upside down: half a turn about x, which is as good as any other axis.
        result[:3, :3] = np.diag([1.0, -1.0, -1.0])
        return result
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    result[:3, :3] = np.eye(3) + cross + cross @ cross / (1 + cosine)
    return result
