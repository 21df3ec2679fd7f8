"""VGGT's camera head: cameras of all views from their camera tokens, by repeated correction."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from objectscan.engines.reconviagen.networks.vit import Mlp, VitBlock

ROUNDS = 4
"""Corrections a prediction; the published weights were trained with four."""


class CameraHead(nn.Module):
    """Predicts translation (3), quaternion x y z w (4, not normalised) and fields of view (h, w; radians)."""

    def __init__(self, channels: int, *, heads: int = 16, depth: int = 4):
        super().__init__()
        self.token_norm = nn.LayerNorm(channels)
        self.trunk_norm = nn.LayerNorm(channels)
        self.trunk = nn.Sequential(*[VitBlock(channels, heads, eps=1e-5) for _ in range(depth)])
        self.empty_pose_tokens = nn.Parameter(torch.zeros(1, 1, 9))
        self.embed_pose = nn.Linear(9, channels)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(channels, 3 * channels))
        self.pose_branch = Mlp(channels, channels // 2, 9)

    def forward(self, tokens: Float[Tensor, "B N L C"]) -> list[Float[Tensor, "B N 9"]]:
        """Encoded cameras after each correction; the last is the answer.

        Args:
            tokens: The aggregator's last layer; its first token of each view belongs to the camera.
        """
        camera = self.token_norm(tokens[:, :, 0])
        raw = self.empty_pose_tokens.expand(*camera.shape[:2], -1)
        rounds = []
        for number in range(ROUNDS):
            shift, scale, gate = self.poseLN_modulation(self.embed_pose(raw)).chunk(3, dim=-1)
            plain = functional.layer_norm(camera, camera.shape[-1:], eps=1e-6)
            mixed = self.trunk(gate * (plain * (1 + scale) + shift) + camera)
            change = self.pose_branch(self.trunk_norm(mixed))
            raw = change if number == 0 else raw + change  # the empty token is no camera to start from
            # The fields of view are made positive for the caller only: the raw value is fed back.
            rounds.append(torch.cat([raw[..., :7], raw[..., 7:].relu()], dim=-1))
        return rounds


def rotation_from_quaternion(quaternion: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 3 3"]:
    """Rotation of a quaternion (x, y, z, w) of any length but 0."""
    x, y, z, w = (quaternion * (2**0.5 / quaternion.norm(dim=-1, keepdim=True))).unbind(-1)
    rows = [
        1 - y * y - z * z, x * y - z * w, x * z + y * w,
        x * y + z * w, 1 - x * x - z * z, y * z - x * w,
        x * z - y * w, y * z + x * w, 1 - x * x - y * y,
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def camera_matrices(
    encoded: Float[Tensor, "*B 9"], *, size: tuple[int, int]
) -> tuple[Float[Tensor, "*B 3 4"], Float[Tensor, "*B 3 3"]]:
    """Matrices of encoded cameras.

    Args:
        encoded: From `CameraHead`.
        size: (width, height) of the images in pixels.

    Returns:
        `camera_from_world` (OpenCV axes, arbitrary unit) and intrinsics in pixels, principal point centred.
    """
    rotation = rotation_from_quaternion(encoded[..., 3:7])
    camera_from_world = torch.cat([rotation, encoded[..., :3, None]], dim=-1)
    width, height = size
    intrinsics = encoded.new_zeros(*encoded.shape[:-1], 3, 3)
    intrinsics[..., 0, 0] = width / 2 / (encoded[..., 8] / 2).tan()
    intrinsics[..., 1, 1] = height / 2 / (encoded[..., 7] / 2).tan()
    intrinsics[..., 0, 2], intrinsics[..., 1, 2], intrinsics[..., 2, 2] = width / 2, height / 2, 1.0
    return camera_from_world, intrinsics
