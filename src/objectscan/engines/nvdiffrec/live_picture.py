"""What a person sees while a pass runs: now and then the step's first photo beside its rendering."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from objectscan.mesh.preview import progress_picture

_EVERY_S = 3.0
_GROUND = 0.9
"""Shade around the photo's object, as `progress_picture` puts it around the model."""


class LivePicture:
    """Makes pictures of what is rendered anyway, at most one every few seconds: about 3 ms each."""

    def __init__(self, *, every_s: float = _EVERY_S, clock: Callable[[], float] = time.monotonic):
        """The first picture is made of the first step."""
        self._every_s, self._clock, self._next_s = every_s, clock, clock()
        self._picture: UInt8[np.ndarray, "h w 3"] | None = None

    def look(self, rendered: Float[Tensor, "B H W 4"], target: Float[Tensor, "B H W 5"]) -> None:
        """Make a picture of the first view, unless the last one is young.

        Args:
            rendered: sRGB multiplied by coverage, and coverage.
            target: The photos: sRGB multiplied by the mask, the mask, and whether the pixel is known.
        """
        if self._clock() < self._next_s:
            return
        self._next_s = self._clock() + self._every_s
        model = rendered[0].detach().cpu().numpy().clip(0.0, 1.0)
        straight = model[..., :3] / np.maximum(model[..., 3:], 1e-3)
        known = target[0].cpu().numpy()
        photo = known[..., :3] + _GROUND * (1.0 - known[..., 3:4])
        self._picture = progress_picture(
            (photo.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8),
            np.concatenate([straight.clip(0.0, 1.0), model[..., 3:]], axis=-1),
        )

    def take(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """The picture that was made since the last call, if there is one."""
        picture, self._picture = self._picture, None
        return picture
