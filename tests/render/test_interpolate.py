from __future__ import annotations

import pytest
import torch

from helpers.gradients import worst_gradient_error
from helpers.shapes import orbit, sphere, to_clip
from objectscan.errors import InputError
from objectscan.render import interpolate, interpolate_covered, rasterize, scatter_covered

SIZE = (24, 18)


@pytest.fixture(scope="module")
def scene():
    """(clip positions [2 V 4], faces, attributes [V 5]) of a coarse sphere, double precision."""
    vertices, faces = sphere(3)
    generator = torch.Generator().manual_seed(3)
    attributes = torch.randn(len(vertices), 5, generator=generator, dtype=torch.float64)
    return to_clip(vertices, orbit(2), torch.float64), torch.from_numpy(faces), attributes


def _by_hand(attributes, faces, hits, view, row, column):
    """One pixel, straight from the definition: value [C] and screen derivatives [C 2]."""
    corner = attributes[faces[int(hits.triangle[view, row, column])].long()]
    u, v = hits.barycentrics[view, row, column]
    ux, uy, vx, vy = hits.derivatives[view, row, column]
    value = u * corner[0] + v * corner[1] + (1 - u - v) * corner[2]
    across = ux * corner[0] + vx * corner[1] - (ux + vx) * corner[2]
    down = uy * corner[0] + vy * corner[1] - (uy + vy) * corner[2]
    return value, torch.stack([across, down], dim=-1)


def test_each_covered_pixel_agrees_with_the_definition(scene):
    clip, faces, attributes = scene
    hits = rasterize(clip, faces, SIZE, derivatives=True)
    values, slopes = interpolate_covered(attributes, faces, hits, derivatives=True)
    for p, (view, row, column) in enumerate(torch.nonzero(hits.covered).tolist()):
        value, slope = _by_hand(attributes, faces, hits, view, row, column)
        torch.testing.assert_close(values[p], value)
        torch.testing.assert_close(slopes[p].reshape(-1, 2), slope)


def test_pictures_hold_the_covered_values_and_zeros(scene):
    clip, faces, attributes = scene
    hits = rasterize(clip, faces, SIZE)
    picture = interpolate(attributes, faces, hits)
    assert torch.equal(picture[hits.covered], interpolate_covered(attributes, faces, hits))
    assert (picture[~hits.covered] == 0).all()
    assert (~hits.covered).any()


def test_each_view_may_have_its_own_attributes(scene):
    clip, faces, attributes = scene
    hits = rasterize(clip, faces, SIZE, derivatives=True)
    per_view = torch.stack([attributes, 2 * attributes + 1])
    shared, slopes = interpolate_covered(attributes, faces, hits, derivatives=True)
    own, own_slopes = interpolate_covered(per_view, faces, hits, derivatives=True)
    second = (hits.pixels() >= SIZE[0] * SIZE[1])[:, None]
    torch.testing.assert_close(own, torch.where(second, 2 * shared + 1, shared))
    torch.testing.assert_close(own_slopes, torch.where(second, 2 * slopes, slopes))
    assert (
        worst_gradient_error(lambda a: interpolate_covered(a, faces, hits).square().sum(), [per_view]) < 1e-6
    )


def test_texture_corners_may_have_their_own_indices(scene):
    clip, faces, attributes = scene
    hits = rasterize(clip, faces, SIZE)
    by_corner = attributes[faces.long()].reshape(-1, 5)
    own_faces = torch.arange(len(by_corner), dtype=torch.int32).reshape(-1, 3)
    assert torch.equal(
        interpolate_covered(by_corner, own_faces, hits), interpolate_covered(attributes, faces, hits)
    )


def test_gradients_to_attributes_and_positions_agree_with_differences(scene):
    clip, faces, attributes = scene
    first = rasterize(clip, faces, SIZE)
    u, v = first.barycentrics.unbind(-1)
    # Not clamped to the triangle: there the weights stand still while the corner moves.
    inside = ((u > 1e-3) & (v > 1e-3) & (u + v < 1 - 1e-3)).reshape(-1)[first.pixels()]
    weights = torch.randn(int(inside.sum()), 15, dtype=torch.float64)

    def loss(moved, values):
        hits = rasterize(moved, faces, SIZE, derivatives=True)
        assert torch.equal(hits.triangle, first.triangle)
        colours, slopes = interpolate_covered(values, faces, hits, derivatives=True)
        return (torch.cat([colours, slopes], dim=1)[inside] * weights).sum()

    assert worst_gradient_error(loss, [clip, attributes], step=1e-7) < 1e-5


def test_the_pictures_gradient_is_that_of_the_covered_values(scene):
    clip, faces, attributes = scene
    gradients = []
    for as_picture in (True, False):
        leaves = [clip.clone().requires_grad_(), attributes.clone().requires_grad_()]
        hits = rasterize(leaves[0], faces, SIZE)
        spread = interpolate if as_picture else interpolate_covered
        spread(leaves[1], faces, hits).square().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_many_pixels_on_few_vertices_lose_no_gradient(scene):
    """Two triangles over the whole picture: every pixel of every view adds to the same four rows."""
    corners = torch.tensor(
        [[-9.0, -9, 0, 1], [9, -9, 0, 1], [9, 9, 0, 1], [-9, 9, 0, 1]], dtype=torch.float64
    )
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    hits = rasterize(corners.expand(3, 4, 4), faces, (100, 90))
    attributes = torch.zeros(4, 2, dtype=torch.float64, requires_grad=True)
    interpolate_covered(attributes, faces, hits).sum().backward()
    torch.testing.assert_close(
        attributes.grad.sum(dim=0), torch.full((2,), 3.0 * 100 * 90, dtype=torch.float64)
    )


def test_scattering_puts_each_value_at_its_pixel_and_is_differentiable(scene):
    clip, faces, _ = scene
    hits = rasterize(clip, faces, SIZE)
    values = torch.randn(len(hits.pixels()), 3, dtype=torch.float64)
    picture = scatter_covered(values, hits)
    assert torch.equal(picture[hits.covered], values)
    assert (picture[~hits.covered] == 0).all()
    weights = torch.randn_like(picture)
    assert worst_gradient_error(lambda v: (scatter_covered(v, hits) * weights).sum(), [values]) < 1e-7


def test_derivatives_need_hits_with_derivatives(scene):
    clip, faces, attributes = scene
    with pytest.raises(InputError, match="derivatives=True"):
        interpolate_covered(attributes, faces, rasterize(clip, faces, SIZE), derivatives=True)


def test_an_empty_picture_gives_no_values(scene):
    clip, faces, attributes = scene
    hits = rasterize(clip - torch.tensor([99.0, 0, 0, 0]), faces, SIZE)
    leaf = attributes.clone().requires_grad_()
    values = interpolate_covered(leaf, faces, hits)
    assert values.shape == (0, 5)
    values.sum().backward()
    assert (leaf.grad == 0).all()


def test_faces_that_do_not_belong_to_the_hits_or_attributes_are_refused(scene):
    clip, faces, attributes = scene
    hits = rasterize(clip, faces, SIZE)
    with pytest.raises(InputError, match="179 are given"):
        interpolate_covered(attributes, faces[:-1], hits)
    with pytest.raises(InputError, match="there are 5 vertices"):
        interpolate(attributes[:5], faces, hits)
