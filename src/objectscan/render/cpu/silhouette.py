"""Adjacency, the walk to the silhouette, and the blend of pixel pairs that a silhouette separates."""

from __future__ import annotations

import numpy as np

from objectscan.render.cpu.jit import kernel


@kernel
def build_adjacency(faces, vertex_count):
    """adjacency[t, k] = triangle across the edge opposite to corner k; -1 at a boundary or a fan of three."""
    start = np.zeros(vertex_count + 1, np.int64)
    for t in range(faces.shape[0]):
        for k in range(3):
            start[min(faces[t, (k + 1) % 3], faces[t, (k + 2) % 3]) + 1] += 1
    for i in range(vertex_count):
        start[i + 1] += start[i]
    cursor = start.copy()
    slots = np.zeros(3 * faces.shape[0], np.int32)
    for t in range(faces.shape[0]):
        for k in range(3):
            low = min(faces[t, (k + 1) % 3], faces[t, (k + 2) % 3])
            slots[cursor[low]] = 3 * t + k
            cursor[low] += 1
    adjacency = np.full((faces.shape[0], 3), -1, np.int32)
    for low in range(vertex_count):
        for i in range(start[low], start[low + 1]):
            t, k = slots[i] // 3, slots[i] % 3
            if adjacency[t, k] != -1:
                continue
            high = max(faces[t, (k + 1) % 3], faces[t, (k + 2) % 3])
            others, other_t, other_k = 0, 0, 0
            for j in range(start[low], start[low + 1]):
                a, b = slots[j] // 3, slots[j] % 3
                if j != i and max(faces[a, (b + 1) % 3], faces[a, (b + 2) % 3]) == high:
                    others += 1
                    other_t, other_k = a, b
            if others == 1:
                adjacency[t, k] = other_t
                adjacency[other_t, other_k] = t
    return adjacency


@kernel
def _side(clip, a, b, fx, fy):
    """q_a x q_b at the NDC point: the side of edge ab on which it lies (times the w's)."""
    ax, ay = clip[a, 0] - fx * clip[a, 3], clip[a, 1] - fy * clip[a, 3]
    bx, by = clip[b, 0] - fx * clip[b, 3], clip[b, 1] - fy * clip[b, 3]
    return ax * by - ay * bx


@kernel
def _turn(clip, a, b, c):
    """Side of corner c of the plane through the eye and edge ab: the determinant of the rows (x, y, w)."""
    ax, ay, aw = np.float64(clip[a, 0]), np.float64(clip[a, 1]), np.float64(clip[a, 3])
    bx, by, bw = clip[b, 0], clip[b, 1], clip[b, 3]
    return (
        clip[c, 0] * (ay * bw - aw * by) + clip[c, 1] * (aw * bx - ax * bw) + clip[c, 3] * (ax * by - ay * bx)
    )


@kernel
def _place(clip, vertex, axis, across, along):
    """A vertex relative to the line of a pixel pair: (distance from the line, position on it, w), times w.

    The line runs along `axis` (0 or 1) at the NDC coordinate `across`; positions count from `along`.
    """
    w = np.float64(clip[vertex, 3])
    return clip[vertex, 1 - axis] - across * w, clip[vertex, axis] - along * w, w


@kernel
def _crossing(a, b, step):
    """Where the edge between two placed vertices crosses the line, in units of `step`; inf if it doesn't."""
    begin = a[1] * b[0] - b[1] * a[0]
    change = step * (a[2] * b[0] - b[2] * a[0])
    return begin / change if change != 0.0 else np.inf


@kernel
def _slot(faces, triangle, vertex):
    """Which corner of a triangle a vertex is."""
    if faces[triangle, 0] == vertex:
        return 0
    return 1 if faces[triangle, 1] == vertex else 2


@kernel
def _are_joined(clip, faces, adjacency, near, far, axis, across, along, step):
    """True if two triangles share an edge that the line crosses between the centres: no silhouette is there.

    What `_walk` would find in its first step, for a third of its cost: most pairs inside a surface are such.
    """
    if far < 0:
        return False
    for k in range(3):
        if adjacency[near, k] == far:
            a = _place(clip, faces[near, (k + 1) % 3], axis, across, along)
            b = _place(clip, faces[near, (k + 2) % 3], axis, across, along)
            return (a[0] >= 0) != (b[0] >= 0) and 0.0 <= _crossing(a, b, step) <= 1.0
    return False


@kernel
def _walk(clip, faces, adjacency, start, stop, axis, across, along, step, max_steps):
    """Follow a pixel pair's line from the near centre, in triangle `start`, to a silhouette on the way.

    The line is cut by the plane through the eye and both centres: the walk follows that cut of the surface
    from triangle to triangle, leaving each by its edge whose ends lie on different sides of the plane. One
    new vertex a step: one distance, one crossing, one determinant.

    Returns (a, b, s): the silhouette edge, and where between the centres it crosses; a = -1 if there is none
    before the far centre or before triangle `stop` is reached.
    """
    i, j, k = faces[start, 0], faces[start, 1], faces[start, 2]
    pi = _place(clip, i, axis, across, along)
    pj = _place(clip, j, axis, across, along)
    pk = _place(clip, k, axis, across, along)
    # The corner that is alone on its side touches both edges that the line crosses. Leave by the later one.
    if (pi[0] >= 0) == (pj[0] >= 0):
        if (pk[0] >= 0) == (pi[0] >= 0):
            return -1, -1, 0.0
        lone, first, second, p_lone, p_first, p_second = k, i, j, pk, pi, pj
    elif (pi[0] >= 0) == (pk[0] >= 0):
        lone, first, second, p_lone, p_first, p_second = j, k, i, pj, pk, pi
    else:
        lone, first, second, p_lone, p_first, p_second = i, j, k, pi, pj, pk
    s_first, s_second = _crossing(p_lone, p_first, step), _crossing(p_lone, p_second, step)
    # (a, b): the edge to leave by; c: the third corner.
    if s_first > s_second:
        a, b, c, pa, pb, s = lone, first, second, p_lone, p_first, s_first
    else:
        a, b, c, pa, pb, s = lone, second, first, p_lone, p_second, s_second
    turn = _turn(clip, a, b, c)
    current = start
    for _ in range(max_steps):
        if turn == 0.0 or not s <= 1.0:
            return -1, -1, 0.0
        beyond = adjacency[current, _slot(faces, current, c)]
        if beyond < 0:
            return a, b, max(s, 0.0)
        opposite = faces[beyond, 0] + faces[beyond, 1] + faces[beyond, 2] - a - b
        turn_beyond = _turn(clip, a, b, opposite)
        if (turn > 0) == (turn_beyond > 0):
            return a, b, max(s, 0.0)  # both triangles on one side: the surface folds back
        if beyond == stop:
            return -1, -1, 0.0
        p_opposite = _place(clip, opposite, axis, across, along)
        # det(a, opposite, b) = -det(a, b, opposite), and so is det(opposite, b, a).
        turn = -turn_beyond
        if (p_opposite[0] >= 0) == (pa[0] >= 0):
            a, c, pa = opposite, a, p_opposite
        else:
            b, c, pb = opposite, b, p_opposite
        s = _crossing(pa, pb, step)
        current = beyond
    return -1, -1, 0.0


@kernel
def _is_steep(clip, a, b, width, height):
    """Edge nearer to the vertical on screen. Horizontal pairs use steep edges only, vertical pairs the
    others: a silhouette of any slope then counts once and d(area)/d(offset) is exact (without: 1.9 to 2.05
    times too large).
    """
    dx = (clip[b, 0] * clip[a, 3] - clip[a, 0] * clip[b, 3]) * width
    dy = (clip[b, 1] * clip[a, 3] - clip[a, 1] * clip[b, 3]) * height
    return abs(dy) >= abs(dx)


@kernel
def find_pairs(clip, faces, adjacency, ids, depth, rows, max_steps):
    """Neighbouring pixels that a silhouette separates, in some rows of one view.

    Returns pairs [K, 6] = (changed pixel, source pixel, edge corners a and b, near pixel, far pixel; flat
    indices within the view) and where between the near and far centres the edge crosses [K].
    """
    height, width = ids.shape
    count = 0
    for y in range(rows[0], rows[1]):
        for x in range(width):
            count += x + 1 < width and ids[y, x + 1] != ids[y, x]
            count += y + 1 < height and ids[y + 1, x] != ids[y, x]
    pairs = np.zeros((count, 6), np.int32)
    crossings = np.zeros(count, np.float64)
    found = 0
    for y in range(rows[0], rows[1]):
        for x in range(width):
            for direction in range(2):
                x2, y2 = x + 1 - direction, y + direction
                if x2 >= width or y2 >= height or ids[y, x] == ids[y2, x2]:
                    continue
                near_x, near_y, far_x, far_y, forward = x, y, x2, y2, 1.0
                if ids[y, x] < 0 or (ids[y2, x2] >= 0 and depth[y2, x2] < depth[y, x]):
                    near_x, near_y, far_x, far_y, forward = x2, y2, x, y, -1.0
                centre_x, centre_y = (2.0 * near_x + 1.0) / width - 1.0, (2.0 * near_y + 1.0) / height - 1.0
                near_id, far_id = ids[near_y, near_x], ids[far_y, far_x]
                if direction == 0:
                    axis, across, along, step = 0, centre_y, centre_x, forward * 2.0 / width
                else:
                    axis, across, along, step = 1, centre_x, centre_y, forward * 2.0 / height
                if _are_joined(clip, faces, adjacency, near_id, far_id, axis, across, along, step):
                    continue
                a, b, s = _walk(clip, faces, adjacency, near_id, far_id, axis, across, along, step, max_steps)
                if a < 0 or _is_steep(clip, a, b, width, height) != (direction == 0):
                    continue
                near, far = near_y * width + near_x, far_y * width + far_x
                pairs[found, 0] = near if s < 0.5 else far
                pairs[found, 1] = far if s < 0.5 else near
                pairs[found, 2] = a
                pairs[found, 3] = b
                pairs[found, 4] = near
                pairs[found, 5] = far
                crossings[found] = s
                found += 1
    return pairs[:found], crossings[:found]


@kernel
def blend(image, pairs, crossings, blended):
    """blended[changed] += |s - 1/2| (image[source] - image[changed]); flat images [H * W, C]."""
    for i in range(pairs.shape[0]):
        weight = abs(crossings[i] - 0.5)
        for c in range(image.shape[1]):
            blended[pairs[i, 0], c] += weight * (image[pairs[i, 1], c] - image[pairs[i, 0], c])


@kernel
def blend_backward(image, upstream, pairs, crossings, clip, width, height, need_clip, image_grad, clip_grad):
    """Adjoint of `blend`: adds to image_grad and, through the crossing, to clip_grad.

    s = e0 / (e0 - e1): ds/de0 = -e1 / (e0 - e1)^2, ds/de1 = e0 / (e0 - e1)^2, with e = q_a x q_b at the near
    and the far centre.
    """
    for i in range(pairs.shape[0]):
        changed, source, a, b = pairs[i, 0], pairs[i, 1], pairs[i, 2], pairs[i, 3]
        weight, dot = abs(crossings[i] - 0.5), 0.0
        for c in range(image.shape[1]):
            g = upstream[changed, c]
            dot += g * (image[source, c] - image[changed, c])
            image_grad[source, c] += weight * g
            image_grad[changed, c] -= weight * g
        if not need_clip or dot == 0.0 or crossings[i] <= 0.0 or crossings[i] >= 1.0:
            continue
        near, far = pairs[i, 4], pairs[i, 5]
        x0, y0 = (2.0 * (near % width) + 1.0) / width - 1.0, (2.0 * (near // width) + 1.0) / height - 1.0
        x1, y1 = (2.0 * (far % width) + 1.0) / width - 1.0, (2.0 * (far // width) + 1.0) / height - 1.0
        e0, e1 = _side(clip, a, b, x0, y0), _side(clip, a, b, x1, y1)
        if e0 == e1:
            continue
        scale = (dot if crossings[i] >= 0.5 else -dot) / ((e0 - e1) * (e0 - e1))
        for end in range(2):
            h = -e1 * scale if end == 0 else e0 * scale
            fx, fy = (x0, y0) if end == 0 else (x1, y1)
            ax, ay = clip[a, 0] - fx * clip[a, 3], clip[a, 1] - fy * clip[a, 3]
            bx, by = clip[b, 0] - fx * clip[b, 3], clip[b, 1] - fy * clip[b, 3]
            clip_grad[a, 0] += h * by
            clip_grad[a, 1] -= h * bx
            clip_grad[a, 3] += h * (fy * bx - fx * by)
            clip_grad[b, 0] -= h * ay
            clip_grad[b, 1] += h * ax
            clip_grad[b, 3] += h * (fx * ay - fy * ax)
