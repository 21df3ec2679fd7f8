"""CUDA kernels of visibility, interpolation and silhouettes, built for the CPU, against the CPU backend."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.cuda.comparison import assert_same, distance, render_all, scene
from objectscan.errors import InputError
from objectscan.render import (
    antialias,
    build_adjacency,
    interpolate,
    interpolate_covered,
    rasterize,
    scatter_covered,
)
from objectscan.render.cuda import antialiasing, rasterizing

SCENES = ("bumpy", "fine", "coarse", "floor")


@pytest.mark.parametrize("name", SCENES)
def test_all_results_and_gradients_are_those_of_the_cpu(name, on_emulator):
    assert_same(render_all(name), on_emulator(render_all, name))


def test_gradients_through_pictures_of_barycentrics_are_the_same(on_emulator):
    assert_same(render_all("coarse"), on_emulator(render_all, "coarse", direct=False))


def test_the_kernels_really_run(emulator):
    render_all("fine")
    assert {"prepare", "draw_triangles", "draw_queue", "resolve", "interpolate_backward"} <= set(
        emulator.launched
    )


def _layers(name):
    clip, _, faces, size = scene(name)
    first = rasterize(clip, faces, size)
    second = rasterize(clip, faces, size, behind=first)
    third = rasterize(clip, faces, size, behind=second)
    return [hits.triangle for hits in (first, second, third)]


@pytest.mark.parametrize("name", ["bumpy", "coarse"])
def test_peeled_layers_are_those_of_the_cpu(name, on_emulator):
    expected, seen = _layers(name), on_emulator(_layers, name)
    assert all(torch.equal(one, other) for one, other in zip(expected, seen, strict=True))
    assert (expected[1] >= 0).any()


def test_culling_drops_the_same_triangles(on_emulator):
    clip, _, faces, size = scene("bumpy")
    flipped = faces.flip(1).contiguous()
    for given in (faces, flipped):
        expected = rasterize(clip, given, size, cull="back").triangle
        assert torch.equal(expected, on_emulator(rasterize, clip, given, size, cull="back").triangle)


def test_a_full_queue_of_tiles_loses_nothing(monkeypatch, on_emulator):
    clip, _, faces, size = scene("coarse")
    expected = rasterize(clip, faces, size).triangle
    monkeypatch.setattr(rasterizing, "_QUEUE_CAPACITY", 1)
    assert torch.equal(expected, on_emulator(rasterize, clip, faces, size).triangle)


def test_a_full_list_of_pairs_loses_nothing(monkeypatch, on_emulator):
    expected = render_all("bumpy")
    monkeypatch.setattr(antialiasing, "_FEWEST_PAIRS", 1)
    monkeypatch.setattr(antialiasing, "_PIXELS_A_PAIR", 1 << 40)
    assert_same(expected, on_emulator(render_all, "bumpy"))


def test_a_face_without_its_vertex_is_left_out(on_emulator):
    clip, vertices, faces, size = scene("bumpy")
    broken = faces.clone()
    broken[::2, 1] = len(vertices) + 5
    broken[1::4, 0] = -1
    valid = ((broken >= 0) & (broken < len(vertices))).all(dim=1)

    def work():
        hits = rasterize(clip, broken, size)
        return hits.triangle, interpolate(vertices, broken, hits)

    triangle, picture = on_emulator(work)
    kept = rasterize(clip, faces[valid].contiguous(), size)
    numbers = torch.cat([valid.nonzero()[:, 0], torch.tensor([-1])]).int()
    assert torch.equal(triangle, numbers[kept.triangle.long()])
    assert distance(interpolate(vertices, faces[valid].contiguous(), kept), picture) < 1e-6


def test_corners_that_attributes_lack_give_zero(on_emulator):
    clip, vertices, faces, size = scene("bumpy")

    def work():
        hits = rasterize(clip, faces, size)
        few = vertices[: len(vertices) // 2].clone().requires_grad_()
        picture = interpolate(few, faces, hits)
        picture.sum().backward()
        return hits.triangle, picture.detach(), few.grad

    triangle, picture, gradient = on_emulator(work)
    missing = (faces >= len(vertices) // 2).any(dim=1)[triangle.clamp_min(0).long()] & (triangle >= 0)
    assert missing.any()
    assert not picture[missing].any()
    assert torch.isfinite(gradient).all()


def test_each_view_can_have_its_own_attributes(on_emulator):
    clip, vertices, faces, size = scene("bumpy")
    own = torch.stack([vertices, vertices.flip(1) * 2])

    def work():
        leaf = own.clone().requires_grad_()
        hits = rasterize(clip, faces, size)
        values = interpolate_covered(leaf, faces, hits)
        picture = interpolate(leaf, faces, hits)
        ((values * values).sum() + (picture * picture * picture).sum()).backward()
        return values.detach(), picture.detach(), leaf.grad

    for expected, seen in zip(work(), on_emulator(work), strict=True):
        assert distance(expected, seen) < 1e-6


@pytest.mark.parametrize("channels", [1, 5, 12])
def test_any_number_of_channels_has_its_gradient(channels, on_emulator):
    clip, vertices, faces, size = scene("coarse")
    attributes = torch.sin(vertices @ torch.randn(3, channels))

    def work():
        leaves = [tensor.clone().requires_grad_() for tensor in (clip, attributes)]
        hits = rasterize(leaves[0], faces, size)
        interpolate(leaves[1], faces, hits).square().sum().backward()
        return [leaf.grad for leaf in leaves]

    for expected, seen in zip(work(), on_emulator(work), strict=True):
        assert distance(expected, seen) < 1e-5


def test_a_padded_list_ends_with_zeros_and_gives_the_same_picture(on_emulator):
    clip, vertices, faces, size = scene("bumpy")

    def work(capacity):
        leaves = [tensor.clone().requires_grad_() for tensor in (clip, vertices)]
        hits = rasterize(leaves[0], faces, size, derivatives=True)
        if capacity:
            hits = hits.padded(capacity)
        values, slopes = interpolate_covered(leaves[1], faces, hits, derivatives=True)
        picture = scatter_covered(values.square(), hits)
        (picture.sum() + slopes.square().sum()).backward()
        return hits, values.detach(), picture.detach(), [leaf.grad for leaf in leaves]

    expected = work(0)
    count = len(expected[1])
    # The emulated tensors are on the CPU, where lists are never padded: ask the backend itself.
    hits, values, picture, gradients = on_emulator(_padded_work, work, count + 37)
    assert hits.overflow is not None and not hits.overflow
    assert torch.equal(hits.pixels()[:count], expected[0].pixels())
    assert (hits.pixels()[count:] == -1).all() and not values[count:].any()
    assert distance(expected[2], picture) < 1e-6
    for one, other in zip(expected[3], gradients, strict=True):
        assert distance(one, other) < 1e-5
    assert on_emulator(_padded_work, work, count - 5)[0].overflow


def _padded_work(work, capacity):
    from dataclasses import replace

    from objectscan.render.cuda.interpolating import padded_pixels
    from objectscan.render.rasterize import Hits

    def padded(self, length):
        pixels, count = padded_pixels(self.triangle, length)
        return replace(self, _cache={**self._cache, "pixels": pixels, "overflow": count > length})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hits, "padded", padded)
        return work(capacity)


def test_adjacency_of_fans_borders_and_degenerate_faces(on_emulator):
    rows = [[0, 1, 2], [2, 1, 3], [1, 2, 4], [3, 1, 5], [6, 7, 8], [8, 7, 9], [5, 5, 5], [5, 5, 5]]
    faces = torch.tensor(rows, dtype=torch.int32)
    seen = on_emulator(build_adjacency, faces)
    assert torch.equal(seen, build_adjacency(faces))
    assert seen[0].tolist() == [-1, -1, -1]  # three faces on edge 1-2


def test_double_precision_is_refused_by_name(on_emulator):
    clip, _, faces, size = scene("bumpy")
    with pytest.raises(InputError, match=r"clip_positions is torch\.float64"):
        on_emulator(rasterize, clip.double(), faces, size)


def test_nothing_to_draw_is_an_empty_picture(on_emulator):
    clip, vertices, _, size = scene("bumpy")
    none = torch.zeros((0, 3), dtype=torch.int32)

    def work():
        hits = rasterize(clip, none, size)
        picture = interpolate(vertices, none, hits)
        return hits, antialias(picture, hits, clip, none, build_adjacency(none))

    hits, picture = on_emulator(work)
    assert (hits.triangle == -1).all() and (hits.depth == 1).all() and not picture.any()


def test_positions_that_are_no_numbers_hide_only_their_own_triangles(on_emulator):
    clip, _, faces, size = scene("bumpy")
    bad = clip.clone()
    bad[0, :3] = torch.tensor([np.nan, np.inf, -np.inf])[:, None]
    expected = rasterize(bad, faces, size).triangle
    assert torch.equal(expected, on_emulator(rasterize, bad, faces, size).triangle)
