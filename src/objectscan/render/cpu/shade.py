"""Split-sum shading of surface points in one pass, and its adjoint.

The light is a stack of cubemaps (`cpu.cubes`): the diffuse one, then the specular levels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from objectscan.render.cpu.brdf import SMALLEST_COSINE, look_up
from objectscan.render.cpu.cubes import _cell, _project, _scatter, _texels

SMALLEST_ROUGHNESS = 0.08
DIELECTRIC = 0.04


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _rung_of(roughness, ladder):
    """(rung, share of the next, d share / d roughness) in the ladder of roughnesses; clamped at both ends."""
    last = ladder.shape[0] - 2
    rung = 0
    while rung < last and roughness > ladder[rung + 1]:
        rung += 1
    step = ladder[rung + 1] - ladder[rung]
    share = (roughness - ladder[rung]) / step
    if not 0.0 <= share <= 1.0:
        return rung, min(max(share, 0.0), 1.0), 0.0
    return rung, share, 1.0 / step


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _bilinear(texels, corners, channel):
    """(value, d value / d column share, d value / d row share) of one channel in a cell."""
    a, b, c, d, fx, fy = corners
    va, vb, vc, vd = _texels(texels, a, b, c, d, channel)
    return (
        (va * (1 - fx) + vb * fx) * (1 - fy) + (vc * (1 - fx) + vd * fx) * fy,
        (vb - va) * (1 - fy) + (vd - vc) * fy,
        (vc - va) * (1 - fx) + (vd - vb) * fx,
    )


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _unproject(face, s, t, inverse, gs, gt):
    """Gradient in a direction from the gradient in its face coordinates s = S / m, t = T / m."""
    gm = -(gs * s + gt * t) * inverse
    gs, gt = gs * inverse, gt * inverse
    if face == 0:
        return gm, -gt, -gs
    if face == 1:
        return -gm, -gt, gs
    if face == 2:
        return gs, gm, gt
    if face == 3:
        return gs, -gm, -gt
    if face == 4:
        return gs, -gt, gm
    return -gs, -gt, -gm


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _reflect(normals, views, p):
    """n.v and the mirror direction."""
    nx, ny, nz = normals[p, 0], normals[p, 1], normals[p, 2]
    vx, vy, vz = views[p, 0], views[p, 1], views[p, 2]
    cosine = nx * vx + ny * vy + nz * vz
    return cosine, 2 * cosine * nx - vx, 2 * cosine * ny - vy, 2 * cosine * nz - vz


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _bend(roughness):
    """How far rough lobes lean from the mirror direction to the normal, and its slope.

    Lagarde and de Rousiers, "Moving Frostbite to PBR" (2014), 4.9.3. Without it a metal ball of roughness 0.8
    is 36 % too dark at grazing angles, with it 4 % (tests/render/test_outside.py).
    """
    alpha = roughness * roughness
    smooth = 1.0 - alpha
    share = 1.0 - smooth * (np.sqrt(smooth) + alpha)
    return share, 2.0 * roughness * (1.5 * np.sqrt(smooth) - 1.0 + 2.0 * alpha)


@njit(cache=True, nogil=True, error_model="numpy")
def shade(points, light, first, last, colours):
    """colours[p] for points [first, last).

    `points` are (base, material, normals, views), each [P, 3]; `light` is (texels, sources, starts, edges) of
    the stack, the roughness ladder of its specular levels and the BRDF table.
    """
    base, material, normals, views = points
    texels, sources, starts, edges, ladder, table = light
    for p in range(first, last):
        occlusion, metallic = material[p, 0], material[p, 2]
        roughness = min(max(material[p, 1], SMALLEST_ROUGHNESS), 1.0)
        cosine, rx, ry, rz = _reflect(normals, views, p)
        scale, bias, _, _, _, _ = look_up(table, min(max(cosine, SMALLEST_COSINE), 1.0), roughness)
        face, s, t, _ = _project(normals[p, 0], normals[p, 1], normals[p, 2])
        diffuse = _cell(sources, starts[0], edges[0], face, s, t)
        rung, share, _ = _rung_of(roughness, ladder)
        bend, _ = _bend(roughness)
        lx, ly, lz = normals[p, 0] - rx, normals[p, 1] - ry, normals[p, 2] - rz
        face, s, t, _ = _project(rx + bend * lx, ry + bend * ly, rz + bend * lz)
        fine = _cell(sources, starts[rung + 1], edges[rung + 1], face, s, t)
        coarse = _cell(sources, starts[rung + 2], edges[rung + 2], face, s, t)
        for k in range(3):
            irradiance = _bilinear(texels, diffuse, k)[0]
            radiance = _bilinear(texels, fine, k)[0] * (1 - share) + _bilinear(texels, coarse, k)[0] * share
            facing = DIELECTRIC + metallic * (base[p, k] - DIELECTRIC)
            lit = irradiance * base[p, k] * (1 - metallic) + radiance * (facing * scale + bias)
            colours[p, k] = lit * occlusion


@njit(cache=True, nogil=True, error_model="numpy")
def shade_backward(points, light, first, last, upstream, gradients):
    """Adjoint of `shade`: `gradients` of base, material, normals are written, those of texels added to.

    The views have no gradient.
    """
    base, material, normals, views = points
    texels, sources, starts, edges, ladder, table = light
    base_grad, material_grad, normals_grad, texels_grad = gradients
    for p in range(first, last):
        occlusion, metallic = material[p, 0], material[p, 2]
        roughness = min(max(material[p, 1], SMALLEST_ROUGHNESS), 1.0)
        cosine, rx, ry, rz = _reflect(normals, views, p)
        clamped = min(max(cosine, SMALLEST_COSINE), 1.0)
        scale, bias, scale_c, bias_c, scale_r, bias_r = look_up(table, clamped, roughness)
        face_n, s_n, t_n, inverse_n = _project(normals[p, 0], normals[p, 1], normals[p, 2])
        diffuse = _cell(sources, starts[0], edges[0], face_n, s_n, t_n)
        rung, share, slope = _rung_of(roughness, ladder)
        bend, bend_slope = _bend(roughness)
        lx, ly, lz = normals[p, 0] - rx, normals[p, 1] - ry, normals[p, 2] - rz
        face_r, s_r, t_r, inverse_r = _project(rx + bend * lx, ry + bend * ly, rz + bend * lz)
        fine_edge, coarse_edge = edges[rung + 1], edges[rung + 2]
        fine = _cell(sources, starts[rung + 1], fine_edge, face_r, s_r, t_r)
        coarse = _cell(sources, starts[rung + 2], coarse_edge, face_r, s_r, t_r)
        g_occlusion = g_metallic = g_share = g_scale = g_bias = 0.0
        gs_n = gt_n = gs_r = gt_r = 0.0
        for k in range(3):
            irradiance, by_x, by_y = _bilinear(texels, diffuse, k)
            sharp, sharp_x, sharp_y = _bilinear(texels, fine, k)
            dull, dull_x, dull_y = _bilinear(texels, coarse, k)
            radiance = sharp * (1 - share) + dull * share
            facing = DIELECTRIC + metallic * (base[p, k] - DIELECTRIC)
            reflected = facing * scale + bias
            lit = irradiance * base[p, k] * (1 - metallic) + radiance * reflected
            g_occlusion += upstream[p, k] * lit
            g = upstream[p, k] * occlusion
            base_grad[p, k] = g * (irradiance * (1 - metallic) + radiance * scale * metallic)
            g_metallic += g * (radiance * scale * (base[p, k] - DIELECTRIC) - irradiance * base[p, k])
            g_scale += g * radiance * facing
            g_bias += g * radiance
            g_irradiance, g_radiance = g * base[p, k] * (1 - metallic), g * reflected
            g_share += g_radiance * (dull - sharp)
            gs_n += g_irradiance * by_x
            gt_n += g_irradiance * by_y
            gs_r += g_radiance * (sharp_x * (1 - share) * fine_edge + dull_x * share * coarse_edge)
            gt_r += g_radiance * (sharp_y * (1 - share) * fine_edge + dull_y * share * coarse_edge)
            _scatter_into(texels_grad, diffuse, k, g_irradiance)
            _scatter_into(texels_grad, fine, k, g_radiance * (1 - share))
            _scatter_into(texels_grad, coarse, k, g_radiance * share)
        free = SMALLEST_ROUGHNESS <= material[p, 1] <= 1.0
        material_grad[p, 0], material_grad[p, 2] = g_occlusion, g_metallic
        half = 0.5 * edges[0]
        nx, ny, nz = _unproject(face_n, s_n, t_n, inverse_n, gs_n * half, gt_n * half)
        mx, my, mz = _unproject(face_r, s_r, t_r, inverse_r, gs_r * 0.5, gt_r * 0.5)
        g_bend = mx * lx + my * ly + mz * lz
        g_roughness = g_share * slope + g_scale * scale_r + g_bias * bias_r + g_bend * bend_slope
        material_grad[p, 1] = g_roughness if free else 0.0
        nx, ny, nz = nx + bend * mx, ny + bend * my, nz + bend * mz
        mx, my, mz = (1 - bend) * mx, (1 - bend) * my, (1 - bend) * mz
        g_cosine = 2 * (mx * normals[p, 0] + my * normals[p, 1] + mz * normals[p, 2])
        if SMALLEST_COSINE <= cosine <= 1.0:
            g_cosine += g_scale * scale_c + g_bias * bias_c
        normals_grad[p, 0] = nx + 2 * cosine * mx + g_cosine * views[p, 0]
        normals_grad[p, 1] = ny + 2 * cosine * my + g_cosine * views[p, 1]
        normals_grad[p, 2] = nz + 2 * cosine * mz + g_cosine * views[p, 2]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _scatter_into(gradient, corners, channel, g):
    a, b, c, d, fx, fy = corners
    _scatter(gradient, a, b, c, d, channel, fx, fy, g)
