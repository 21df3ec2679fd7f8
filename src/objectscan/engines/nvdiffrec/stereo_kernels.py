"""Numba kernels of patch-match stereo (Bleyer et al. 2011; Schoenberger et al. 2016 for many views)."""

from __future__ import annotations

import numpy as np
from numba import njit

_NO_MATCH = 2.0
_FLATTEST_COSINE = 0.05
_DOUBTED_SHARE = 0.02
"""From here on behind the start, as a share of the deepest, all of the doubt counts: about a grid cell."""


@njit(cache=True, nogil=True)
def march(field, origin, spacing, intrinsics, world_from_camera, mask, depth, normal):
    """Depth and camera-space normal at which each masked pixel's ray enters a signed field; 0 without."""
    nx, ny, nz = field.shape
    shape = (nx, ny, nz)
    m = world_from_camera
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            depth[row, column] = 0.0
            if mask[row, column] < 0.5:
                continue
            dx = (column + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
            dy = (row + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
            near, far, length = 0.0, 1e30, 0.0
            for k in range(3):
                slope = m[k, 0] * dx + m[k, 1] * dy + m[k, 2]
                length += slope * slope
                if slope == 0.0:
                    continue
                one = (origin[k] - m[k, 3]) / slope
                two = one + spacing * (shape[k] - 1) / slope
                near, far = max(near, min(one, two)), min(far, max(one, two))
            length, t = np.sqrt(length), near
            while t < far:
                x = (m[0, 3] + t * (m[0, 0] * dx + m[0, 1] * dy + m[0, 2]) - origin[0]) / spacing
                y = (m[1, 3] + t * (m[1, 0] * dx + m[1, 1] * dy + m[1, 2]) - origin[1]) / spacing
                z = (m[2, 3] + t * (m[2, 0] * dx + m[2, 1] * dy + m[2, 2]) - origin[2]) / spacing
                i, j, k = (
                    min(max(int(x), 1), nx - 3),
                    min(max(int(y), 1), ny - 3),
                    min(max(int(z), 1), nz - 3),
                )
                fx, fy, fz = x - i, y - j, z - k
                value = 0.0
                for corner in range(8):
                    a, b, c = corner & 1, corner >> 1 & 1, corner >> 2
                    weight = (fx if a else 1 - fx) * (fy if b else 1 - fy) * (fz if c else 1 - fz)
                    value += weight * field[i + a, j + b, k + c]
                if value <= 0.0:
                    gx = field[i + 1, j, k] - field[i - 1, j, k]
                    gy = field[i, j + 1, k] - field[i, j - 1, k]
                    gz = field[i, j, k + 1] - field[i, j, k - 1]
                    size = np.sqrt(gx * gx + gy * gy + gz * gz) + 1e-12
                    for c in range(3):
                        normal[row, column, c] = (m[0, c] * gx + m[1, c] * gy + m[2, c] * gz) / size
                    depth[row, column] = t
                    break
                t += max(0.5 * value, 0.25 * spacing) / length


@njit(cache=True, nogil=True)
def _mismatch(
    grey, mask, other, other_mask, row, column, depth, n0, n1, n2, rotation, shift, intrinsics, reach
):  # fmt: skip
    """1 - weighted correlation of a patch and its image in another view through a plane; 2 if none."""
    height, width = grey.shape
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    plane = depth * (n0 * (column + 0.5 - cx) / fx + n1 * (row + 0.5 - cy) / fy + n2)
    total, sum_a, sum_b, sum_aa, sum_bb, sum_ab = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    lost, count = 0, 0
    for r in range(max(row - reach, 0), min(row + reach + 1, height), 2):
        for c in range(max(column - reach, 0), min(column + reach + 1, width), 2):
            if mask[r, c] < 0.9:
                continue
            count += 1
            x, y = (c + 0.5 - cx) / fx, (r + 0.5 - cy) / fy
            slope = n0 * x + n1 * y + n2
            if slope > -1e-3:
                lost += 1
                continue
            z = plane / slope
            x, y = x * z, y * z
            w = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + shift[2]
            if w <= 1e-9:
                lost += 1
                continue
            u = (rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z + shift[0]) / w - 0.5
            v = (rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z + shift[1]) / w - 0.5
            if u < 0 or v < 0 or u >= other.shape[1] - 1 or v >= other.shape[0] - 1:
                lost += 1
                continue
            i, j = int(u), int(v)
            if other_mask[j, i] < 0.5:
                lost += 1
                continue
            fu, fv = u - i, v - j
            b = (other[j, i] * (1 - fu) + other[j, i + 1] * fu) * (1 - fv)
            b += (other[j + 1, i] * (1 - fu) + other[j + 1, i + 1] * fu) * fv
            a = grey[r, c]
            away = (r - row) ** 2 + (c - column) ** 2
            weight = np.exp(-8.0 * abs(a - grey[row, column]) - away / (1.5 * reach * reach))
            total += weight
            sum_a += weight * a
            sum_b += weight * b
            sum_aa += weight * a * a
            sum_bb += weight * b * b
            sum_ab += weight * a * b
    if count == 0 or 3 * lost > count or total <= 0.0:
        return _NO_MATCH
    mean_a, mean_b = sum_a / total, sum_b / total
    noise = 2e-6  # variance of 8-bit rounding: flat patches must not match by chance
    variance = (sum_aa / total - mean_a * mean_a + noise) * (sum_bb / total - mean_b * mean_b + noise)
    return 1.0 - (sum_ab / total - mean_a * mean_b) / np.sqrt(variance)


@njit(cache=True, nogil=True)
def _cost(
    grey, mask, others, other_masks, row, column, depth, n0, n1, n2, rotations, shifts, intrinsics, reach
):  # fmt: skip
    """Mean of the two best mismatches: a point is hidden in some of the other views."""
    best, second = _NO_MATCH, _NO_MATCH
    for k in range(others.shape[0]):
        cost = _mismatch(
            grey, mask, others[k], other_masks[k], row, column, depth, n0, n1, n2, rotations[k], shifts[k],
            intrinsics, reach,
        )  # fmt: skip
        if cost < best:
            best, second = cost, best
        elif cost < second:
            second = cost
    return 0.5 * (best + second)


@njit(cache=True, nogil=True)
def match(
    grey, mask, others, other_masks, rotations, shifts, intrinsics, start_depth, start_normal, deepest,
    doubt, sweeps, reach, seed, depth, normal, cost,
):  # fmt: skip
    """Patch match: planes at or behind the start surface spread from pixel to pixel and are varied at random.

    depth, normal and cost are filled; rotations and shifts map camera points of this view to pixels of the
    others. `doubt` is added to the cost of what lies clearly behind the start: blank patches match anywhere.
    """
    height, width = grey.shape
    np.random.seed(seed)  # noqa: NPY002 - numba's own generator, one a thread
    trial = np.zeros(4)
    for sweep in range(sweeps + 1):
        forward = sweep % 2 == 1
        shrink = 0.5 ** (sweep - 1)
        for index in range(height * width):
            flat = index if forward else height * width - 1 - index
            row, column = flat // width, flat % width
            if start_depth[row, column] <= 0.0:
                cost[row, column] = _NO_MATCH
                continue
            if sweep == 0:
                depth[row, column] = start_depth[row, column]
                for k in range(3):
                    normal[row, column, k] = start_normal[row, column, k]
                n = normal[row, column]
                cost[row, column] = _cost(
                    grey, mask, others, other_masks, row, column, depth[row, column], n[0], n[1], n[2],
                    rotations, shifts, intrinsics, reach,
                )  # fmt: skip
                continue
            nearest = start_depth[row, column]
            x = (column + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
            y = (row + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
            for attempt in range(6):
                if attempt < 2:
                    back = -1 if forward else 1
                    r, c = (row + back, column) if attempt == 0 else (row, column + back)
                    if r < 0 or c < 0 or r >= height or c >= width or start_depth[r, c] <= 0.0:
                        continue
                    px = (c + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
                    py = (r + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
                    n = normal[r, c]
                    facing = n[0] * x + n[1] * y + n[2]
                    if facing > -_FLATTEST_COSINE:
                        continue
                    trial[0] = depth[r, c] * (n[0] * px + n[1] * py + n[2]) / facing
                    trial[1:] = n
                else:
                    _vary(depth[row, column], normal[row, column], nearest, deepest, attempt, shrink, trial)
                facing = trial[1] * x + trial[2] * y + trial[3]
                outside = trial[0] < 0.99 * nearest or trial[0] > nearest + deepest
                if outside or facing > -_FLATTEST_COSINE:
                    continue
                found = _cost(
                    grey, mask, others, other_masks, row, column, trial[0], trial[1], trial[2], trial[3],
                    rotations, shifts, intrinsics, reach,
                )  # fmt: skip
                found += doubt * min(max(trial[0] - nearest, 0.0) / (_DOUBTED_SHARE * deepest), 1.0)
                if found < cost[row, column]:
                    cost[row, column] = found
                    depth[row, column] = trial[0]
                    for k in range(3):
                        normal[row, column, k] = trial[1 + k]


@njit(cache=True, nogil=True)
def _vary(depth, normal, start, deepest, attempt, shrink, trial):
    """A random plane: anywhere (2), a little deeper or nearer (3), turned (4), or both by a little (5)."""
    turn, move = 0.0, 0.0
    trial[0] = depth
    if attempt == 2:
        trial[0], turn = start + np.random.rand() ** 2 * deepest, 0.8  # noqa: NPY002
    elif attempt == 3:
        move = 0.1 * deepest * shrink
    elif attempt == 4:
        turn = 0.6 * shrink
    else:
        turn, move = 0.15 * shrink, 0.02 * deepest * shrink
    trial[0] += (2.0 * np.random.rand() - 1.0) * move  # noqa: NPY002
    length = 0.0
    for k in range(3):
        trial[1 + k] = normal[k] + (2.0 * np.random.rand() - 1.0) * turn  # noqa: NPY002
        length += trial[1 + k] ** 2
    for k in range(3):
        trial[1 + k] /= np.sqrt(length) + 1e-12


@njit(cache=True, nogil=True)
def agree(
    view, depths, costs, colours, intrinsics, camera_from_world, world_from_camera, others, tolerance, votes,
    spread,
):  # fmt: skip
    """For each pixel: how many other views agree on the surface, and how their colours differ on average."""
    largest_cost = 0.3
    height, width = depths[view].shape
    for row in range(height):
        for column in range(width):
            votes[row, column] = 0
            spread[row, column] = 0.0
            d = depths[view, row, column]
            if d <= 0.0 or costs[view, row, column] > largest_cost:
                continue
            x = d * (column + 0.5 - intrinsics[view, 0, 2]) / intrinsics[view, 0, 0]
            y = d * (row + 0.5 - intrinsics[view, 1, 2]) / intrinsics[view, 1, 1]
            m = world_from_camera[view]
            wx = m[0, 0] * x + m[0, 1] * y + m[0, 2] * d + m[0, 3]
            wy = m[1, 0] * x + m[1, 1] * y + m[1, 2] * d + m[1, 3]
            wz = m[2, 0] * x + m[2, 1] * y + m[2, 2] * d + m[2, 3]
            for other in others:
                q = camera_from_world[other]
                z = q[2, 0] * wx + q[2, 1] * wy + q[2, 2] * wz + q[2, 3]
                if z <= 0.0:
                    continue
                u = intrinsics[other, 0, 0] * (q[0, 0] * wx + q[0, 1] * wy + q[0, 2] * wz + q[0, 3]) / z
                v = intrinsics[other, 1, 1] * (q[1, 0] * wx + q[1, 1] * wy + q[1, 2] * wz + q[1, 3]) / z
                i, j = int(np.floor(u + intrinsics[other, 0, 2])), int(np.floor(v + intrinsics[other, 1, 2]))
                if i < 0 or j < 0 or i >= width or j >= height or costs[other, j, i] > largest_cost:
                    continue
                if depths[other, j, i] > 0.0 and abs(depths[other, j, i] - z) < tolerance:
                    votes[row, column] += 1
                    for k in range(3):
                        difference = colours[view, row, column, k] - colours[other, j, i, k]
                        spread[row, column] += abs(difference) / 3.0
            if votes[row, column] > 0:
                spread[row, column] /= votes[row, column]


@njit(cache=True, nogil=True)
def integrate(
    shape, origin, spacing, intrinsics, camera_from_world, depth, votes, fewest, truncation, total, weight
):
    """Add one view's trusted depths to a truncated distance (Curless and Levoy 1996), positive outside."""
    height, width = depth.shape
    q = camera_from_world
    for i in range(shape[0]):
        for j in range(shape[1]):
            for k in range(shape[2]):
                x, y, z = origin[0] + spacing * i, origin[1] + spacing * j, origin[2] + spacing * k
                d = q[2, 0] * x + q[2, 1] * y + q[2, 2] * z + q[2, 3]
                if d <= 0.0:
                    continue
                u = intrinsics[0, 0] * (q[0, 0] * x + q[0, 1] * y + q[0, 2] * z + q[0, 3]) / d
                v = intrinsics[1, 1] * (q[1, 0] * x + q[1, 1] * y + q[1, 2] * z + q[1, 3]) / d
                column, row = int(np.floor(u + intrinsics[0, 2])), int(np.floor(v + intrinsics[1, 2]))
                if column < 0 or row < 0 or column >= width or row >= height or votes[row, column] < fewest:
                    continue
                distance = depth[row, column] - d
                if distance > -truncation:
                    trust = min(votes[row, column], 4)
                    total[i, j, k] += trust * min(distance, truncation)
                    weight[i, j, k] += trust
