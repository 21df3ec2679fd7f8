"""CUDA kernels of textures, cube maps, light and shading, built for the CPU, against the CPU backend."""

from __future__ import annotations

import pytest
import torch

from helpers.cuda.comparison import assert_same, distance, gradients_of
from helpers.cuda.surfaces import bilinear, cube, lit, numbers, textured
from objectscan.errors import InputError
from objectscan.render import build_mips, sample_texture
from objectscan.render.cuda import operations, sampling


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_a_trilinear_lookup_is_that_of_the_cpu(wrap, channels, on_emulator):
    assert_same(textured(wrap=wrap, channels=channels), on_emulator(textured, wrap=wrap, channels=channels))


def test_levels_too_large_for_a_blocks_memory_have_the_same_gradient(monkeypatch, on_emulator):
    monkeypatch.setattr(sampling, "_LOCAL_FLOATS", 0)
    assert_same(textured(), on_emulator(textured))


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
def test_a_bilinear_lookup_is_that_of_the_cpu(wrap, on_emulator):
    assert_same(bilinear(wrap=wrap), on_emulator(bilinear, wrap=wrap))


def test_only_the_levels_that_want_one_get_a_gradient(on_emulator):
    mips, uv = build_mips(numbers(16, 16, 3, seed=1)), torch.rand(400, 2)
    footprint = numbers(400, 4, seed=2) / 8

    def work(level):
        return sample_texture([*mips[:1], level, *mips[2:]], uv, footprint=footprint)

    assert_same(gradients_of(work, mips[1]), on_emulator(gradients_of, work, mips[1]))


def test_coordinates_that_are_no_numbers_stay_inside_the_texture(on_emulator):
    texture, uv = numbers(4, 4, 1, seed=1), torch.tensor([[float("nan"), 0.5], [float("inf"), -float("inf")]])
    assert distance(sample_texture([texture], uv), on_emulator(sample_texture, [texture], uv)) < 1e-6


def test_too_many_levels_are_refused(on_emulator):
    mips = [torch.zeros(1, 1, 1)] * 17
    with pytest.raises(InputError, match="17 levels"):
        on_emulator(sample_texture, mips, torch.rand(3, 2), footprint=torch.rand(3, 4))


@pytest.mark.parametrize("channels", [3, 5])
def test_a_cube_map_lookup_is_that_of_the_cpu(channels, on_emulator):
    assert_same(cube(channels=channels), on_emulator(cube, channels=channels))


def test_filtered_light_and_shading_are_those_of_the_cpu(on_emulator):
    assert_same(lit(), on_emulator(lit))


def test_the_kernels_really_run(emulator):
    textured(points=100)
    cube()
    lit()
    backward = {"sample_texture_backward", "sample_cubemap_backward", "shade_backward", "multiply_rows"}
    assert backward <= set(emulator.launched)


def test_both_backends_offer_the_same_operations():
    from objectscan.render.cpu import operations as on_cpu

    assert set(on_cpu.__all__) <= set(operations.__all__)
