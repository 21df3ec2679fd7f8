"""One level of a 2D texture: bilinear lookup, weighted by how near its level is to the wanted one.

A trilinear lookup is the sum over levels l of max(0, 1 - |level - l|) times the bilinear value of level l, so
the kernels know one level only and a stack needs no common memory.
"""

from __future__ import annotations

import numpy as np

from objectscan.render.cpu.jit import kernel


@kernel
def _tap(coordinate, size, repeat):
    """(first texel, second texel, share of the second) on one axis; centres are at (i + 0.5) / size."""
    position = coordinate * size - 0.5
    if repeat:
        position -= np.floor(position / size) * size
    # Written so that a NaN ends up at the border instead of outside the array.
    if not position > -1.0:
        position = -1.0
    if position > size:
        position = float(size)
    below = np.floor(position)
    share = position - below
    i = int(below)
    j = i + 1
    if repeat:
        return i % size, j % size, share
    return min(max(i, 0), size - 1), min(max(j, 0), size - 1), share


@kernel
def _level_weight(levels, p, this):
    """Share of level `this` at point p; 1 if there are no levels."""
    if levels.shape[0] == 0:
        return 1.0
    return max(0.0, 1.0 - abs(np.float64(levels[p]) - this))


@kernel
def add_level(texels, uv, levels, this, repeat, first, last, values):
    """values[p] += weight * texture at uv[p], for first <= p < last; texels [H W C], row 0 at v = 0."""
    height, width, channels = texels.shape
    for p in range(first, last):
        weight = _level_weight(levels, p, this)
        if weight == 0.0:
            continue
        i0, i1, fx = _tap(uv[p, 0], width, repeat)
        j0, j1, fy = _tap(uv[p, 1], height, repeat)
        w00, w01 = weight * (1 - fx) * (1 - fy), weight * fx * (1 - fy)
        w10, w11 = weight * (1 - fx) * fy, weight * fx * fy
        for c in range(channels):
            values[p, c] += (
                w00 * texels[j0, i0, c]
                + w01 * texels[j0, i1, c]
                + w10 * texels[j1, i0, c]
                + w11 * texels[j1, i1, c]
            )


@kernel
def add_level_backward(
    texels, uv, levels, this, repeat, first, last, upstream, need_texels, texels_grad, uv_grad, levels_grad
):
    """Adjoint of `add_level`: adds to texels_grad (if needed), uv_grad [P 2] and levels_grad [P] (or [0])."""
    height, width, channels = texels.shape
    for p in range(first, last):
        weight = _level_weight(levels, p, this)
        if weight == 0.0:
            continue
        i0, i1, fx = _tap(uv[p, 0], width, repeat)
        j0, j1, fy = _tap(uv[p, 1], height, repeat)
        gx, gy, along = 0.0, 0.0, 0.0
        for c in range(channels):
            g = upstream[p, c]
            a, b, d, e = texels[j0, i0, c], texels[j0, i1, c], texels[j1, i0, c], texels[j1, i1, c]
            gx += g * ((b - a) * (1 - fy) + (e - d) * fy)
            gy += g * ((d - a) * (1 - fx) + (e - b) * fx)
            along += g * ((a * (1 - fx) + b * fx) * (1 - fy) + (d * (1 - fx) + e * fx) * fy)
            if need_texels:
                h = weight * g
                texels_grad[j0, i0, c] += h * (1 - fx) * (1 - fy)
                texels_grad[j0, i1, c] += h * fx * (1 - fy)
                texels_grad[j1, i0, c] += h * (1 - fx) * fy
                texels_grad[j1, i1, c] += h * fx * fy
        uv_grad[p, 0] += weight * gx * width
        uv_grad[p, 1] += weight * gy * height
        if levels.shape[0] > 0:
            # The weight falls with |level - this|.
            levels_grad[p] += along if levels[p] < this else -along


@kernel
def footprint_level(footprint, width, height, highest, first, last, levels):
    """levels[p] = log2 of the longer axis of the footprint ellipse in texels of level 0, within [0, highest].

    With the Jacobian's columns x and y in texels, a = |x|^2, b = |y|^2, c = x.y, the squared longer axis is
    (a + b) / 2 + sqrt(((a - b) / 2)^2 + c^2), the larger eigenvalue of J J^T.
    """
    for p in range(first, last):
        ux, uy = np.float64(footprint[p, 0]) * width, np.float64(footprint[p, 1]) * width
        vx, vy = np.float64(footprint[p, 2]) * height, np.float64(footprint[p, 3]) * height
        a, b, c = ux * ux + vx * vx, uy * uy + vy * vy, ux * uy + vx * vy
        squared = 0.5 * (a + b) + np.sqrt(0.25 * (a - b) * (a - b) + c * c)
        # A footprint below one texel, or NaN, is level 0.
        levels[p] = min(0.5 * np.log2(squared), highest) if squared > 1.0 else 0.0


@kernel
def footprint_level_backward(footprint, width, height, highest, first, last, upstream, footprint_grad):
    """Adjoint of `footprint_level`; 0 where the level is clamped."""
    for p in range(first, last):
        ux, uy = np.float64(footprint[p, 0]) * width, np.float64(footprint[p, 1]) * width
        vx, vy = np.float64(footprint[p, 2]) * height, np.float64(footprint[p, 3]) * height
        a, b, c = ux * ux + vx * vx, uy * uy + vy * vy, ux * uy + vx * vy
        root = np.sqrt(0.25 * (a - b) * (a - b) + c * c)
        squared = 0.5 * (a + b) + root
        for k in range(4):
            footprint_grad[p, k] = 0
        if not squared > 1.0 or 0.5 * np.log2(squared) > highest:
            continue
        g = upstream[p] * 0.5 / (squared * np.log(2.0))
        # At a circle (root 0) the larger eigenvalue has a kink: its symmetric subgradient.
        lean = 0.25 * (a - b) / root if root > 0.0 else 0.0
        ga, gb, gc = g * (0.5 + lean), g * (0.5 - lean), (g * c / root if root > 0.0 else 0.0)
        footprint_grad[p, 0] = (2.0 * ga * ux + gc * uy) * width
        footprint_grad[p, 1] = (2.0 * gb * uy + gc * ux) * width
        footprint_grad[p, 2] = (2.0 * ga * vx + gc * vy) * height
        footprint_grad[p, 3] = (2.0 * gb * vy + gc * vx) * height
