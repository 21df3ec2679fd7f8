"""Clip matrices of a batch of views, with an optional learnt correction of pose and focal length."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from objectscan.engines.nvdiffrec.photos import PhotoLevel
from objectscan.render.camera import clip_from_camera


class ViewCameras:
    """Cameras of N views: the given ones, times a small rigid motion and focal factor that can be learnt.

    The correction acts in camera axes, scaled by the distance to the object so that one unit of any parameter
    moves the picture by about the same amount: `camera_from_world = exp(delta) @ given`.
    """

    def __init__(
        self, views: int, centre: Float[np.ndarray, " 3"], radius: float, *, learn: bool,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        """Corrections start at zero. `centre`, `radius`: a ball around the object, world units."""
        self.delta = torch.zeros(views, 7, device=device, requires_grad=learn)
        """Rotation vector 3 (radians), translation 3 (in distances to the object), log focal factor."""
        self._learn = learn
        self._centre, self._radius = np.asarray(centre, np.float64), radius

    def clip_from_world(self, level: PhotoLevel, index: Tensor) -> Float[Tensor, "B 4 4"]:
        """Clip matrices of the chosen views; differentiable in `delta` if that is learnt."""
        given = level.camera_from_world[index.numpy()]
        depths = given[:, 2, :3] @ self._centre + given[:, 2, 3]
        clips = [
            clip_from_camera(
                level.intrinsics[i],
                level.size,
                max(depth - 2 * self._radius, 0.02 * depth),
                depth + 2 * self._radius,
            )
            for i, depth in zip(index.tolist(), depths, strict=True)
        ]
        device = self.delta.device
        clip = torch.as_tensor(np.stack(clips), dtype=torch.float32).to(device, non_blocking=True)
        camera = torch.as_tensor(given, dtype=torch.float32).to(device, non_blocking=True)
        if not self._learn:
            return clip @ camera
        delta = self.delta[index]
        zoom = torch.diag_embed(
            torch.cat([delta[:, 6:].exp().expand(-1, 2), torch.ones(len(index), 2, device=device)], dim=1)
        )
        reach = torch.as_tensor(depths, dtype=torch.float32).to(device, non_blocking=True)
        return clip @ zoom @ self._motion(delta, reach) @ camera

    def centres(self, level: PhotoLevel, index: Tensor) -> Float[Tensor, "B 3"]:
        """Camera positions in the world. The learnt correction is ignored: it turns view directions by < 1
        degree.
        """
        given = level.camera_from_world[index.numpy()]
        return torch.as_tensor(
            -np.einsum("nji,nj->ni", given[:, :3, :3], given[:, :3, 3]), dtype=torch.float32
        ).to(self.delta.device, non_blocking=True)

    def corrected(self, given: Float[np.ndarray, "N 4 4"]) -> tuple[np.ndarray, np.ndarray]:
        """(camera_from_world [N, 4, 4], focal factor [N]) with the correction applied to the given ones."""
        with torch.no_grad():
            depths = given[:, 2, :3] @ self._centre + given[:, 2, 3]
            delta = self.delta.cpu()
            motion = self._motion(delta, torch.as_tensor(depths, dtype=torch.float32)).double().numpy()
            return motion @ given, delta[:, 6].exp().double().numpy()

    @staticmethod
    def _motion(delta: Tensor, depths: Tensor) -> Float[Tensor, "B 4 4"]:
        # The rotation turns about the point on the optical axis at the object's depth, so that it and the
        # shift are separate: about the camera centre, a turn and a shift would move the picture alike.
        x, y, z = delta[:, 0], delta[:, 1], delta[:, 2]
        zero = torch.zeros_like(x)
        rotation = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
        turn = torch.linalg.matrix_exp(rotation)
        pivot = torch.stack([zero, zero, depths], dim=1)[..., None]
        shift = pivot - turn @ pivot + (delta[:, 3:6] * depths[:, None])[..., None]
        last = torch.eye(4, device=delta.device)[3]
        bottom = last.expand(len(delta), 1, 4)
        return torch.cat([torch.cat([turn, shift], dim=2), bottom], dim=1)
