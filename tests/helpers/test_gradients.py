from __future__ import annotations

import pytest
import torch

from helpers.gradients import worst_gradient_error


class _WrongBySign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return (x * y).sum()

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y, -g * x


class _SlightlyWrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square().sum()

    @staticmethod
    def backward(ctx, g):
        return g * 2.002 * ctx.saved_tensors[0]


def _values(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_a_right_gradient_passes():
    assert worst_gradient_error(lambda x, y: (x.sin() * y).sum(), [_values(5), _values(5)]) < 1e-7


def test_a_gradient_of_the_wrong_sign_in_one_input_is_found():
    assert worst_gradient_error(_WrongBySign.apply, [_values(5), _values(5)]) > 1.0


def test_a_gradient_wrong_by_a_thousandth_is_found():
    assert 5e-4 < worst_gradient_error(_SlightlyWrong.apply, [_values(5)]) < 2e-3


def test_a_missing_gradient_is_found():
    assert worst_gradient_error(lambda x: x.sum() * 0 + x.detach().sum(), [_values(4)]) > 0.9


def test_single_precision_is_refused():
    with pytest.raises(TypeError, match="float64"):
        worst_gradient_error(lambda x: x.sum(), [torch.ones(3)])
