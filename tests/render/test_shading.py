from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from helpers.gradients import worst_gradient_error
from objectscan.errors import InputError
from objectscan.render import (
    PrefilteredLight,
    PrefilterOperator,
    sample_cubemap,
    set_threads,
    shade_split_sum,
)
from objectscan.render.brdf import environment_brdf
from objectscan.render.cubemap import texel_directions
from objectscan.render.light import specular_level
from objectscan.render.threads import thread_count

DOUBLE = torch.float64


def _light(edge=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return PrefilterOperator(edge)(torch.rand(6, edge, edge, 3, generator=generator, dtype=DOUBLE))


def _points(count=60, seed=0):
    """(base, material, normals, views); roughness and n.v on both sides of their limits."""
    generator = torch.Generator().manual_seed(seed)
    base, material = (torch.rand(count, 3, generator=generator, dtype=DOUBLE) for _ in range(2))
    normals, spread = (torch.randn(count, 3, generator=generator, dtype=DOUBLE) for _ in range(2))
    normals = normalize(normals, dim=1)
    return base, material, normals, normalize(normals + 0.9 * spread, dim=1)


def _table_at(cosine, roughness):
    """Bilinear lookup in the BRDF table, differentiable, from the definition."""
    table = torch.from_numpy(environment_brdf().copy())
    x, y = cosine * (table.shape[0] - 1), roughness * (table.shape[1] - 1)
    i = x.detach().floor().long().clamp(0, table.shape[0] - 2)
    j = y.detach().floor().long().clamp(0, table.shape[1] - 2)
    fx, fy = x - i, y - j
    upper = table[i, j] * (1 - fy)[:, None] + table[i, j + 1] * fy[:, None]
    lower = table[i + 1, j] * (1 - fy)[:, None] + table[i + 1, j + 1] * fy[:, None]
    return upper * (1 - fx)[:, None] + lower * fx[:, None]


def _shade_by_hand(base, material, normals, views, light):
    """The formula of `shade_split_sum`, one torch operation after the other."""
    occlusion, roughness, metallic = material.unbind(1)
    roughness = roughness.clamp(0.08, 1.0)
    cosine = (normals * views).sum(dim=1)
    mirrored = 2 * cosine[:, None] * normals - views
    smooth = 1 - roughness**2
    lean = smooth * (smooth.sqrt() + roughness**2)
    towards = normals + lean[:, None] * (mirrored - normals)
    scale, bias = _table_at(cosine.clamp(1e-3, 1.0), roughness).unbind(1)
    facing = 0.04 * (1 - metallic)[:, None] + base * metallic[:, None]
    diffuse = sample_cubemap([light.diffuse], normals) * base * (1 - metallic)[:, None]
    specular = sample_cubemap(light.specular, towards, specular_level(roughness))
    return (diffuse + specular * (facing * scale[:, None] + bias[:, None])) * occlusion[:, None]


def test_shading_equals_its_slow_twin():
    points, light = _points(400), _light()
    assert torch.allclose(shade_split_sum(*points, light), _shade_by_hand(*points, light), atol=1e-12)


def test_gradients_equal_those_of_the_slow_twin():
    base, material, normals, views = _points(400)
    texels = _light()
    weights = torch.randn(400, 3, generator=torch.Generator().manual_seed(9), dtype=DOUBLE)
    gradients = []
    for shade in (shade_split_sum, _shade_by_hand):
        leaves = [
            t.clone().requires_grad_() for t in (base, material, normals, texels.diffuse, *texels.specular)
        ]
        colours = shade(*leaves[:3], views, PrefilteredLight(leaves[3], tuple(leaves[4:])))
        gradients.append(torch.autograd.grad((colours * weights).sum(), leaves))
    for ours, expected in zip(*gradients, strict=True):
        assert torch.allclose(ours, expected, atol=1e-9)


def test_gradients_agree_with_finite_differences():
    base, material, normals, views = _points(30)
    material = 0.1 + 0.8 * material  # away from the clamp, where the slope jumps
    operator = PrefilterOperator(8)
    radiance = torch.rand(6, 8, 8, 3, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    weights = torch.randn(30, 3, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)

    def loss(b, m, n, x):
        return (shade_split_sum(b, m, n, views, operator(x)) * weights).sum()

    assert worst_gradient_error(loss, [base, material, normals, radiance]) < 1e-5


def test_single_precision_agrees_with_double():
    points, light = _points(), _light()
    single = PrefilteredLight(light.diffuse.float(), tuple(level.float() for level in light.specular))
    colours = shade_split_sum(*(p.float() for p in points), single)
    assert colours.dtype == torch.float32
    assert torch.allclose(colours.double(), shade_split_sum(*points, light), atol=1e-5)


def test_threads_do_not_change_colours():
    points, light, before, results = _points(5000), _light(), thread_count(), []
    try:
        for threads in (1, 3):
            set_threads(threads)
            leaf = points[2].clone().requires_grad_()
            colours = shade_split_sum(*points[:2], leaf, points[3], light)
            colours.sum().backward()
            results.append((colours.detach(), leaf.grad))
    finally:
        set_threads(before)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def _quarter_turn(directions):
    """About +y: x to -z, z to x."""
    x, y, z = directions.unbind(-1)
    return torch.stack([z, y, -x], dim=-1)


def test_turning_the_room_with_the_surface_changes_nothing():
    base, material, normals, views = _points(200)
    lamps = torch.tensor([[0.7, 0.2, 0.4], [-0.2, 0.9, -0.5]], dtype=DOUBLE)

    def room(turned_lamps):
        directions = torch.from_numpy(texel_directions(16))
        return PrefilterOperator(16)(
            torch.exp(2.0 * directions @ turned_lamps.T).sum(-1, keepdim=True).repeat(1, 1, 1, 3)
        )

    straight = shade_split_sum(base, material, normals, views, room(lamps))
    turned = shade_split_sum(
        base, material, _quarter_turn(normals), _quarter_turn(views), room(_quarter_turn(lamps))
    )
    assert torch.allclose(straight, turned, atol=2e-6)


def _even_light(value):
    return PrefilterOperator(8)(torch.full((6, 8, 8, 3), value, dtype=DOUBLE))


def test_in_an_even_room_a_diffuse_surface_has_the_colour_albedo_times_light():
    base, material, normals, views = _points()
    material = material * torch.tensor([0.0, 1.0, 0.0]) + torch.tensor([1.0, 0.0, 0.0])
    dark = shade_split_sum(torch.zeros_like(base), material, normals, views, _even_light(0.6))
    colours = shade_split_sum(base, material, normals, views, _even_light(0.6))
    assert torch.allclose(colours - dark, 0.6 * base, atol=1e-6)


def test_no_metal_reflects_more_light_than_it_gets():
    """The white furnace; rough metal loses light because the model has one bounce (Kulla and Conty 2017)."""
    _, _, normals, views = _points(2000)
    for roughness, least in ((0.08, 0.9), (0.5, 0.8), (1.0, 0.3)):
        material = torch.tensor([1.0, roughness, 1.0], dtype=DOUBLE).expand(2000, 3)
        colours = shade_split_sum(
            torch.ones(2000, 3, dtype=DOUBLE), material, normals, views, _even_light(1.0)
        )
        assert colours.max() < 1.001
        assert colours.min() > least


def test_occlusion_dims_all_light():
    base, material, normals, views = _points()
    lit = material.clone()
    lit[:, 0] = 1.0
    colours = shade_split_sum(base, material, normals, views, _light())
    assert torch.allclose(colours, material[:, :1] * shade_split_sum(base, lit, normals, views, _light()))


def test_surfaces_seen_from_behind_stay_finite():
    base, material, normals, views = (tensor.clone().requires_grad_() for tensor in _points())
    colours = shade_split_sum(base, material, normals, -normals.detach() - 0.01 * views.detach(), _light())
    colours.sum().backward()
    assert torch.isfinite(colours).all()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (base, material, normals))


def test_no_points_make_no_colours():
    empty = torch.zeros(0, 3, dtype=DOUBLE, requires_grad=True)
    colours = shade_split_sum(empty, empty, empty, empty, _light())
    colours.sum().backward()
    assert colours.shape == (0, 3)


def test_a_light_with_missing_levels_is_refused():
    light = _light()
    with pytest.raises(InputError, match="2 specular levels"):
        shade_split_sum(*_points(), replace(light, specular=light.specular[:2]))


def _reflected_by_hand(cosine, roughness, count=1200):
    """(scale, bias): the rendering equation summed over directions of light, even on the hemisphere."""
    squared_alpha = roughness**4
    height, azimuth = np.meshgrid((np.arange(count) + 0.5) / count, (np.arange(count) + 0.5) / count * np.pi)
    sine = np.sqrt(1 - height**2)
    light = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), height])
    view = np.array([np.sqrt(1 - cosine**2), 0.0, cosine])[:, None, None]
    half = (light + view) / np.linalg.norm(light + view, axis=0)
    density = squared_alpha / (np.pi * (half[2] ** 2 * (squared_alpha - 1) + 1) ** 2)
    masking = height * np.sqrt(cosine**2 * (1 - squared_alpha) + squared_alpha)
    shadowing = cosine * np.sqrt(height**2 * (1 - squared_alpha) + squared_alpha)
    reflected = density * 0.5 / (masking + shadowing) * height
    fresnel = (1 - (half * view).sum(axis=0)) ** 5
    return 2 * np.pi * np.array([(reflected * (1 - fresnel)).mean(), (reflected * fresnel).mean()])


@pytest.mark.parametrize("roughness", [0.3, 0.42, 0.6, 0.9])
@pytest.mark.parametrize("cosine", [0.03, 0.055, 0.33, 0.7, 0.97])
def test_the_table_holds_the_integral(cosine, roughness):
    (found,) = _table_at(torch.tensor([cosine], dtype=DOUBLE), torch.tensor([roughness], dtype=DOUBLE))
    assert np.abs(found.numpy() - _reflected_by_hand(cosine, roughness)).max() < 0.006
