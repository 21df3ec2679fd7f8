"""Triangles to pixels: which triangle each centre sees, where on it, and how that changes over the screen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from objectscan.render.devices import backend_of


@dataclass(frozen=True)
class Hits:
    """What `rasterize` saw, for N views of H x W pixels. Row 0 is the top of the image."""

    triangle: Int32[Tensor, "N H W"]
    """Index of the nearest triangle, -1 where there is none."""
    barycentrics: Float[Tensor, "N H W 2"]
    """Weights (u, v) of corners 0 and 1, in [0, 1]; differentiable in the clip positions; 0 where empty."""
    depth: Float[Tensor, "N H W"]
    """z / w in [-1, 1]; 1 where empty. Carries no gradient."""
    derivatives: Float[Tensor, "N H W 4"] | None
    """(du/dX, du/dY, dv/dX, dv/dY) per pixel, X to the right and Y down; differentiable."""
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    # What the backend needs again, for peeling and for gradients; and the list of covered pixels.
    face_count: int | None = None
    """How many faces were rasterised, if known."""

    @property
    def covered(self) -> Bool[Tensor, "N H W"]:
        """Where something was hit."""
        return self.triangle >= 0

    def pixels(self) -> Int64[Tensor, " P"]:
        """Flat indices (view, row, column order) of the covered pixels.

        On a GPU its length has to be waited for, unless the hits are `padded`: then it ends with -1.
        """
        if "pixels" not in self._cache:
            self._cache["pixels"] = backend_of(self.triangle).covered_pixels(self.triangle)
        pixels: Tensor = self._cache["pixels"]
        return pixels

    def views(self) -> Int64[Tensor, " P"]:
        """The view of each covered pixel."""
        if "views" not in self._cache:
            self._cache["views"] = self.pixels() // (self.triangle.shape[1] * self.triangle.shape[2])
        views: Tensor = self._cache["views"]
        return views

    def padded(self, capacity: int) -> Hits:
        """The same hits, with lists of covered pixels of a fixed length.

        Nothing waits for the GPU then, and a CUDA graph can hold the step. Surplus rows belong to pixel -1:
        `interpolate_covered` gives zeros there, `scatter_covered` skips them. Pixels beyond the capacity are
        left out, and `overflow` is True. On the CPU lists have the right length already: nothing changes.
        """
        if self.triangle.device.type == "cpu":
            return self
        pixels, count = backend_of(self.triangle).padded_pixels(self.triangle, capacity)
        kept = {key: value for key, value in self._cache.items() if key not in ("pixels", "views")}
        return replace(self, _cache={**kept, "pixels": pixels, "overflow": count > capacity})

    @property
    def overflow(self) -> Bool[Tensor, ""] | None:
        """Whether a `padded` list was too short for the covered pixels; None if the lists are not padded."""
        return self._cache.get("overflow")


def rasterize(
    clip_positions: Float[Tensor, "N V 4"],
    faces: Int32[Tensor, "F 3"],
    size: tuple[int, int],
    *,
    derivatives: bool = False,
    behind: Hits | None = None,
    cull: Literal["none", "back"] = "none",
) -> Hits:
    """Find the nearest triangle at every pixel centre.

    Coverage is exact: corners are snapped to 1/256 pixel, and a centre on a shared edge belongs to one side
    only. Triangles are clipped at the near plane. Differentiable in `clip_positions` through barycentrics
    and their derivatives; coverage itself has no gradient here (`antialias` has it).

    Args:
        clip_positions: (x, y, z, w), y down, so that NDC (-1, -1) is the top-left corner of the image.
        faces: Corner indices, counter-clockwise seen from outside.
        size: (width, height) in pixels.
        derivatives: Also return screen derivatives of the barycentrics.
        behind: Depth peeling: only what lies behind these hits counts.
        cull: "back" drops triangles seen from inside.

    On a GPU nothing is waited for: a face with a corner that doesn't exist is left out instead of reported,
    and a CUDA graph can hold the call. Positions must be float32 there.

    Raises:
        InputError: A face has a corner that doesn't exist (on the CPU).
        ResourceError: The tensors are not on one device that the renderer has a backend for.
    """
    backend = backend_of(clip_positions, faces)
    barycentrics, slopes, triangle, depth, cache = backend.rasterize(
        clip_positions, faces, size, derivatives, None if behind is None else behind._cache, cull == "back"
    )
    return Hits(triangle, barycentrics, depth, slopes, cache, len(faces))
