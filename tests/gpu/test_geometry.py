"""Visibility, interpolation and silhouettes on the GPU against the CPU backend."""

from __future__ import annotations

import pytest
import torch

from helpers.cuda.comparison import assert_same, distance, render_all, scene, silhouette_gradient
from helpers.shapes import bumpy_sphere, orbit, to_clip
from objectscan.errors import ResourceError
from objectscan.render import (
    antialias,
    build_adjacency,
    interpolate,
    interpolate_covered,
    rasterize,
    scatter_covered,
)
from objectscan.render.cuda import antialiasing, rasterizing

GPU = torch.device("cuda")


@pytest.mark.parametrize("name", ["bumpy", "fine", "coarse", "floor"])
@pytest.mark.parametrize("direct", [True, False])
def test_all_results_and_gradients_are_those_of_the_cpu(name, direct):
    assert_same(render_all(name), render_all(name, "cuda", direct=direct))


@pytest.mark.parametrize("divisions, size_px", [(22, 512), (70, 512), (70, 1024), (223, 512)])
def test_large_pictures_see_the_same_triangles(divisions, size_px):
    vertices, faces = bumpy_sphere(divisions)
    clip, triangles = to_clip(vertices, orbit(2)), torch.from_numpy(faces)
    expected = rasterize(clip, triangles, (size_px, size_px), derivatives=True)
    seen = rasterize(clip.to(GPU), triangles.to(GPU), (size_px, size_px), derivatives=True)
    assert torch.equal(expected.triangle, seen.triangle.cpu())
    assert distance(expected.barycentrics, seen.barycentrics.cpu()) < 1e-6
    assert distance(expected.depth, seen.depth.cpu()) < 1e-6
    assert distance(expected.derivatives, seen.derivatives.cpu()) < 1e-6
    assert torch.equal(build_adjacency(triangles), build_adjacency(triangles.to(GPU)).cpu())


@pytest.mark.parametrize("name", ["bumpy", "coarse"])
def test_peeled_layers_are_those_of_the_cpu(name):
    clip, _, faces, size = scene(name)
    expected = seen = None
    for _ in range(3):
        expected = rasterize(clip, faces, size, behind=expected)
        seen = rasterize(clip.to(GPU), faces.to(GPU), size, behind=seen)
        assert torch.equal(expected.triangle, seen.triangle.cpu())


def test_lists_that_are_too_short_lose_nothing(monkeypatch):
    expected = render_all("coarse")
    monkeypatch.setattr(rasterizing, "_QUEUE_CAPACITY", 1)
    monkeypatch.setattr(antialiasing, "_FEWEST_PAIRS", 1)
    monkeypatch.setattr(antialiasing, "_PIXELS_A_PAIR", 1 << 40)
    assert_same(expected, render_all("coarse", "cuda"))


@pytest.mark.parametrize("divisions", [4, 12, 40, 120])
def test_the_silhouette_gradient_is_the_analytic_one(divisions):
    assert silhouette_gradient(divisions, 256, GPU) == pytest.approx(1.0, abs=0.03)


def _step(clip, vertices, faces, adjacency, size, capacity):
    hits = rasterize(clip, faces, size, derivatives=True).padded(capacity)
    values, slopes = interpolate_covered(vertices, faces, hits, derivatives=True)
    listed = scatter_covered(torch.cat([values, slopes], dim=1), hits)
    picture = torch.cat([interpolate(vertices, faces, hits), listed], dim=-1)
    smooth = antialias(picture, hits, clip, faces, adjacency)
    return torch.autograd.grad(smooth.square().mean(), [clip, vertices])


def test_a_cuda_graph_holds_a_step_and_follows_its_inputs():
    clip, vertices, faces, size = (
        item.to(GPU) if isinstance(item, torch.Tensor) else item for item in scene("bumpy")
    )
    clip.requires_grad_()
    vertices.requires_grad_()
    adjacency = build_adjacency(faces)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            _step(clip, vertices, faces, adjacency, size, 12_000)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        seen = _step(clip, vertices, faces, adjacency, size, 12_000)
    for shift in (0.0, 0.05):
        with torch.no_grad():
            clip[..., 0] += shift
        graph.replay()
        expected = _step(clip, vertices, faces, adjacency, size, 12_000)
        for one, other in zip(expected, seen, strict=True):
            assert distance(one, other) < 1e-5


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_no_operation_waits_for_the_gpu():
    clip, vertices, faces, size = (
        item.to(GPU) if isinstance(item, torch.Tensor) else item for item in scene("bumpy")
    )
    clip.requires_grad_()
    vertices.requires_grad_()
    adjacency = build_adjacency(faces)
    _step(clip, vertices, faces, adjacency, size, 12_000)
    torch.cuda.set_sync_debug_mode("error")
    try:
        build_adjacency(faces)
        _step(clip, vertices, faces, adjacency, size, 12_000)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_tensors_on_two_devices_are_refused():
    clip, _, faces, size = scene("bumpy")
    with pytest.raises(ResourceError, match="cpu and cuda"):
        rasterize(clip.to(GPU), faces, size)


def test_another_thread_can_render():
    from concurrent.futures import ThreadPoolExecutor

    clip, _, faces, size = scene("bumpy")
    expected = rasterize(clip, faces, size).triangle
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(lambda: rasterize(clip.to(GPU), faces.to(GPU), size).triangle.cpu()).result()
    assert torch.equal(expected, seen)
