"""Trilinear lookup in a stack of cubemaps, seamless across faces and at corners, with gradients.

A stack is stored flat, all levels [T, C], with a map of padded levels: for level l, face f, padded row j and
column i, sources[source_starts[l] + (f (E + 2) + j) (E + 2) + i] is the row of the texel; row and column 0
and E + 1 are the neighbours' texels. Beyond a corner of the cube there is no texel (-1): the mean of the
other three stands in for it, which all three faces at that corner agree on.
"""

from __future__ import annotations

import numpy as np

from objectscan.render.cpu.jit import kernel


@kernel
def _project(x, y, z):
    """OpenGL face of a direction, its coordinates there in [-1, 1], and 1 / |major component|.

    A direction that is zero or no number looks at the middle of +z, with 0 for the last: it has no gradient.
    """
    ax, ay, az = abs(x), abs(y), abs(z)
    if ax >= ay and ax >= az:
        face, s, t, m = (0, -z, -y, ax) if x > 0 else (1, z, -y, ax)
    elif ay >= az:
        face, s, t, m = (2, x, z, ay) if y > 0 else (3, x, -z, ay)
    else:
        face, s, t, m = (4, x, -y, az) if z > 0 else (5, -x, -y, az)
    inverse = 1.0 / m if m > 0.0 else 0.0
    s, t = s * inverse, t * inverse
    if not (abs(s) <= 1.0 and abs(t) <= 1.0 and 0.0 < inverse < np.inf):
        return 4, 0.0, 0.0, 0.0
    return face, s, t, inverse


@kernel
def _cell(sources, start, edge, face, s, t):
    """Rows of the four texels around a point of a face, and the shares of the right and of the lower ones."""
    column, row = (s + 1.0) * 0.5 * edge + 0.5, (t + 1.0) * 0.5 * edge + 0.5
    i, j = min(max(int(column), 0), edge), min(max(int(row), 0), edge)
    at = start + (face * (edge + 2) + j) * (edge + 2) + i
    below = at + edge + 2
    return sources[at], sources[at + 1], sources[below], sources[below + 1], column - i, row - j


@kernel
def _texels(texels, a, b, c, d, channel):
    """Values of the four texels; the missing one, if any, is the mean of the others."""
    if min(min(a, b), min(c, d)) >= 0:
        return texels[a, channel], texels[b, channel], texels[c, channel], texels[d, channel]
    va = texels[a, channel] if a >= 0 else 0.0
    vb = texels[b, channel] if b >= 0 else 0.0
    vc = texels[c, channel] if c >= 0 else 0.0
    vd = texels[d, channel] if d >= 0 else 0.0
    mean = (va + vb + vc + vd) / 3.0
    return va if a >= 0 else mean, vb if b >= 0 else mean, vc if c >= 0 else mean, vd if d >= 0 else mean


@kernel
def _scatter(gradient, a, b, c, d, channel, fx, fy, g):
    """Adjoint of reading four texels with bilinear weights."""
    ga, gb, gc, gd = g * (1 - fx) * (1 - fy), g * fx * (1 - fy), g * (1 - fx) * fy, g * fx * fy
    spill = 0.0
    if min(min(a, b), min(c, d)) < 0:
        missing = ga if a < 0 else (gb if b < 0 else (gc if c < 0 else gd))
        spill = missing / 3.0
    if a >= 0:
        gradient[a, channel] += ga + spill
    if b >= 0:
        gradient[b, channel] += gb + spill
    if c >= 0:
        gradient[c, channel] += gc + spill
    if d >= 0:
        gradient[d, channel] += gd + spill


@kernel
def _rung(level, count):
    """(finer level, share of the next coarser one); a level that is no number is 0."""
    inside = min(level, count - 1.0) if level > 0.0 else 0.0
    low = min(int(inside), max(count - 2, 0))
    return low, inside - low


@kernel
def lookup(texels, sources, source_starts, edges, directions, levels, first, last, values):
    """values[p] = stack at directions[p] and fractional level levels[p]."""
    for p in range(first, last):
        low, share = _rung(levels[p], edges.shape[0])
        face, s, t, _ = _project(directions[p, 0], directions[p, 1], directions[p, 2])
        for channel in range(texels.shape[1]):
            values[p, channel] = 0
        for k in range(2):
            weight = share if k else 1.0 - share
            if weight == 0.0:
                continue
            a, b, c, d, fx, fy = _cell(sources, source_starts[low + k], edges[low + k], face, s, t)
            for channel in range(texels.shape[1]):
                va, vb, vc, vd = _texels(texels, a, b, c, d, channel)
                upper, lower = va * (1 - fx) + vb * fx, vc * (1 - fx) + vd * fx
                values[p, channel] += weight * (upper * (1 - fy) + lower * fy)


@kernel
def lookup_backward(
    texels, sources, source_starts, edges, directions, levels, first, last, upstream, texels_grad,
    directions_grad, levels_grad,
):  # fmt: skip
    """Adjoint of `lookup`: adds to texels_grad, writes directions_grad and levels_grad."""
    count = edges.shape[0]
    for p in range(first, last):
        low, share = _rung(levels[p], count)
        face, s, t, inverse = _project(directions[p, 0], directions[p, 1], directions[p, 2])
        gs, gt, g_level = 0.0, 0.0, 0.0
        for k in range(min(2, count)):
            weight, edge = share if k else 1.0 - share, edges[low + k]
            a, b, c, d, fx, fy = _cell(sources, source_starts[low + k], edge, face, s, t)
            for channel in range(texels.shape[1]):
                g = upstream[p, channel]
                va, vb, vc, vd = _texels(texels, a, b, c, d, channel)
                value = (va * (1 - fx) + vb * fx) * (1 - fy) + (vc * (1 - fx) + vd * fx) * fy
                g_level += g * (value if k else -value)
                gs += g * weight * ((vb - va) * (1 - fy) + (vd - vc) * fy) * 0.5 * edge
                gt += g * weight * ((vc - va) * (1 - fx) + (vd - vb) * fx) * 0.5 * edge
                _scatter(texels_grad, a, b, c, d, channel, fx, fy, g * weight)
        levels_grad[p] = g_level if 0.0 <= levels[p] <= count - 1.0 and count > 1 else 0.0
        # s = S / m and t = T / m: the quotient rule, then back to the face's axes.
        gm = -(gs * s + gt * t) * inverse
        gs, gt = gs * inverse, gt * inverse
        if face == 0:
            gx, gy, gz = gm, -gt, -gs
        elif face == 1:
            gx, gy, gz = -gm, -gt, gs
        elif face == 2:
            gx, gy, gz = gs, gm, gt
        elif face == 3:
            gx, gy, gz = gs, -gm, -gt
        elif face == 4:
            gx, gy, gz = gs, -gt, gm
        else:
            gx, gy, gz = -gs, -gt, -gm
        directions_grad[p, 0], directions_grad[p, 1], directions_grad[p, 2] = gx, gy, gz
