from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.gradients import worst_gradient_error
from objectscan.errors import InputError
from objectscan.render import PrefilterOperator, sample_cubemap, set_threads
from objectscan.render.cubemap import texel_directions, texel_solid_angles
from objectscan.render.light import ROUGHNESS_LADDER, specular_level
from objectscan.render.threads import thread_count


def _lamps(directions, seed=0):
    """A dim room with noise and three lamps, the brightest 30 times the room."""
    rng = np.random.default_rng(seed)
    radiance = 0.4 + 0.3 * directions[..., 2:] + 0.2 * rng.random((*directions.shape[:-1], 3))
    for sharpness, power in ((20.0, 3.0), (60.0, 12.0), (200.0, 8.0)):
        lamp = rng.standard_normal(3)
        lamp /= np.linalg.norm(lamp)
        radiance = radiance + power * np.exp(sharpness * (directions @ lamp - 1.0))[..., None] * rng.random(3)
    return radiance


def _filtered_by_hand(radiance, directions, roughness, fineness):
    """The integral over the piecewise constant cubemap, by brute force with fineness^2 points a texel."""
    edge = radiance.shape[1] * fineness
    sources = texel_directions(edge).reshape(-1, 3)
    solid_angles = texel_solid_angles(edge).reshape(-1)
    light = radiance.repeat(fineness, axis=1).repeat(fineness, axis=2).reshape(-1, 3)
    results = []
    for axis in directions:
        half = (sources + axis) / np.linalg.norm(sources + axis, axis=1, keepdims=True)
        squared_alpha = roughness**4
        ggx = squared_alpha / (np.pi * ((half @ axis) ** 2 * (squared_alpha - 1.0) + 1.0) ** 2)
        weights = np.maximum(sources @ axis, 0.0) * ggx * solid_angles
        results.append(weights @ light / weights.sum())
    return np.array(results)


def _even(edge, value=0.7):
    return torch.full((6, edge, edge, 3), value)


@pytest.mark.parametrize("edge", [2, 8, 32])
def test_an_even_room_stays_even(edge):
    light = PrefilterOperator(edge)(_even(edge))
    for level in (light.diffuse, *light.specular):
        assert torch.allclose(level, torch.full_like(level, 0.7), atol=1e-5)


@pytest.mark.parametrize("rung", range(len(ROUGHNESS_LADDER)))
def test_levels_are_the_integral_under_the_lobe(rung):
    radiance = _lamps(texel_directions(32))
    level = PrefilterOperator(32)(torch.from_numpy(radiance)).specular[rung].numpy()
    targets = np.random.default_rng(1).choice(level[..., 0].size, 40, replace=False)
    directions = texel_directions(level.shape[1]).reshape(-1, 3)[targets]
    expected = _filtered_by_hand(radiance, directions, ROUGHNESS_LADDER[rung], 6 if rung == 0 else 3)
    error = np.abs(level.reshape(-1, 3)[targets] - expected)
    assert error.mean() / expected.mean() < 0.008  # measured 0.002 to 0.005
    assert (error / expected).max() < 0.08


def test_diffuse_light_of_a_gradient_is_two_thirds_of_it():
    """For radiance a + b.d the cosine integral is pi (a + 2/3 b.n)."""
    slope = np.array([0.3, -0.2, 0.5])
    radiance = (1.0 + texel_directions(32) @ slope)[..., None].repeat(3, axis=-1)
    diffuse = PrefilterOperator(32)(torch.from_numpy(radiance)).diffuse.numpy()
    expected = 1.0 + 2.0 / 3.0 * texel_directions(diffuse.shape[1]) @ slope
    assert np.abs(diffuse - expected[..., None]).max() < 0.004


def test_the_finest_level_is_nearly_a_mirror():
    directions = texel_directions(32)
    radiance = torch.from_numpy(
        1.0 + 0.5 * np.sin(4.0 * directions[..., :1] + directions[..., 1:2]).repeat(3, -1)
    )
    assert (PrefilterOperator(32)(radiance).specular[0] - radiance).abs().max() < 0.03


def test_between_rungs_the_light_is_near_that_of_the_roughness():
    radiance = _lamps(texel_directions(32))
    light = PrefilterOperator(32)(torch.from_numpy(radiance))
    directions = np.random.default_rng(2).standard_normal((40, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for roughness in (0.16, 0.35, 0.57, 0.85):
        level = specular_level(torch.full((40,), roughness, dtype=torch.float64))
        got = sample_cubemap(light.specular, torch.from_numpy(directions), level).numpy()
        expected = _filtered_by_hand(radiance, directions, roughness, 3)
        assert np.abs(got - expected).mean() / expected.mean() < 0.035  # measured 0.006 to 0.022


def test_the_gradient_is_the_transpose():
    """<filter(x), g> = <x, filter^T(g)> for every level at once, and finite differences agree."""
    generator = torch.Generator().manual_seed(0)
    radiance = torch.rand(6, 8, 8, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    operator = PrefilterOperator(8)
    light = operator(radiance)
    weights = [torch.randn(s.shape, generator=generator, dtype=torch.float64) for s in light.specular]

    def loss(x):
        return sum((level * w).sum() for level, w in zip(operator(x).specular, weights, strict=True))

    value = loss(radiance)
    value.backward()
    assert float((radiance.grad * radiance).sum().detach()) == pytest.approx(float(value.detach()), rel=1e-6)
    assert worst_gradient_error(loss, [radiance.detach()]) < 1e-6


def test_threads_do_not_change_the_light():
    radiance = torch.rand(6, 16, 16, 3, generator=torch.Generator().manual_seed(4))
    before, results = thread_count(), []
    try:
        for threads in (1, 3):
            set_threads(threads)
            results.append(PrefilterOperator(16)(radiance))
    finally:
        set_threads(before)
    for one, three in zip(results[0].specular, results[1].specular, strict=True):
        assert torch.equal(one, three)


def test_levels_follow_roughness_without_jumps():
    roughness = torch.linspace(0.0, 1.2, 2000)
    level = specular_level(roughness)
    assert (level.diff() >= 0).all()
    assert level.diff().max() < 0.005
    assert torch.allclose(specular_level(torch.tensor(ROUGHNESS_LADDER)), torch.arange(5.0))
    assert (level[0], level[-1]) == (0.0, 4.0)


@pytest.mark.parametrize("edge", [0, 1, 12, 48])
def test_odd_edges_are_refused(edge):
    with pytest.raises(InputError, match=str(edge)):
        PrefilterOperator(edge)


def test_a_light_of_another_edge_is_refused():
    with pytest.raises(InputError, match="edge 8"):
        PrefilterOperator(8)(_even(16))
