"""First guesses of the photos' cameras: what VGGT's camera head says of the prepared pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from objectscan.engines.reconviagen.network_source import NetworkSource
from objectscan.engines.reconviagen.networks import published
from objectscan.engines.reconviagen.networks.camera_head import camera_matrices
from objectscan.engines.reconviagen.pipeline import CutOut
from objectscan.engines.reconviagen.preparation import (
    EDGE_PX,
    network_input,
    photo_from_prepared,
    prepared,
)
from objectscan.errors import OptimisationDiverged
from objectscan.types import Camera, View

_NARROWEST_RAD, _WIDEST_RAD = 0.05, 2.5
"""Fields of view of the prepared square; the head's own may be 0, which no lens has."""


@torch.inference_mode()
def predicted_cameras(
    photos: Sequence[CutOut], networks: NetworkSource, *, device: torch.device, edge_px: int = EDGE_PX
) -> tuple[Camera, ...]:
    """A camera for each photo, in the frame of the first one; the unit of length is arbitrary.

    The head takes the middle of each prepared square for the principal point, which for a photo that shows
    the object off its middle is only nearly so: `hybrid.cameras` turns such a camera a little.

    Args:
        photos: As for `pipeline.generate`, in the same order.
        networks: Of the collection `reconviagen`; the other one has no camera head.
        device: Where to compute.
        edge_px: Edge of the networks' pictures, divisible by 14.

    Raises:
        BadMasks: A photo shows nothing.
        OptimisationDiverged: A value is NaN or infinite.
    """
    pictures = [prepared(photo.rgba_srgb, name=photo.name, edge_px=edge_px) for photo in photos]
    images = network_input(pictures).to(device)
    with networks.open(published.VGGT, device, part="aggregator") as aggregator:
        tokens = aggregator(images[None])[-1].float()
    with networks.open(published.VGGT, device, part="camera_head") as head:
        encoded = head(tokens)[-1][0].double().cpu()
    if not bool(encoded.isfinite().all()):
        raise OptimisationDiverged(
            "The predicted cameras became infinite or undefined.", hint="Download the weights again."
        )
    encoded[:, 7:] = encoded[:, 7:].clamp(_NARROWEST_RAD, _WIDEST_RAD)
    matrices, intrinsics = camera_matrices(encoded, size=(edge_px, edge_px))
    return tuple(
        _camera(photo, matrix, lens, edge_px)
        for photo, matrix, lens in zip(photos, matrices.numpy(), intrinsics.numpy(), strict=True)
    )


def with_cameras(views: Sequence[View], cameras: Sequence[Camera]) -> tuple[View, ...]:
    """The views with other cameras, in the same order."""
    return tuple(replace(view, camera=camera) for view, camera in zip(views, cameras, strict=True))


def _camera(
    photo: CutOut, matrix: Float[np.ndarray, "3 4"], lens: Float[np.ndarray, "3 3"], edge_px: int
) -> Camera:
    height, width = photo.rgba_srgb.shape[:2]
    from_prepared = photo_from_prepared(photo.rgba_srgb[..., 3], name=photo.name, edge_px=edge_px)
    camera_from_world = np.concatenate([matrix, [[0, 0, 0, 1.0]]])
    return Camera(from_prepared @ lens, np.linalg.inv(camera_from_world), (width, height))
