"""CUDA kernels of the engine, built for the CPU, against the engine's numba kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.cuda import engine
from helpers.cuda.comparison import distance
from objectscan.engines.nvdiffrec import flexicubes
from objectscan.engines.nvdiffrec.cuda import operations, vertex_steps
from objectscan.engines.nvdiffrec.regularisers import LaplacianSmoother
from objectscan.errors import EmptyForeground


def assert_close(ours, theirs, tolerance=1e-5):
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert distance(one, other) < tolerance


@pytest.mark.parametrize(
    "work",
    [
        engine.field_read, engine.field_steps, engine.atlas_steps, engine.row_gradients, engine.bend,
        engine.photo_losses,
    ],
)  # fmt: skip
def test_values_and_gradients_are_those_of_the_cpu(work, on_emulator):
    assert_close(on_emulator(work), work())


def test_without_a_crease_all_bends_count_in_full(on_emulator):
    assert_close(on_emulator(engine.bend, crease=float("inf")), engine.bend(crease=float("inf")))


def test_surfaces_are_those_of_the_cpu_down_to_each_crossing(on_emulator):
    ours, theirs = on_emulator(engine.surface), engine.surface()
    for name, tensor in theirs.items():
        if tensor.dtype.is_floating_point:
            assert distance(ours[name], tensor) < 2e-5, name
        else:
            assert torch.equal(ours[name].long(), tensor.long()), name


def test_a_field_without_a_sign_change_is_refused(on_emulator):
    with pytest.raises(EmptyForeground):
        on_emulator(flexicubes.extract_topology, torch.ones(4, 5, 6))


def test_vertices_move_as_on_the_cpu_within_the_smoothers_error(on_emulator):
    (ours,), (theirs,) = on_emulator(engine.descent), engine.descent()
    assert distance(ours, theirs) < 0.01


@pytest.mark.parametrize("smoothness", [0.5, 12.0])
def test_the_smoother_is_as_exact_as_it_says(smoothness, emulator):
    vertices, faces = engine.ball_of("cpu")
    values = engine.numbers(len(vertices), 3, seed=9)
    smoother = vertex_steps.GraphSmoother(faces.numpy(), len(vertices), smoothness, torch.device("cpu"))
    exact = LaplacianSmoother(faces.numpy(), len(vertices), smoothness).apply(values.numpy())
    assert np.abs(smoother.apply(values).numpy() - exact).max() < 2e-3 * np.abs(exact).max()


def test_more_spread_eigenvalues_take_more_iterations():
    assert [vertex_steps.iterations(spread) for spread in (0.0, 0.5, 0.99)] == [1, 6, 54]


def test_both_backends_offer_the_same_functions():
    from objectscan.engines.nvdiffrec.cpu import operations as on_cpu

    assert all(callable(getattr(on_cpu, name)) for name in operations.__all__)
