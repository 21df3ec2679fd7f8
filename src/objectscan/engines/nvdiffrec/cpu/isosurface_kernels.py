"""Numba kernels of dual marching cubes: which vertices and quads there are, where they lie, their gradients.

Grid points are numbered (x * Y + y) * Z + z. A dual vertex lies at the beta-weighted mean of its cube's
crossings, and a crossing at (p_a s_b - p_b s_a) / (s_b - s_a), s = alpha * field (FlexiCubes, Shen et al.
2023, section 4.2).
"""

from __future__ import annotations

import numpy as np
from numba import njit

_LEAST_SQUARE = 1e-12
"""Bounds the gradient by the field at 1e6: an edge whose two ends are nearly 0 has no defined crossing."""


@njit(cache=True, nogil=True)
def cube_states(field, ambiguous_face):
    """The resolved case of each cube, [X-1, Y-1, Z-1]."""
    nx, ny, nz = field.shape[0] - 1, field.shape[1] - 1, field.shape[2] - 1
    cases = np.zeros((nx, ny, nz), np.uint8)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                case = 0
                for k in range(8):
                    if field[x + (k & 1), y + (k >> 1 & 1), z + (k >> 2)] < 0:
                        case |= 1 << k
                cases[x, y, z] = case
    raw = cases.copy()
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                face = ambiguous_face[raw[x, y, z]]
                if face < 0:
                    continue
                step = 2 * (face & 1) - 1
                i = x + (step if face >> 1 == 0 else 0)
                j = y + (step if face >> 1 == 1 else 0)
                k = z + (step if face >> 1 == 2 else 0)
                if 0 <= i < nx and 0 <= j < ny and 0 <= k < nz and ambiguous_face[raw[i, j, k]] >= 0:
                    cases[x, y, z] = 255 - raw[x, y, z]
    return cases


@njit(cache=True, nogil=True)
def dual_vertices(cases, active, groups, group_of_edge, edges, first_vertex):
    """Number the dual vertices of the active cubes; first_vertex [X-1, Y-1, Z-1] gets the first of each.

    Returns (start [D + 1], cube [D], edge [E], a [E], b [E]): the crossings of vertex d are start[d] to
    start[d + 1]; cube is its position in `active`; edge is the local edge; a and b are grid points.
    """
    _, ny, nz = cases.shape
    flat_cases, flat_first = cases.ravel(), first_vertex.ravel()
    count, crossings = 0, 0
    for i in range(active.shape[0]):
        case = flat_cases[active[i]]
        flat_first[active[i]] = count
        count += groups[case]
        for edge in range(12):
            crossings += group_of_edge[case, edge] >= 0
    offset = np.zeros(8, np.int64)
    for k in range(8):
        offset[k] = ((k & 1) * (ny + 1) + (k >> 1 & 1)) * (nz + 1) + (k >> 2)
    start = np.zeros(count + 1, np.int32)
    cube = np.zeros(count, np.int32)
    crossing = np.zeros((3, crossings), np.int32)
    at, vertex = 0, 0
    for i in range(active.shape[0]):
        case = flat_cases[active[i]]
        x, y, z = active[i] // (ny * nz), active[i] // nz % ny, active[i] % nz
        corner = (x * (ny + 1) + y) * (nz + 1) + z
        for group in range(groups[case]):
            for edge in range(12):
                if group_of_edge[case, edge] == group:
                    crossing[0, at] = edge
                    crossing[1, at] = corner + offset[edges[edge, 0]]
                    crossing[2, at] = corner + offset[edges[edge, 1]]
                    at += 1
            cube[vertex] = i
            vertex += 1
            start[vertex] = at
    return start, cube, crossing[0], crossing[1], crossing[2]


@njit(cache=True, nogil=True)
def quads(field, cases, active, group_of_edge, first_vertex, around, quad):
    """One quad for each crossed inner grid edge, counter-clockwise seen from outside. Returns their number.

    around[axis, k] = (steps back along x, y, z; local edge) of the k-th cube around an edge, in the order
    that is counter-clockwise seen from the edge's far end.
    """
    _, ny, nz = cases.shape
    count = 0
    for index in active:
        # Each inner edge starts at the lowest corner of one active cube.
        x, y, z = index // (ny * nz), index // nz % ny, index % nz
        inside = field[x, y, z] < 0
        for axis in range(3):
            sx, sy, sz = axis == 0, axis == 1, axis == 2
            if inside == (field[x + sx, y + sy, z + sz] < 0):
                continue
            if (x == 0 and not sx) or (y == 0 and not sy) or (z == 0 and not sz):
                continue
            for k in range(4):
                i, j, m = x - around[axis, k, 0], y - around[axis, k, 1], z - around[axis, k, 2]
                vertex = first_vertex[i, j, m] + group_of_edge[cases[i, j, m], around[axis, k, 3]]
                quad[count, k if inside else 3 - k] = vertex
            count += 1
    return count


@njit(cache=True, nogil=True)
def compact(first, second, number_of):
    """The distinct values of two index arrays, and both arrays renumbered into them.

    number_of: zeros for every possible value; fresh ones cost nothing where they are not touched.
    """
    distinct = np.zeros(2 * first.shape[0], np.int64)
    count = 0
    for indices in (first, second):
        for i in range(indices.shape[0]):
            value = indices[i]
            if number_of[value] == 0:
                distinct[count] = value
                count += 1
                number_of[value] = count
            indices[i] = number_of[value] - 1
    return distinct[:count].copy()


@njit(cache=True, nogil=True)
def place(points, field, weights, corners, start, cube, edge, a, b, vertices):
    """vertices[d] from grid points [U, 3], their field [U] and weights [A, 20] (alpha of 8 corners, beta of
    12 edges).
    """
    for d in range(start.shape[0] - 1):
        row = weights[cube[d]]
        x, y, z, total = 0.0, 0.0, 0.0, 0.0
        for e in range(start[d], start[d + 1]):
            sa = np.float64(field[a[e]]) * row[corners[edge[e], 0]]
            sb = np.float64(field[b[e]]) * row[corners[edge[e], 1]]
            beta = row[8 + edge[e]]
            t = sa / (sa - sb) * beta
            x += points[a[e], 0] * (beta - t) + points[b[e], 0] * t
            y += points[a[e], 1] * (beta - t) + points[b[e], 1] * t
            z += points[a[e], 2] * (beta - t) + points[b[e], 2] * t
            total += beta
        vertices[d, 0] = x / total
        vertices[d, 1] = y / total
        vertices[d, 2] = z / total


@njit(cache=True, nogil=True)
def place_backward(
    points,
    field,
    weights,
    corners,
    start,
    cube,
    edge,
    a,
    b,
    vertices,
    upstream,
    points_grad,
    field_grad,
    weights_grad,
):
    """Adjoint of `place`: adds to the gradients of points, field and weights."""
    for d in range(start.shape[0] - 1):
        gx, gy, gz = upstream[d, 0], upstream[d, 1], upstream[d, 2]
        row, row_grad = weights[cube[d]], weights_grad[cube[d]]
        total = 0.0
        for e in range(start[d], start[d + 1]):
            total += row[8 + edge[e]]
        for e in range(start[d], start[d + 1]):
            ka, kb = corners[edge[e], 0], corners[edge[e], 1]
            sa, sb = np.float64(field[a[e]]) * row[ka], np.float64(field[b[e]]) * row[kb]
            t, share = sa / (sa - sb), row[8 + edge[e]] / total
            dx = points[b[e], 0] - points[a[e], 0]
            dy = points[b[e], 1] - points[a[e], 1]
            dz = points[b[e], 2] - points[a[e], 2]
            # dt/dsa = -sb / (sa - sb)^2, dt/dsb = sa / (sa - sb)^2
            scale = (gx * dx + gy * dy + gz * dz) * share / max((sa - sb) ** 2, _LEAST_SQUARE)
            field_grad[a[e]] -= sb * scale * row[ka]
            field_grad[b[e]] += sa * scale * row[kb]
            row_grad[ka] -= sb * scale * field[a[e]]
            row_grad[kb] += sa * scale * field[b[e]]
            offset = (
                gx * (points[a[e], 0] + t * dx - vertices[d, 0])
                + gy * (points[a[e], 1] + t * dy - vertices[d, 1])
                + gz * (points[a[e], 2] + t * dz - vertices[d, 2])
            )
            row_grad[8 + edge[e]] += offset / total
            for k in range(3):
                points_grad[a[e], k] += upstream[d, k] * share * (1.0 - t)
                points_grad[b[e], k] += upstream[d, k] * share * t


@njit(cache=True, nogil=True)
def deviation(points, field, start, a, b, vertices, points_grad, field_grad, vertices_grad):
    """L_dev of FlexiCubes (section 4.3): mean over vertices of the mean absolute deviation of its distances
    to its plain crossings from their mean. Returns it and adds its gradients.
    """
    count = start.shape[0] - 1
    crossing = np.zeros((12, 3))
    distance = np.zeros(12)
    total = 0.0
    for d in range(count):
        size = start[d + 1] - start[d]
        mean = 0.0
        for i in range(size):
            e = start[d] + i
            t = field[a[e]] / (np.float64(field[a[e]]) - field[b[e]])
            square = 0.0
            for k in range(3):
                crossing[i, k] = points[a[e], k] * (1.0 - t) + points[b[e], k] * t
                square += (vertices[d, k] - crossing[i, k]) ** 2
            distance[i] = np.sqrt(square)
            mean += distance[i] / size
        balance = 0.0
        for i in range(size):
            total += abs(distance[i] - mean) / size
            balance += np.sign(distance[i] - mean) / size
        for i in range(size):
            if distance[i] == 0.0:
                continue
            e = start[d] + i
            slope = (np.sign(distance[i] - mean) - balance) / (size * count * distance[i])
            fa, fb = np.float64(field[a[e]]), np.float64(field[b[e]])
            t, g_t = fa / (fa - fb), 0.0
            for k in range(3):
                g = slope * (vertices[d, k] - crossing[i, k])
                vertices_grad[d, k] += g
                points_grad[a[e], k] -= g * (1.0 - t)
                points_grad[b[e], k] -= g * t
                g_t -= g * (points[b[e], k] - points[a[e], k])
            square = max((fa - fb) ** 2, _LEAST_SQUARE)
            field_grad[a[e]] += g_t * -fb / square
            field_grad[b[e]] += g_t * fa / square
    return total / count


@njit(cache=True, nogil=True)
def triangulate(quad, vertices, faces):
    """Two triangles a quad, split along the shorter diagonal: the flatter, better shaped of the two."""
    for q in range(quad.shape[0]):
        across, along = 0.0, 0.0
        for k in range(3):
            across += (vertices[quad[q, 0], k] - vertices[quad[q, 2], k]) ** 2
            along += (vertices[quad[q, 1], k] - vertices[quad[q, 3], k]) ** 2
        shift = 0 if across <= along else 1
        for k in range(3):
            faces[2 * q, k] = quad[q, (k + shift) % 4]
            faces[2 * q + 1, k] = quad[q, ((k + 2) % 4 + shift) % 4]
