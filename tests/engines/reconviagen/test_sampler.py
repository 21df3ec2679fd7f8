from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.engines.reconviagen.vectors import Vector, assert_close, vector
from torch import Tensor

from objectscan.engines.reconviagen.networks.voxels import Voxels
from objectscan.engines.reconviagen.sampler import (
    LATENT_SAMPLING,
    STRUCTURE_SAMPLING,
    SamplerOptions,
    Velocity,
    sparse_deviation,
    times,
    walk,
)

STOCK = SamplerOptions()
APP_OF_THE_FORK = SamplerOptions(30, 7.5, (0.5, 1.0), 3.0)
WHOLE = SamplerOptions(7, 3.0, (0.0, 1.0), 1.0)
OFFICIAL = {
    "app_v02_ss": replace(STRUCTURE_SAMPLING, steps=12),
    "stock_25_5.0_r3": STOCK,
    "unofficial_app_30_7.5": APP_OF_THE_FORK,
    "no_guidance_interval": WHOLE,
    "strength1": SamplerOptions(5, 1.0, (0.0, 1.0), 3.0),
}
LEGACY = {"stock_25_5.0_r3": STOCK, "unofficial_app_30_7.5": APP_OF_THE_FORK, "no_guidance_interval": WHOLE}
CASES = [("official", *case) for case in OFFICIAL.items()] + [("legacy", *case) for case in LEGACY.items()]


def toy(v: Vector, condition: Tensor, item_of_row: Tensor) -> Velocity:
    """The vectors' analytic flow: tanh(x W) (1 + t / 1000) + mean(condition) / 2."""

    def velocity(state: Tensor, scaled: Tensor) -> Tensor:
        ones = [1] * (state.dim() - 1)
        mixed = torch.tanh(torch.einsum("bc...,cd->bd...", state, v.state["Wm"]))
        factor = (1 + scaled / 1000)[item_of_row].view(-1, *ones)
        return mixed * factor + condition.mean(dim=(1, 2))[item_of_row].view(-1, *ones) / 2

    return velocity


@pytest.mark.parametrize(("formula", "name", "options"), CASES)
def test_dense_walks_give_the_published_numbers(formula: str, name: str, options: SamplerOptions):
    v = vector(f"sampler_{formula}")
    flows = [toy(v, v.given[key], torch.arange(2)) for key in ("cond", "neg_cond")]
    steps = list(walk(v.given["noise"], *flows, replace(options, formula=formula), items=2))
    middle = steps[options.steps // 2]
    assert_close(steps[-1].state, v.expected[f"{name}.samples"], tolerance=1e-5)
    assert_close(steps[0].state, v.expected[f"{name}.x_t_0"], tolerance=1e-5)
    assert_close(steps[0].clean, v.expected[f"{name}.x0_0"], tolerance=1e-5)
    assert_close(middle.state, v.expected[f"{name}.x_t_mid"], tolerance=1e-5)
    assert_close(middle.clean, v.expected[f"{name}.x0_mid"], tolerance=1e-5)


@pytest.mark.parametrize(
    ("formula", "name", "options"),
    [
        ("official", "app_v02_slat_sparse", LATENT_SAMPLING),
        ("official", "sparse_25_5.0_r3", STOCK),
        ("legacy", "sparse_25_5.0_r3", STOCK),
    ],
)
def test_sparse_walks_give_the_published_numbers(formula: str, name: str, options: SamplerOptions):
    v = vector(f"sampler_{formula}")
    voxels = Voxels(v.given["sparse_coords"])
    item = voxels.coordinates[:, 0].long()
    flows = [toy(v, v.given[key], item) for key in ("cond", "neg_cond")]
    options = replace(options, formula=formula)
    deviation = sparse_deviation(voxels.spans)
    steps = list(walk(v.given["sparse_feats"], *flows, options, items=2, deviation=deviation))
    assert_close(steps[-1].state, v.expected[f"{name}.samples"], tolerance=1e-5)
    assert_close(steps[0].clean, v.expected[f"{name}.x0_0"], tolerance=1e-5)


@pytest.mark.parametrize("formula", ["official", "legacy"])
def test_times_are_those_published(formula: str):
    v = vector(f"sampler_{formula}")
    sequences = {key.removeprefix("t_seq."): value for key, value in v.expected.items() if "t_seq" in key}
    assert len(sequences) == 4
    for name, expected in sequences.items():
        steps, rescale = name.split("_r")
        options = SamplerOptions(steps=int(steps), time_rescale=float(rescale))
        np.testing.assert_allclose(times(options), expected.numpy(), atol=1e-12)


def test_a_legacy_strength_is_an_official_one_plus_one():
    assert SamplerOptions(strength=6.5, formula="legacy").weight == SamplerOptions(strength=7.5).weight


def test_the_walk_can_be_stopped_between_steps():
    calls = []

    def flow(state: Tensor, scaled: Tensor) -> Tensor:
        calls.append(float(scaled[0]))
        return state

    walking = walk(torch.ones(1, 2), flow, flow, SamplerOptions(steps=10, strength=1.0))
    assert next(walking).number == 1
    walking.close()
    assert calls == [1000.0]


def test_a_negative_branch_costs_nothing_outside_the_interval():
    calls = {"with": 0, "without": 0}

    def flow(name: str) -> Velocity:
        def velocity(state: Tensor, scaled: Tensor) -> Tensor:
            calls[name] += 1
            return torch.zeros_like(state)

        return velocity

    options = SamplerOptions(steps=4, interval=(0.5, 1.0), time_rescale=1.0)
    list(walk(torch.ones(1, 2), flow("with"), flow("without"), options))
    assert calls == {"with": 4, "without": 3}  # 1, 0.75 and 0.5 are inside, 0.25 is not
