from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from helpers.gradients import worst_gradient_error
from objectscan.render import sample_cubemap
from objectscan.render.cubemap import texel_directions, texel_solid_angles

FACES = (  # (u, v) in [-1, 1] to direction, in the order of docs/conventions.md
    lambda u, v: (1, -v, -u),
    lambda u, v: (-1, -v, u),
    lambda u, v: (u, 1, v),
    lambda u, v: (u, -1, -v),
    lambda u, v: (u, -v, 1),
    lambda u, v: (-u, -v, -1),
)


def _cubemap(edge, channels=2, seed=0):
    return torch.rand(
        6, edge, edge, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def _directions(count, seed=1):
    return torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _texel_beyond(face, row, column, edge):
    """The texel next to the border of a face: its centre folded over the edge, exactly."""
    half = 1 / edge
    u, v = (2 * column + 1) * half - 1, (2 * row + 1) * half - 1
    direction = np.array(FACES[face](u, v), float)
    axis = face // 2
    over = int(np.argmax([0 if k == axis else abs(x) for k, x in enumerate(direction)]))
    direction[axis] *= 1 - half  # half a texel inside the neighbour
    direction[over] = np.sign(direction[over])
    other = 2 * over + (direction[over] < 0)
    for j, i in itertools.product(range(edge), range(edge)):
        if np.allclose(FACES[other]((2 * i + 1) * half - 1, (2 * j + 1) * half - 1), direction):
            return other, j, i
    raise AssertionError("a folded texel centre is a texel centre")


def _sample_by_hand(cubemap, direction):
    """Bilinear from the definition; at a corner of the cube the missing texel is the mean of the other
    three.
    """
    edge = cubemap.shape[1]
    axis = int(np.abs(direction).argmax())
    face = 2 * axis + int(direction[axis] < 0)
    x, y, z = direction / abs(direction[axis])
    u, v = [(-z, -y), (z, -y), (x, z), (x, -z), (x, -y), (-x, -y)][face]
    column, row = (u + 1) / 2 * edge - 0.5, (v + 1) / 2 * edge - 0.5
    i, j = int(np.floor(column)), int(np.floor(row))
    taps, missing = {}, None
    for dj, di in itertools.product((0, 1), (0, 1)):
        out = [not 0 <= i + di < edge, not 0 <= j + dj < edge]
        if all(out):
            missing = (dj, di)
        elif any(out):
            taps[dj, di] = cubemap[_texel_beyond(face, j + dj, i + di, edge)]
        else:
            taps[dj, di] = cubemap[face, j + dj, i + di]
    if missing:
        taps[missing] = sum(taps.values()) / 3
    return sum(
        (1 - abs(row - j - dj)) * (1 - abs(column - i - di)) * texel for (dj, di), texel in taps.items()
    )


@pytest.mark.parametrize("edge", [1, 2, 5])
def test_each_direction_agrees_with_the_definition(edge):
    cubemap, directions = _cubemap(edge), _directions(300)
    directions[:100] = directions[:100].sign() + 0.1 * directions[100:200]  # near the corners of the cube
    directions[100:200, 0] = directions[100:200, 1] * (1 + 0.05 * directions[200:300, 2])  # near its edges
    values = sample_cubemap([cubemap], directions)
    for direction, value in zip(directions, values, strict=True):
        torch.testing.assert_close(value, _sample_by_hand(cubemap, direction.numpy()))


@pytest.mark.parametrize("face", range(6))
def test_a_texel_centre_returns_its_texel(face):
    cubemap = _cubemap(4)
    centres = [[FACES[face]((2 * i + 1) / 4 - 1, (2 * j + 1) / 4 - 1) for i in range(4)] for j in range(4)]
    values = sample_cubemap([cubemap], torch.tensor(centres, dtype=torch.float64).reshape(-1, 3))
    torch.testing.assert_close(values.reshape(4, 4, 2), cubemap[face])


def test_there_is_no_jump_across_edges_or_at_corners():
    """Pairs of directions a millionth apart on different faces, along all 12 edges and around all 8
    corners.
    """
    cubemap, along = _cubemap(6), torch.linspace(-1, 1, 41, dtype=torch.float64)
    pairs = []
    for first, second in itertools.combinations(range(3), 2):
        third = 3 - first - second
        for s, t in itertools.product((-1.0, 1.0), (-1.0, 1.0)):
            edge = torch.zeros(41, 3, dtype=torch.float64)
            edge[:, first], edge[:, second], edge[:, third] = s, t, along
            nudge = torch.zeros(3, dtype=torch.float64)
            nudge[first], nudge[second] = s * 1e-6, -t * 1e-6
            pairs.append((edge + nudge, edge - nudge))
    one, other = (torch.cat(side) for side in zip(*pairs, strict=True))
    jump = (sample_cubemap([cubemap], one) - sample_cubemap([cubemap], other)).abs().max()
    assert jump < 1e-4


def test_a_map_that_holds_its_directions_returns_the_direction():
    directions = _directions(2000)
    values = sample_cubemap([torch.from_numpy(texel_directions(32))], directions)
    assert (normalize(values, dim=1) - normalize(directions, dim=1)).norm(
        dim=1
    ).max() < 8e-3  # a texel is 0.06


def test_the_level_blends_linearly_and_is_clamped():
    mips, directions = [_cubemap(8), _cubemap(4, seed=1), _cubemap(2, seed=2)], _directions(5)
    single = [sample_cubemap([mip], directions) for mip in mips]
    for level, expected in (
        (0.25, 0.75 * single[0] + 0.25 * single[1]),
        (1.0, single[1]),
        (9.0, single[2]),
        (-3.0, single[0]),
    ):
        torch.testing.assert_close(
            sample_cubemap(mips, directions, torch.full((5,), level).double()), expected
        )
    torch.testing.assert_close(sample_cubemap(mips, directions), single[0])


def test_gradients_to_texels_directions_and_level_agree_with_differences():
    mips, directions, weights = [_cubemap(4), _cubemap(2, seed=1)], _directions(200), _cubemap(200)[0, 0]
    directions[:40] = directions[:40].sign() + 0.05 * directions[40:80]
    level = torch.rand(200, dtype=torch.float64) * 0.98 + 0.01

    def loss(fine, coarse, towards, which):
        return (sample_cubemap([fine, coarse], towards, which) * weights).sum()

    assert worst_gradient_error(loss, [*mips, directions, level], step=1e-7) < 1e-5


def test_length_of_the_direction_does_not_matter():
    cubemap, directions = _cubemap(4), _directions(50)
    torch.testing.assert_close(
        sample_cubemap([cubemap], directions), sample_cubemap([cubemap], 7 * directions)
    )


def test_many_directions_on_one_texel_lose_no_gradient():
    cubemap = torch.zeros(6, 3, 3, 1, dtype=torch.float64, requires_grad=True)
    towards = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand(20_000, 3)
    sample_cubemap([cubemap], towards).sum().backward()
    assert cubemap.grad[4, 1, 1].item() == 20_000
    assert cubemap.grad.sum() == 20_000


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
def test_directions_and_levels_that_are_no_numbers_stay_within_the_map(bad):
    mips = [_cubemap(4).requires_grad_(), _cubemap(2)]
    directions = torch.full((3, 3), bad, dtype=torch.float64, requires_grad=True)
    level = torch.full((3,), bad, dtype=torch.float64, requires_grad=True)
    values = sample_cubemap(mips, directions, level)
    values.nan_to_num().sum().backward()
    assert values.shape == (3, 2)


def test_solid_angles_of_texels_fill_the_sphere():
    angles = texel_solid_angles(7)
    assert angles.sum() == pytest.approx(4 * np.pi)
    assert angles[0, 3, 3] > angles[0, 0, 0] > 0
