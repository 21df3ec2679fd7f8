from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.gradients import worst_gradient_error
from objectscan.errors import InputError
from objectscan.render import build_mips, sample_texture


def _texture(height, width, channels=3, seed=0):
    return torch.rand(
        height, width, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def _points(count, seed=1):
    """Inside and outside [0, 1]."""
    return (
        torch.rand(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 1.8 - 0.4
    )


def _bilinear_by_hand(texture, u, v, wrap):
    height, width = texture.shape[:2]
    x, y = u * width - 0.5, v * height - 0.5
    i, j = int(np.floor(x)), int(np.floor(y))
    total = torch.zeros(texture.shape[2], dtype=texture.dtype)
    for dj in (0, 1):
        for di in (0, 1):
            weight = (1 - abs(x - i - di)) * (1 - abs(y - j - dj))
            column, row = i + di, j + dj
            if wrap == "repeat":
                column, row = column % width, row % height
            total += weight * texture[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
    return total


def _level_by_hand(footprint, width, height):
    """log2 of the longest axis of the ellipse: the largest singular value of the Jacobian in texels."""
    jacobian = footprint.reshape(2, 2).numpy() * np.array([[width], [height]])
    return np.log2(np.linalg.svd(jacobian, compute_uv=False)[0])


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
def test_each_point_agrees_with_the_bilinear_definition(wrap):
    texture, points = _texture(6, 10), _points(200)
    values = sample_texture([texture], points, wrap=wrap)
    for point, value in zip(points, values, strict=True):
        torch.testing.assert_close(value, _bilinear_by_hand(texture, *point.tolist(), wrap))


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
def test_each_point_agrees_with_the_trilinear_definition(wrap):
    mips, points = build_mips(_texture(16, 8)), _points(200)
    footprint = (
        torch.randn(200, 4, dtype=torch.float64) * torch.logspace(-3, 0.5, 200, dtype=torch.float64)[:, None]
    )
    values = sample_texture(mips, points, footprint=footprint, wrap=wrap)
    used = set()
    for point, foot, value in zip(points, footprint, values, strict=True):
        level = min(max(_level_by_hand(foot, 8, 16), 0.0), len(mips) - 1.0)
        low = min(int(level), len(mips) - 2)
        used.add(low)
        parts = [_bilinear_by_hand(mips[low + k], *point.tolist(), wrap) for k in range(2)]
        torch.testing.assert_close(value, parts[0] * (low + 1 - level) + parts[1] * (level - low))
    assert used == set(range(len(mips) - 1))


def test_clamped_lookup_agrees_with_torch():
    texture, points = _texture(7, 5), _points(300)
    expected = torch.nn.functional.grid_sample(
        texture.permute(2, 0, 1)[None], points[None, None] * 2 - 1, padding_mode="border", align_corners=False
    )
    torch.testing.assert_close(sample_texture([texture], points), expected[0, :, 0].T)


def test_a_texel_centre_returns_its_texel_and_row_zero_is_v_zero():
    texture = _texture(4, 8)
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(8), indexing="ij")
    centres = torch.stack([(columns + 0.5) / 8, (rows + 0.5) / 4], dim=-1).double()
    torch.testing.assert_close(sample_texture([texture], centres), texture)


def test_a_pixel_of_four_texels_reads_the_level_of_four_texels():
    mips, points = build_mips(_texture(16, 16)), _points(50)
    footprint = torch.tensor([4 / 16, 0.0, 0.0, 4 / 16], dtype=torch.float64).expand(50, 4)
    torch.testing.assert_close(
        sample_texture(mips, points, footprint=footprint), sample_texture(mips[2:3], points)
    )


def test_mips_are_means_of_four_texels_down_to_one():
    texture = _texture(8, 4)
    mips = build_mips(texture)
    assert [tuple(mip.shape[:2]) for mip in mips] == [(8, 4), (4, 2), (2, 1), (1, 1)]
    torch.testing.assert_close(mips[1][3, 1], texture[6:8, 2:4].mean(dim=(0, 1)))
    torch.testing.assert_close(mips[-1][0, 0], texture.mean(dim=(0, 1)))


def test_mips_stop_at_odd_sides_and_refuse_more_levels_than_there_are():
    assert [tuple(mip.shape[:2]) for mip in build_mips(_texture(12, 6))] == [(12, 6), (6, 3)]
    assert len(build_mips(_texture(8, 8), 2)) == 2
    with pytest.raises(InputError, match="6 x 12"):
        build_mips(_texture(12, 6), 3)


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
def test_gradients_to_texels_coordinates_and_footprint_agree_with_differences(wrap):
    texture, points, weights = _texture(8, 16), _points(60), _texture(60, 1)[:, 0]
    footprint = torch.randn(60, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) * 0.3

    def loss(texels, uv, foot):
        return (sample_texture(build_mips(texels), uv, footprint=foot, wrap=wrap) * weights).sum()

    assert worst_gradient_error(loss, [texture, points, footprint], step=1e-7) < 1e-5


def test_own_levels_of_any_size_get_their_own_gradients():
    levels = [_texture(7, 9), _texture(3, 2, seed=1)]
    footprint = torch.full((40, 4), 0.1, dtype=torch.float64)
    points = _points(40)
    assert (
        worst_gradient_error(
            lambda a, b: sample_texture([a, b], points, footprint=footprint).square().sum(), levels, step=1e-6
        )
        < 1e-6
    )


def test_many_points_on_one_texel_lose_no_gradient():
    texture = torch.zeros(4, 4, 2, dtype=torch.float64, requires_grad=True)
    sample_texture([texture], torch.full((50_000, 2), 0.375, dtype=torch.float64)).sum().backward()
    assert texture.grad[1, 1].tolist() == [50_000, 50_000]
    assert texture.grad.sum() == 100_000


def test_points_keep_their_leading_shape():
    assert sample_texture([_texture(4, 4, 5)], _points(6).reshape(2, 3, 2)).shape == (2, 3, 5)
    assert sample_texture([_texture(4, 4, 5)], _points(0)).shape == (0, 5)


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
def test_coordinates_that_are_no_numbers_stay_within_the_texture(wrap):
    wild = torch.tensor([[float("nan")] * 2, [float("inf")] * 2, [-float("inf")] * 2, [1e30, -1e30]]).double()
    texture = _texture(4, 4).requires_grad_()
    mips = build_mips(texture)
    footprint = torch.full((4, 4), float("nan"), dtype=torch.float64)
    values = sample_texture(mips, wild, footprint=footprint, wrap=wrap)
    values.nan_to_num().sum().backward()
    assert values.shape == (4, 3)


def test_levels_are_required_and_types_must_agree():
    with pytest.raises(InputError, match="no levels"):
        sample_texture([], _points(3))
    with pytest.raises(InputError, match="float64"):
        sample_texture([_texture(4, 4).float()], _points(3))
