"""Textures, cube maps, light and shading on the GPU against the CPU backend."""

from __future__ import annotations

import pytest
import torch

from helpers.cuda.comparison import assert_same, distance
from helpers.cuda.surfaces import bilinear, cube, lit, numbers, textured
from objectscan.render import PrefilterOperator, build_mips, sample_texture, shade_split_sum

GPU = torch.device("cuda")


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_a_trilinear_lookup_is_that_of_the_cpu(wrap, channels):
    options = {"wrap": wrap, "channels": channels, "points": 50_000}
    assert_same(textured(**options), textured("cuda", **options))


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
def test_a_bilinear_lookup_is_that_of_the_cpu(wrap):
    assert_same(bilinear(wrap=wrap), bilinear("cuda", wrap=wrap))


@pytest.mark.parametrize("channels", [3, 5])
def test_a_cube_map_lookup_is_that_of_the_cpu(channels):
    assert_same(cube(channels=channels), cube("cuda", channels=channels))


def test_filtered_light_and_shading_are_those_of_the_cpu():
    assert_same(lit(), lit("cuda"))


def _step(texture, uv, footprint, radiance, operator):
    values = sample_texture(build_mips(texture), uv, footprint=footprint)
    normals = torch.nn.functional.normalize(values[:, 3:6] + 0.1, dim=1)
    shaded = shade_split_sum(values[:, :3], values[:, 6:9], normals, normals, operator(radiance))
    return torch.autograd.grad(shaded.square().mean(), [texture, uv, radiance])


def test_a_cuda_graph_holds_texture_light_and_shading():
    operator = PrefilterOperator(16)
    leaves = [numbers(64, 64, 9, seed=1), numbers(5000, 2, seed=2), numbers(6, 16, 16, 3, seed=4).abs()]
    texture, uv, radiance = (tensor.to(GPU).requires_grad_() for tensor in leaves)
    inputs = texture, uv, numbers(5000, 4, seed=3).to(GPU) / 16, radiance, operator
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            _step(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        seen = _step(*inputs)
    graph.replay()
    for one, other in zip(_step(*inputs), seen, strict=True):
        assert distance(one, other) < 1e-5
