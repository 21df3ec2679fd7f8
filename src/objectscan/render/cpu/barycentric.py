"""From triangle ids to perspective-correct barycentrics and their screen derivatives, with gradients.

With q_k = (x_k - fx w_k, y_k - fy w_k) for corner k at the NDC centre (fx, fy), E_0 = q_1 x q_2 and cyclic,
S = E_0 + E_1 + E_2: u = E_0 / S, v = E_1 / S. No division by w; right also for corners behind the camera
(Olano and Greer 1997, 2D homogeneous rasterisation).
"""

from __future__ import annotations

from objectscan.render.cpu.jit import kernel


@kernel
def _edges(clip, i0, i1, i2, fx, fy):
    ax, ay = clip[i0, 0] - fx * clip[i0, 3], clip[i0, 1] - fy * clip[i0, 3]
    bx, by = clip[i1, 0] - fx * clip[i1, 3], clip[i1, 1] - fy * clip[i1, 3]
    cx, cy = clip[i2, 0] - fx * clip[i2, 3], clip[i2, 1] - fy * clip[i2, 3]
    return ax, ay, bx, by, cx, cy, bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx


@kernel
def _slopes(ax, ay, bx, by, cx, cy, w0, w1, w2):
    """dE_k / dfx and dE_k / dfy."""
    return (
        by * w2 - w1 * cy, cy * w0 - w2 * ay, ay * w1 - w0 * by,
        w1 * cx - bx * w2, w2 * ax - cx * w0, w0 * bx - ax * w1,
    )  # fmt: skip


@kernel
def resolve(clip, faces, ids, rows, barycentrics, depth, derivatives, want_derivatives):
    """Fill barycentrics [H, W, 2], depth z/w [H, W] and, if wanted, derivatives [H, W, 4] for some rows."""
    height, width = ids.shape
    for y in range(rows[0], rows[1]):
        fy = (2.0 * y + 1.0) / height - 1.0
        for x in range(width):
            t = ids[y, x]
            if t < 0:
                barycentrics[y, x, 0] = 0
                barycentrics[y, x, 1] = 0
                depth[y, x] = 1
                if want_derivatives:
                    for c in range(4):
                        derivatives[y, x, c] = 0
                continue
            fx = (2.0 * x + 1.0) / width - 1.0
            i0, i1, i2 = faces[t, 0], faces[t, 1], faces[t, 2]
            ax, ay, bx, by, cx, cy, e0, e1, e2 = _edges(clip, i0, i1, i2, fx, fy)
            total = e0 + e1 + e2
            inverse = 1.0 / total if total != 0.0 else 0.0
            u, v = e0 * inverse, e1 * inverse
            # Corners were snapped to 1/256 pixel for coverage: the centre may lie 1/512 pixel outside.
            inside_u, inside_v = min(max(u, 0.0), 1.0), min(max(v, 0.0), 1.0)
            if inside_u + inside_v > 1.0:
                scale = 1.0 / (inside_u + inside_v)
                inside_u, inside_v = inside_u * scale, inside_v * scale
            w0, w1, w2 = clip[i0, 3], clip[i1, 3], clip[i2, 3]
            rest = 1.0 - inside_u - inside_v
            z = inside_u * clip[i0, 2] + inside_v * clip[i1, 2] + rest * clip[i2, 2]
            barycentrics[y, x, 0] = inside_u
            barycentrics[y, x, 1] = inside_v
            depth[y, x] = min(max(z / (inside_u * w0 + inside_v * w1 + rest * w2), -1.0), 1.0)
            if want_derivatives:
                d0x, d1x, d2x, d0y, d1y, d2y = _slopes(ax, ay, bx, by, cx, cy, w0, w1, w2)
                sx, sy = d0x + d1x + d2x, d0y + d1y + d2y
                kx, ky = 2.0 / width * inverse, 2.0 / height * inverse
                derivatives[y, x, 0] = (d0x - u * sx) * kx
                derivatives[y, x, 1] = (d0y - u * sy) * ky
                derivatives[y, x, 2] = (d1x - v * sx) * kx
                derivatives[y, x, 3] = (d1y - v * sy) * ky


@kernel
def resolve_backward(clip, faces, ids, rows, barycentrics_grad, derivatives_grad, use_derivatives, clip_grad):
    """Adjoint of `resolve`: adds to clip_grad [V, 4]. Depth has no gradient, so neither has z."""
    height, width = ids.shape
    for y in range(rows[0], rows[1]):
        fy = (2.0 * y + 1.0) / height - 1.0
        for x in range(width):
            t = ids[y, x]
            if t < 0:
                continue
            gu, gv = float(barycentrics_grad[y, x, 0]), float(barycentrics_grad[y, x, 1])
            if gu == 0.0 and gv == 0.0 and not use_derivatives:
                continue
            fx = (2.0 * x + 1.0) / width - 1.0
            i0, i1, i2 = faces[t, 0], faces[t, 1], faces[t, 2]
            ax, ay, bx, by, cx, cy, e0, e1, e2 = _edges(clip, i0, i1, i2, fx, fy)
            total = e0 + e1 + e2
            if total == 0.0:
                continue
            r = 1.0 / total
            u, v = e0 * r, e1 * r
            g0x, g0y, g0w, g1x, g1y, g1w, g2x, g2y, g2w = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            g_total = 0.0
            if use_derivatives:
                # derivative = (D - u S') k r with D, S' linear in q and w: product rule backwards.
                w0, w1, w2 = clip[i0, 3], clip[i1, 3], clip[i2, 3]
                d0x, d1x, d2x, d0y, d1y, d2y = _slopes(ax, ay, bx, by, cx, cy, w0, w1, w2)
                sx, sy = d0x + d1x + d2x, d0y + d1y + d2y
                ux, uy = derivatives_grad[y, x, 0] * 2.0 / width, derivatives_grad[y, x, 1] * 2.0 / height
                vx, vy = derivatives_grad[y, x, 2] * 2.0 / width, derivatives_grad[y, x, 3] * 2.0 / height
                g_r = ux * (d0x - u * sx) + uy * (d0y - u * sy) + vx * (d1x - v * sx) + vy * (d1y - v * sy)
                gu -= r * (ux * sx + uy * sy)
                gv -= r * (vx * sx + vy * sy)
                gsx, gsy = -r * (ux * u + vx * v), -r * (uy * u + vy * v)
                h0x, h1x, h2x = r * ux + gsx, r * vx + gsx, gsx
                h0y, h1y, h2y = r * uy + gsy, r * vy + gsy, gsy
                g0x, g0y = h1y * w2 - h2y * w1, -h1x * w2 + h2x * w1
                g1x, g1y = -h0y * w2 + h2y * w0, h0x * w2 - h2x * w0
                g2x, g2y = h0y * w1 - h1y * w0, -h0x * w1 + h1x * w0
                g0w = h1x * cy - h2x * by - h1y * cx + h2y * bx
                g1w = -h0x * cy + h2x * ay + h0y * cx - h2y * ax
                g2w = h0x * by - h1x * ay - h0y * bx + h1y * ax
                g_total = -r * r * g_r
            dot = gu * u + gv * v
            h0, h1, h2 = (gu - dot) * r + g_total, (gv - dot) * r + g_total, -dot * r + g_total
            g0x += -h1 * cy + h2 * by
            g0y += h1 * cx - h2 * bx
            g1x += h0 * cy - h2 * ay
            g1y += -h0 * cx + h2 * ax
            g2x += -h0 * by + h1 * ay
            g2y += h0 * bx - h1 * ax
            clip_grad[i0, 0] += g0x
            clip_grad[i0, 1] += g0y
            clip_grad[i0, 3] += g0w - fx * g0x - fy * g0y
            clip_grad[i1, 0] += g1x
            clip_grad[i1, 1] += g1y
            clip_grad[i1, 3] += g1w - fx * g1x - fy * g1y
            clip_grad[i2, 0] += g2x
            clip_grad[i2, 1] += g2y
            clip_grad[i2, 3] += g2w - fx * g2x - fy * g2y
