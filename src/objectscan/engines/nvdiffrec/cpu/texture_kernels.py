"""Numba kernels of a square texture whose gradient touches few texels: bilinear lookup and its adjoint."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True, inline="always")
def _tap(coordinate, size):
    position = min(max(coordinate * size - 0.5, 0.0), size - 1.0)
    first = min(int(position), size - 2)
    return first, position - first


@njit(cache=True, nogil=True)
def lookup(texels, size, uv, first, last, values):
    """values[p] = bilinear texture at uv[p]; row-major texels [size * size, C], clamped at the border."""
    for p in range(first, last):
        i, fx = _tap(uv[p, 0], size)
        j, fy = _tap(uv[p, 1], size)
        row = j * size + i
        for c in range(texels.shape[1]):
            low = texels[row, c] * (1 - fx) + texels[row + 1, c] * fx
            high = texels[row + size, c] * (1 - fx) + texels[row + size + 1, c] * fx
            values[p, c] = low * (1 - fy) + high * fy


@njit(cache=True, nogil=True)
def lookup_backward(texels, size, uv, upstream, texel_grad, touched):
    """Add to texel_grad and mark the rows. No gradient to uv: the atlas is fixed in this pass."""
    for p in range(uv.shape[0]):
        i, fx = _tap(uv[p, 0], size)
        j, fy = _tap(uv[p, 1], size)
        row = j * size + i
        for c in range(texels.shape[1]):
            g = upstream[p, c]
            texel_grad[row, c] += (1 - fx) * (1 - fy) * g
            texel_grad[row + 1, c] += fx * (1 - fy) * g
            texel_grad[row + size, c] += (1 - fx) * fy * g
            texel_grad[row + size + 1, c] += fx * fy * g
        touched[row] = 1
        touched[row + 1] = 1
        touched[row + size] = 1
        touched[row + size + 1] = 1
