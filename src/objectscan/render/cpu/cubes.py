"""Trilinear lookup in a stack of cubemaps, seamless across faces, with gradients."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True, inline="always")
def _face(x, y, z):
    """OpenGL face of a direction, and s, t, m with face coordinates (s / m, t / m) in [-1, 1]."""
    ax, ay, az = abs(x), abs(y), abs(z)
    if ax >= ay and ax >= az:
        return (0, -z, -y, ax) if x > 0 else (1, z, -y, ax)
    if ay >= az:
        return (2, x, z, ay) if y > 0 else (3, x, -z, ay)
    return (4, x, -y, az) if z > 0 else (5, -x, -y, az)


@njit(cache=True, nogil=True, inline="always")
def _taps(x, y, z, edge):
    face, s, t, m = _face(x, y, z)
    column = (s / m + 1.0) * 0.5 * edge + 0.5
    row = (t / m + 1.0) * 0.5 * edge + 0.5
    i, j = min(max(int(column), 0), edge), min(max(int(row), 0), edge)
    return face, i, j, column - i, row - j


@njit(cache=True, nogil=True)
def lookup(texels, sources, source_starts, edges, directions, levels, first, last, values):
    """values[p] = stack at directions[p] and fractional level levels[p].

    texels: all levels, flat [T, C]. sources: flat index map; for level l, face f, padded row j and column i it holds
    the texel at source_starts[l] + (f (E + 2) + j) (E + 2) + i, where row and column 0 and E + 1 are the neighbours'.
    """
    for p in range(first, last):
        level = min(max(levels[p], 0.0), edges.shape[0] - 1.0)
        low = min(int(level), max(edges.shape[0] - 2, 0))
        share = level - low
        for c in range(texels.shape[1]):
            values[p, c] = 0
        for k in range(2):
            weight = share if k else 1.0 - share
            if weight == 0.0:
                continue
            edge = edges[low + k]
            face, i, j, fx, fy = _taps(directions[p, 0], directions[p, 1], directions[p, 2], edge)
            at = source_starts[low + k] + (face * (edge + 2) + j) * (edge + 2) + i
            s00, s01, s10, s11 = sources[at], sources[at + 1], sources[at + edge + 2], sources[at + edge + 3]
            for c in range(texels.shape[1]):
                top = texels[s00, c] * (1 - fx) + texels[s01, c] * fx
                bottom = texels[s10, c] * (1 - fx) + texels[s11, c] * fx
                values[p, c] += weight * (top * (1 - fy) + bottom * fy)


@njit(cache=True, nogil=True)
def lookup_backward(
    texels, sources, source_starts, edges, directions, levels, first, last, upstream, texels_grad, directions_grad,
    levels_grad,
):  # fmt: skip
    """Adjoint of `lookup`: adds to texels_grad, writes directions_grad and levels_grad."""
    for p in range(first, last):
        level = min(max(levels[p], 0.0), edges.shape[0] - 1.0)
        low = min(int(level), max(edges.shape[0] - 2, 0))
        share = level - low
        x, y, z = directions[p, 0], directions[p, 1], directions[p, 2]
        face, s, t, m = _face(x, y, z)
        gs, gt, g_level = 0.0, 0.0, 0.0
        for k in range(min(2, edges.shape[0])):
            weight = share if k else 1.0 - share
            edge = edges[low + k]
            _, i, j, fx, fy = _taps(x, y, z, edge)
            at = source_starts[low + k] + (face * (edge + 2) + j) * (edge + 2) + i
            s00, s01, s10, s11 = sources[at], sources[at + 1], sources[at + edge + 2], sources[at + edge + 3]
            for c in range(texels.shape[1]):
                g = upstream[p, c]
                a, b, d, e = texels[s00, c], texels[s01, c], texels[s10, c], texels[s11, c]
                value = (a * (1 - fx) + b * fx) * (1 - fy) + (d * (1 - fx) + e * fx) * fy
                g_level += g * (value if k else -value)
                gs += g * weight * ((b - a) * (1 - fy) + (e - d) * fy) * 0.5 * edge
                gt += g * weight * ((d - a) * (1 - fx) + (e - b) * fx) * 0.5 * edge
                g *= weight
                texels_grad[s00, c] += g * (1 - fx) * (1 - fy)
                texels_grad[s01, c] += g * fx * (1 - fy)
                texels_grad[s10, c] += g * (1 - fx) * fy
                texels_grad[s11, c] += g * fx * fy
        levels_grad[p] = g_level if 0.0 <= levels[p] <= edges.shape[0] - 1.0 and edges.shape[0] > 1 else 0.0
        gm = -(gs * s + gt * t) / (m * m)
        gs /= m
        gt /= m
        if face == 0:
            directions_grad[p, 0], directions_grad[p, 1], directions_grad[p, 2] = gm, -gt, -gs
        elif face == 1:
            directions_grad[p, 0], directions_grad[p, 1], directions_grad[p, 2] = -gm, -gt, gs
        elif face == 2:
            directions_grad[p, 0], directions_grad[p, 1], directions_grad[p, 2] = gs, gm, gt
        elif face == 3:
            directions_grad[p, 0], directions_grad[p, 1], directions_grad[p, 2] = gs, -gm, -gt
        elif face == 4:
            directions_grad[p, 0], directions_grad[p, 1], directions_grad[p, 2] = gs, -gt, gm
        else:
            directions_grad[p, 0], directions_grad[p, 1], directions_grad[p, 2] = -gs, -gt, -gm
