"""Triangles to pixels: which triangle each centre sees, where on it, and how that changes over the screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from objectscan.render.cpu import barycentric, coverage
from objectscan.render.devices import array_of, indices_of, require_cpu
from objectscan.render.threads import run_jobs, view_bands


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
    _cache: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    # "buffer": the float32 depth that coverage compared, which peeling has to compare with again.
    face_count: int | None = None
    """How many faces were rasterised, if known."""

    @property
    def covered(self) -> Bool[Tensor, "N H W"]:
        """Where something was hit."""
        return self.triangle >= 0

    def pixels(self) -> Int64[Tensor, " P"]:
        """Flat indices (view, row, column order) of the covered pixels."""
        if "pixels" not in self._cache:
            self._cache["pixels"] = torch.from_numpy(np.flatnonzero(self.triangle.numpy().ravel() >= 0))
        return self._cache["pixels"]

    def views(self) -> Int64[Tensor, " P"]:
        """The view of each covered pixel."""
        if "views" not in self._cache:
            self._cache["views"] = self.pixels() // (self.triangle.shape[1] * self.triangle.shape[2])
        return self._cache["views"]


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

    Raises:
        InputError: A face has a corner that doesn't exist.
        ResourceError: The tensors are not on the CPU.
    """
    require_cpu(clip_positions, faces)
    layer = None if behind is None else (behind._cache["buffer"], behind.triangle)
    barycentrics, slopes, triangle, depth, buffer = _Rasterize.apply(
        clip_positions, indices_of(faces, clip_positions.shape[1]), size, derivatives, layer, cull == "back"
    )
    return Hits(
        triangle, barycentrics, depth, slopes if derivatives else None, {"buffer": buffer}, len(faces)
    )


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, clip: Tensor, triangles: np.ndarray, size: Any, derivatives: bool, layer: Any, cull: bool
    ) -> Any:
        views, (width, height) = clip.shape[0], size
        corners = array_of(clip)
        kind = corners.dtype
        ids = np.zeros((views, height, width), np.int32)
        nearest = np.zeros((views, height, width), np.float32)
        barycentrics = np.zeros((views, height, width, 2), kind)
        depth = np.zeros((views, height, width), kind)
        slopes = np.zeros((views, height, width, 4) if derivatives else (views, 1, 1, 4), kind)
        window = run_jobs(
            lambda view: _snapped(corners[view], width, height), [(view,) for view in range(views)]
        )
        peeled = (nearest, ids) if layer is None else (layer[0].numpy(), layer[1].numpy())

        def job(view: int, first: int, last: int) -> None:
            coverage.visibility(
                corners[view], triangles, *window[view], cull, (first, last), nearest[view], ids[view],
                peeled[0][view], peeled[1][view], layer is not None,
            )  # fmt: skip
            barycentric.resolve(
                corners[view], triangles, ids[view], (first, last), barycentrics[view], depth[view],
                slopes[view], derivatives,
            )  # fmt: skip

        run_jobs(job, view_bands(views, height))
        ctx.saved = corners, triangles, ids, derivatives
        ctx.set_materialize_grads(False)
        outputs = [torch.from_numpy(array) for array in (barycentrics, slopes, ids, depth, nearest)]
        ctx.mark_non_differentiable(*outputs[2:])
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        corners, triangles, ids, derivatives = ctx.saved
        from_barycentrics, from_slopes = upstream[:2]
        use_slopes = derivatives and from_slopes is not None
        if from_barycentrics is None and not use_slopes:
            return (None,) * 6
        views, height, width = ids.shape
        if from_barycentrics is None:
            first_grad = np.zeros((views, height, width, 2), corners.dtype)
        else:
            first_grad = array_of(from_barycentrics)
        if from_slopes is None:
            second_grad = np.zeros((views, 1, 1, 4), corners.dtype)
        else:
            second_grad = array_of(from_slopes)
        jobs = view_bands(views, height)
        parts = np.zeros((len(jobs), *corners.shape[1:]), corners.dtype)

        def job(part: int, view: int, first: int, last: int) -> None:
            barycentric.resolve_backward(
                corners[view], triangles, ids[view], (first, last), first_grad[view], second_grad[view],
                use_slopes, parts[part],
            )  # fmt: skip

        run_jobs(job, [(part, *band) for part, band in enumerate(jobs)])
        gradient = np.zeros_like(corners)
        for part, (view, _, _) in zip(parts, jobs, strict=True):
            gradient[view] += part
        return torch.from_numpy(gradient), None, None, None, None, None


def _snapped(corners: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    window, depth = np.zeros((len(corners), 2), np.int32), np.zeros(len(corners), np.float32)
    coverage.snap_vertices(corners, width, height, window, depth)
    return window, depth
