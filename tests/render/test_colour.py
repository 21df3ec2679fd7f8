from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.gradients import worst_gradient_error
from objectscan.render import linear_from_srgb, srgb_from_linear
from objectscan.render.colour import linear_from_srgb_array, srgb_from_linear_array

VALUES = torch.linspace(-0.2, 1.5, 341, dtype=torch.float64)


@pytest.mark.parametrize(("srgb", "linear"), [(0.0, 0.0), (0.02, 0.02 / 12.92), (0.5, 0.2140411), (1.0, 1.0)])
def test_known_values_of_the_standard(srgb, linear):
    assert float(linear_from_srgb(torch.tensor(srgb, dtype=torch.float64))) == pytest.approx(linear, abs=1e-7)
    assert float(srgb_from_linear(torch.tensor(linear, dtype=torch.float64))) == pytest.approx(srgb, abs=1e-7)


def test_encoding_undoes_decoding_beyond_both_ends():
    assert torch.allclose(srgb_from_linear(linear_from_srgb(VALUES)), VALUES, atol=2e-7)


def test_numpy_twins_agree_with_torch():
    assert np.allclose(linear_from_srgb_array(VALUES.numpy()), linear_from_srgb(VALUES).numpy(), atol=1e-15)
    assert np.allclose(srgb_from_linear_array(VALUES.numpy()), srgb_from_linear(VALUES).numpy(), atol=1e-15)


@pytest.mark.parametrize("curve", [linear_from_srgb, srgb_from_linear])
def test_gradients_are_right_and_finite_at_black(curve):
    weights = torch.rand(len(VALUES), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert worst_gradient_error(lambda values: (curve(values) * weights).sum(), [VALUES]) < 1e-5
    black = torch.zeros(3, requires_grad=True)
    curve(black).sum().backward()
    slope = 12.92 if curve is srgb_from_linear else 1 / 12.92
    assert torch.allclose(black.grad, torch.full((3,), slope))
