"""Which triangle is seen at which pixel centre: exact coverage, depth test, near clipping, depth peeling."""

from __future__ import annotations

import numpy as np

from objectscan.render.cpu.jit import kernel

SUBPIXELS = 256
_HALF = 128
_GUARD = 1 << 28
"""Largest snapped coordinate, 2^20 pixels: products of two differences stay within int64."""


_NOT_SNAPPED = -(1 << 30)
"""Column of a vertex that needs the slow, clipping path."""


@kernel
def snap_vertices(clip, width, height, window, depth):
    """Window coordinates [V, 2] in 1/256 pixel and z / w [V] of one view's vertices."""
    for i in range(clip.shape[0]):
        x, y, z, w = clip[i, 0], clip[i, 1], clip[i, 2], clip[i, 3]
        window[i, 0] = _NOT_SNAPPED
        if 0 < w < np.inf and z >= -w:
            fx = (x / w * 0.5 + 0.5) * (width * SUBPIXELS)
            fy = (y / w * 0.5 + 0.5) * (height * SUBPIXELS)
            if abs(fx) < _GUARD and abs(fy) < _GUARD:
                window[i, 0] = np.int32(np.floor(fx + 0.5))
                window[i, 1] = np.int32(np.floor(fy + 0.5))
                depth[i] = z / w


@kernel
def _span(edge, step, first, last):
    """The pixels x of [first, last] with edge + x * step >= 0, exactly."""
    if step > 0:
        if edge < 0:
            first = max(first, -(edge // step))
    elif step < 0:
        last = min(last, np.int64(-1)) if edge < 0 else min(last, edge // (-step))
    elif edge < 0:
        last = np.int64(-1)
    return first, last


@kernel
def _bias(dx, dy):
    """0 if a centre on this edge belongs to the triangle, 1 if to its neighbour (top-left rule)."""
    return 0 if (dy < 0 or (dy == 0 and dx < 0)) else 1


@kernel
def _fill(ax, ay, az, bx, by, bz, cx, cy, cz, triangle, cull, rows, nearest, ids, behind, behind_ids, peel):
    """Scan-convert one snapped triangle into rows[0] <= y < rows[1]."""
    # Most triangles of a fine mesh hold no pixel centre: find out before anything else.
    x_min = max((min(ax, min(bx, cx)) + (_HALF - 1)) >> 8, np.int64(0))
    x_max = min((max(ax, max(bx, cx)) - _HALF) >> 8, np.int64(ids.shape[1] - 1))
    y_min = max((min(ay, min(by, cy)) + (_HALF - 1)) >> 8, np.int64(rows[0]))
    y_max = min((max(ay, max(by, cy)) - _HALF) >> 8, np.int64(rows[1] - 1))
    if x_min > x_max or y_min > y_max:
        return
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    # y points down: a triangle that is counter-clockwise on screen, a front, has a negative area.
    if area == 0 or (cull and area > 0):
        return
    if area < 0:
        bx, cx = cx, bx
        by, cy = cy, by
        bz, cz = cz, bz
        area = -area
    dx0, dy0, dx1, dy1, dx2, dy2 = bx - ax, by - ay, cx - bx, cy - by, ax - cx, ay - cy
    py = y_min * SUBPIXELS + _HALF
    e0 = dx0 * (py - ay) - dy0 * (_HALF - ax) - _bias(dx0, dy0)
    e1 = dx1 * (py - by) - dy1 * (_HALF - bx) - _bias(dx1, dy1)
    e2 = dx2 * (py - cy) - dy2 * (_HALF - cx) - _bias(dx2, dy2)
    s0, s1, s2 = -dy0 * SUBPIXELS, -dy1 * SUBPIXELS, -dy2 * SUBPIXELS
    inverse = 1.0 / float(area)
    zx = ((bz - az) * float(cy - ay) - (cz - az) * float(by - ay)) * inverse
    zy = ((cz - az) * float(bx - ax) - (bz - az) * float(cx - ax)) * inverse
    z_row = az + zx * float(_HALF - ax) + zy * float(py - ay)
    zx *= SUBPIXELS
    zy *= SUBPIXELS
    # Depth of a sliver's plane runs away outside it: keep it between the corners' depths.
    z_low, z_high = min(az, min(bz, cz)), max(az, max(bz, cz))
    wide = x_max - x_min >= 6  # below that, testing each centre is faster than the divisions of three spans
    for y in range(y_min, y_max + 1):
        first, last = x_min, x_max
        if wide:
            first, last = _span(e0, s0, first, last)
            first, last = _span(e1, s1, first, last)
            first, last = _span(e2, s2, first, last)
        f0, f1, f2 = e0 + s0 * first, e1 + s1 * first, e2 + s2 * first
        for x in range(first, last + 1):
            if wide or (f0 | f1 | f2) >= 0:
                z = np.float32(min(max(z_row + zx * x, z_low), z_high))
                if z < nearest[y, x] and not (
                    peel and (z < behind[y, x] or (z == behind[y, x] and triangle <= behind_ids[y, x]))
                ):
                    nearest[y, x] = z
                    ids[y, x] = triangle
            f0 += s0
            f1 += s1
            f2 += s2
        e0 += dx0 * SUBPIXELS
        e1 += dx1 * SUBPIXELS
        e2 += dx2 * SUBPIXELS
        z_row += zy


@kernel
def _snapped(x, y, z, w, width, height):
    guard = float(_GUARD)
    fx = min(max((x / w * 0.5 + 0.5) * (width * SUBPIXELS), -guard), guard)
    fy = min(max((y / w * 0.5 + 0.5) * (height * SUBPIXELS), -guard), guard)
    return np.int64(np.floor(fx + 0.5)), np.int64(np.floor(fy + 0.5)), z / w


@kernel
def _fill_clipped(clip, face, triangle, cull, rows, nearest, ids, behind, behind_ids, peel):
    """Clip at the near plane z = -w, then fill. New corners run from the inside corner to the outside one, so
    that the two triangles of an edge get the same corner.
    """
    polygon = np.zeros((4, 4), np.float64)
    count = 0
    for k in range(3):
        if not np.isfinite(clip[face[k]].sum()):
            return
    for k in range(3):
        a, b = face[k], face[(k + 1) % 3]
        da, db = clip[a, 2] + clip[a, 3], clip[b, 2] + clip[b, 3]
        if da > 0:
            polygon[count] = clip[a]
            count += 1
        if (da > 0) != (db > 0):
            inside, outside = (a, b) if da > 0 else (b, a)
            t = max(da, db) / (max(da, db) - min(da, db))
            for c in range(4):
                polygon[count, c] = clip[inside, c] + t * (clip[outside, c] - clip[inside, c])
            count += 1
    for k in range(count):
        if polygon[k, 3] <= 1e-12:
            return
    height, width = ids.shape
    for k in range(1, count - 1):
        a, b, c = polygon[0], polygon[k], polygon[k + 1]
        ax, ay, az = _snapped(a[0], a[1], a[2], a[3], width, height)
        bx, by, bz = _snapped(b[0], b[1], b[2], b[3], width, height)
        cx, cy, cz = _snapped(c[0], c[1], c[2], c[3], width, height)
        _fill(
            ax, ay, az, bx, by, bz, cx, cy, cz, triangle, cull, rows, nearest, ids, behind, behind_ids, peel
        )


@kernel
def visibility(clip, faces, window, depth, cull, rows, nearest, ids, behind, behind_ids, peel):
    """Nearest triangle of every pixel centre in rows[0] <= y < rows[1] of one view; -1 where there is none.

    With `peel`, only fragments behind (behind, behind_ids) count: the layer that an earlier call saw.
    """
    for y in range(rows[0], rows[1]):
        for x in range(ids.shape[1]):
            nearest[y, x] = 1.0000001
            ids[y, x] = -1
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, bx, cx = np.int64(window[a, 0]), np.int64(window[b, 0]), np.int64(window[c, 0])
        if min(ax, min(bx, cx)) == _NOT_SNAPPED:
            _fill_clipped(clip, faces[t], t, cull, rows, nearest, ids, behind, behind_ids, peel)
            continue
        ay, by, cy = np.int64(window[a, 1]), np.int64(window[b, 1]), np.int64(window[c, 1])
        az, bz, cz = np.float64(depth[a]), np.float64(depth[b]), np.float64(depth[c])
        _fill(
            ax, ay, az, bx, by, bz, cx, cy, cz, t, cull, rows, nearest, ids, behind, behind_ids, peel
        )  # fmt: skip
