"""Texels of an atlas: which point of the surface each one shows, and how to fill those that show none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from numba import njit

from objectscan.render.rasterize import rasterize
from objectscan.types import Mesh, UvMap


@dataclass(frozen=True, slots=True)
class TexelMap:
    """The covered texels of a square atlas, P of them."""

    index: Int64[np.ndarray, P]
    """Flat texel, row-major; row 0 is v = 0."""
    face: Int64[np.ndarray, P]
    barycentrics: Float[np.ndarray, "P 3"]
    """Weights of the face's three corners at the texel's centre."""


def texel_coverage(mesh: Mesh, uv: UvMap, size_px: int) -> TexelMap:
    """Which face covers each texel's centre, rasterised like a view; a shared edge belongs to one face."""
    clip = np.zeros((1, len(uv.coordinates), 4), np.float32)
    clip[0, :, :2] = 2.0 * uv.coordinates - 1.0
    clip[0, :, 3] = 1.0
    hits = rasterize(torch.from_numpy(clip), torch.from_numpy(uv.faces), (size_px, size_px))
    index = hits.pixels().numpy()
    first_two = hits.barycentrics.reshape(-1, 2).numpy()[index].astype(np.float64)
    barycentrics = np.concatenate([first_two, 1.0 - first_two.sum(axis=1, keepdims=True)], axis=1)
    return TexelMap(index, hits.triangle.numpy().reshape(-1)[index].astype(np.int64), barycentrics)


def surface_points(mesh: Mesh, texels: TexelMap) -> Float32[np.ndarray, "P 3"]:
    """Position on the surface of each covered texel's centre."""
    corners = mesh.vertices[mesh.faces[texels.face]]
    return np.einsum("pk,pkc->pc", texels.barycentrics, corners).astype(np.float32)


def push_pull(
    image: Float32[np.ndarray, "H W C"], covered: Bool[np.ndarray, "H W"]
) -> Float32[np.ndarray, "H W C"]:
    """Fill the uncovered texels smoothly from the covered ones, which stay as they are.

    A pyramid of means over covered texels, read back from coarse to fine (Gortler et al. 1996): no seam
    shows at any mip level, since each level's gutter holds the mean of what lies beside it. Sizes need not
    be powers of two.
    """
    weights = covered.astype(np.float32)
    return _filled(np.where(covered[..., None], image, 0.0).astype(np.float32), weights)


def _filled(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`image` is premultiplied by `weights`."""
    height, width = weights.shape
    safe = np.maximum(weights, 1e-8)[..., None]
    if weights.min() > 0 or max(height, width) == 1:
        return image / safe
    pad = ((0, height % 2), (0, width % 2))
    coarse_weights = _halved(np.pad(weights, pad)[..., None])[..., 0]
    coarse_image = _halved(np.pad(image, (*pad, (0, 0))))
    # A coarse texel with some cover counts as covered: its mean is of the covered texels alone.
    full = np.maximum(coarse_weights, 1e-8)[..., None]
    known = (coarse_weights > 0).astype(np.float32)
    coarse = _filled(np.where(known[..., None] > 0, coarse_image / full, 0.0), known)
    return _merged(image, weights, coarse)


def _halved(image: np.ndarray) -> np.ndarray:
    return 0.25 * (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2])


@njit(cache=True, nogil=True)
def _merged(image, weights, coarse):
    """Covered texels from `image`, the others bilinearly from the level above."""
    height, width, channels = image.shape
    result = image.copy()
    rows, columns = coarse.shape[0], coarse.shape[1]
    for y in range(height):
        for x in range(width):
            if weights[y, x] > 0:
                for c in range(channels):
                    result[y, x, c] /= weights[y, x]
                continue
            cy, cx = 0.5 * y - 0.25, 0.5 * x - 0.25
            y0, x0 = int(np.floor(cy)), int(np.floor(cx))
            fy, fx = cy - y0, cx - x0
            y1, x1 = min(max(y0 + 1, 0), rows - 1), min(max(x0 + 1, 0), columns - 1)
            y0, x0 = min(max(y0, 0), rows - 1), min(max(x0, 0), columns - 1)
            for c in range(channels):
                top = coarse[y0, x0, c] * (1 - fx) + coarse[y0, x1, c] * fx
                bottom = coarse[y1, x0, c] * (1 - fx) + coarse[y1, x1, c] * fx
                result[y, x, c] = top * (1 - fy) + bottom * fy
    return result
