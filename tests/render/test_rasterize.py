from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from helpers.gradients import worst_gradient_error
from helpers.shapes import bumpy_sphere, camera_from_world, orbit, perspective, sphere, to_clip
from objectscan.errors import InputError, ResourceError
from objectscan.render import interpolate, rasterize, set_threads
from objectscan.render.threads import thread_count


def _faces(array):
    return torch.from_numpy(np.ascontiguousarray(array, np.int32))


def _clip_from_pixels(points_px, size_px, z=0.0):
    """Corners given in pixels of a square picture, all at w = 1."""
    ndc = np.asarray(points_px, float) / size_px * 2 - 1
    columns = [ndc[..., 0], ndc[..., 1], np.full(ndc.shape[:-1], z), np.ones(ndc.shape[:-1])]
    return torch.from_numpy(np.stack(columns, axis=-1))


def _claims(points_px, triangles, size_px):
    """How many triangles claim each pixel centre: every triangle is drawn in a picture of its own."""
    alone = _clip_from_pixels(np.asarray(points_px)[triangles], size_px)
    return rasterize(alone, _faces([[0, 1, 2]]), (size_px, size_px)).covered.sum(dim=0).numpy()


def _fragments(corners, fx, fy):
    """All triangles over one NDC point, by solving for the weights: (index, u, v, z/w, distance to the
    border).
    """
    matrices = corners[:, :, [0, 1, 3]].transpose(0, 2, 1)  # columns are (x, y, w) of the corners
    weights = np.linalg.solve(matrices, np.broadcast_to([[fx], [fy], [1.0]], (len(corners), 3, 1)))[..., 0]
    shares = weights / weights.sum(axis=1, keepdims=True)
    depth = (shares * corners[:, :, 2]).sum(1) / (shares * corners[:, :, 3]).sum(1)
    inside = (weights > 0).all(axis=1)
    return [(t, *shares[t, :2], depth[t]) for t in np.flatnonzero(inside)], np.abs(weights).min(axis=1)


def _random_triangles(seed, count=60):
    rng = np.random.default_rng(seed)
    camera_points = rng.uniform([-1.5, -1.5, 2.0], [1.5, 1.5, 5.0], (count, 3, 3))
    homogeneous = np.concatenate([camera_points, np.ones((count, 3, 1))], axis=2)
    return homogeneous @ perspective(1.5).T


@pytest.mark.parametrize("seed", range(2))
def test_every_pixel_agrees_with_a_loop_over_all_triangles(seed):
    corners, size_px = _random_triangles(seed), 20
    faces = _faces(np.arange(len(corners) * 3).reshape(-1, 3))
    hits = rasterize(torch.from_numpy(corners.reshape(1, -1, 4)), faces, (size_px, size_px))
    compared = 0
    for row in range(size_px):
        for column in range(size_px):
            found, border = _fragments(corners, (2 * column + 1) / size_px - 1, (2 * row + 1) / size_px - 1)
            depths = sorted(fragment[3] for fragment in found)
            if border.min() < 1e-3 or (len(depths) > 1 and depths[1] - depths[0] < 1e-3):
                continue  # within the snapping error of an edge, or of two surfaces that cross
            compared += 1
            nearest = min(found, key=lambda f: f[3], default=(-1, 0.0, 0.0, 1.0))
            assert int(hits.triangle[0, row, column]) == nearest[0]
            seen = [*hits.barycentrics[0, row, column].tolist(), float(hits.depth[0, row, column])]
            assert seen == pytest.approx(nearest[1:], abs=1e-9)
    assert compared > 250


@pytest.mark.parametrize("seed", range(4))
def test_every_centre_of_a_triangulated_plane_is_claimed_exactly_once(seed):
    rng, size_px = np.random.default_rng(seed), 48
    points = rng.uniform(-4, size_px + 4, (150, 2))
    points[:40] = np.floor(points[:40]) + 0.5  # on centres
    points[40:80] = np.floor(points[40:80])  # on pixel corners
    frame = [[-20, -20], [size_px + 20, -20], [-20, size_px + 20], [size_px + 20, size_px + 20]]
    points = np.unique(np.floor(np.concatenate([points, frame]) * 256 + 0.5) / 256, axis=0)
    claims = _claims(points, Delaunay(points).simplices, size_px)
    assert (claims.min(), claims.max()) == (1, 1)


def test_a_fan_around_a_pixel_centre_claims_it_once():
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    points = np.concatenate([[[4.5, 4.5]], 4.5 + 3.7 * np.stack([np.cos(turn), np.sin(turn)], axis=1)])
    claims = _claims(points, [[0, 1 + i, 1 + (i + 1) % 12] for i in range(12)], 9)
    assert claims.max() == 1
    assert claims[4, 4] == 1


def test_a_closed_surface_covers_each_centre_twice_or_never():
    vertices, faces = sphere(8)
    clip = to_clip(vertices, orbit(1), torch.float64)[0]
    points = (clip[:, :2] / clip[:, 3:]).numpy() * 24 + 24
    assert set(np.unique(_claims(points, faces, 48))) == {0, 2}


def test_coverage_agrees_with_embree():
    trimesh = pytest.importorskip("trimesh")
    embree = pytest.importorskip("trimesh.ray.ray_pyembree", exc_type=ImportError)
    vertices, faces = bumpy_sphere(20)
    clip_from_world, size_px = orbit(2), 128
    hits = rasterize(to_clip(vertices, clip_from_world), _faces(faces), (size_px, size_px))
    caster = embree.RayMeshIntersector(trimesh.Trimesh(vertices, faces, process=False))
    steps = (2 * np.arange(size_px) + 1) / size_px - 1
    x, y = np.meshgrid(steps, steps)
    for view, matrix in enumerate(clip_from_world):
        ends = [
            np.stack([x, y, np.full_like(x, z), np.ones_like(x)], -1) @ np.linalg.inv(matrix).T
            for z in (-1, 0.9)
        ]
        start, stop = (end[..., :3] / end[..., 3:] for end in ends)
        expected = caster.intersects_first(start.reshape(-1, 3), (stop - start).reshape(-1, 3)).reshape(
            x.shape
        )
        seen = hits.triangle[view].numpy()
        assert ((expected >= 0) != (seen >= 0)).mean() < 4e-4
        assert (expected == seen).mean() > 0.995


def test_row_zero_is_ndc_minus_one():
    hits = rasterize(_clip_from_pixels([[[0, 0], [8, 0], [0, 8]]], 8), _faces([[0, 1, 2]]), (8, 8))
    assert hits.covered[0, 0, 0] and not hits.covered[0, 7, 7]
    assert hits.covered[0].sum() in (28, 36)  # the diagonal's centres belong to one side, all of them


def test_a_picture_may_be_wider_than_high():
    hits = rasterize(_clip_from_pixels([[[-9, -9], [90, -9], [-9, 90]]], 8), _faces([[0, 1, 2]]), (7, 3))
    assert hits.triangle.shape == (1, 3, 7)
    assert bool(hits.covered.all())


def test_a_floor_that_runs_behind_the_camera_keeps_its_visible_part():
    corners = np.array([[-50, 0, -50], [50, 0, -50], [50, 0, 50], [-50, 0, 50]], float)
    clip_from_world = (perspective(1.5) @ camera_from_world([0.3, 1, 0], [0.3, 1, -5]))[None]
    faces = _faces([[0, 1, 2], [0, 2, 3]])
    hits = rasterize(to_clip(corners, clip_from_world), faces, (64, 64))
    assert not hits.covered[0, :32].any()
    assert hits.covered[0, 33:].all()
    points = interpolate(torch.from_numpy(corners).float(), faces, hits)
    assert points[0, 33:, :, 1].abs().max() < 1e-4


def test_nothing_nearer_than_the_near_plane_or_beyond_the_far_plane_is_drawn():
    for z, expected in ((-1.01, False), (-0.99, True), (0.99, True), (1.01, False)):
        hits = rasterize(
            _clip_from_pixels([[[-9, -9], [90, -9], [-9, 90]]], 8, z), _faces([[0, 1, 2]]), (8, 8)
        )
        assert bool(hits.covered.any()) is expected


def test_back_faces_are_dropped_on_request():
    vertices, faces = sphere(4)
    clip = to_clip(vertices, orbit(2))
    outside_in = _faces(faces[:, ::-1])
    both = rasterize(clip, _faces(faces), (32, 32))
    assert torch.equal(rasterize(clip, _faces(faces), (32, 32), cull="back").triangle, both.triangle)
    behind = rasterize(clip, outside_in, (32, 32), cull="back")
    assert torch.equal(behind.covered, both.covered)
    assert (behind.depth > both.depth)[both.covered].all()


def test_the_second_layer_of_nested_spheres_is_the_picture_without_the_outer_one():
    vertices, faces = sphere(5)
    both = np.concatenate([vertices, 0.5 * vertices])
    nested = _faces(np.concatenate([faces, faces + len(vertices)]))
    clip_from_world = orbit(2)
    first = rasterize(to_clip(both, clip_from_world), nested, (48, 48), cull="back")
    second = rasterize(to_clip(both, clip_from_world), nested, (48, 48), cull="back", behind=first)
    inner = rasterize(to_clip(0.5 * vertices, clip_from_world), _faces(faces), (48, 48), cull="back")
    assert (first.triangle < len(faces)).all()
    assert torch.equal(second.covered, inner.covered)
    assert torch.equal(second.triangle[inner.covered] - len(faces), inner.triangle[inner.covered])
    assert torch.equal(second.barycentrics, inner.barycentrics)


def test_peeling_visits_every_fragment_once_from_near_to_far():
    corners, size_px = _random_triangles(7, count=12), 12
    corners = np.concatenate([corners, corners[:3]])  # exact copies: equal depths must not hide one another
    faces = _faces(np.arange(len(corners) * 3).reshape(-1, 3))
    clip = torch.from_numpy(corners.reshape(1, -1, 4))
    layers = [rasterize(clip, faces, (size_px, size_px))]
    while layers[-1].covered.any():
        layers.append(rasterize(clip, faces, (size_px, size_px), behind=layers[-1]))
    alone = [
        rasterize(torch.from_numpy(corner[None]), _faces([[0, 1, 2]]), (size_px, size_px))
        for corner in corners
    ]
    claims = torch.stack([hits.covered[0] for hits in alone]).sum(dim=0)
    assert torch.equal(torch.stack([layer.covered[0] for layer in layers]).sum(dim=0), claims)
    seen = torch.stack([layer.triangle[0] for layer in layers]).reshape(len(layers), -1)
    for pixel in seen.T:
        drawn = pixel[pixel >= 0]
        assert len(drawn.unique()) == len(drawn)


def test_the_lowest_index_wins_between_equal_depths():
    corners = _clip_from_pixels([[-9, -9], [90, -9], [-9, 90]], 8, 0.3)
    hits = rasterize(corners.float()[None], _faces([[0, 1, 2], [1, 2, 0], [2, 0, 1]]), (8, 8))
    assert (hits.triangle == 0).all()


def _stable(clip, faces, size):
    """The hits of one scene, and which pixels are inside their triangle also before snapping."""
    hits = rasterize(clip, faces, size, derivatives=True)
    u, v = hits.barycentrics.unbind(-1)
    return hits, hits.covered & (u > 1e-3) & (v > 1e-3) & (u + v < 1 - 1e-3)


@pytest.mark.parametrize("quantity", ["barycentrics", "derivatives"])
def test_gradients_to_the_clip_positions_agree_with_differences(quantity):
    vertices, faces = sphere(3)
    clip, triangles = to_clip(vertices, orbit(2), torch.float64), _faces(faces)
    reference, inside = _stable(clip, triangles, (24, 20))
    weights = torch.randn(*getattr(reference, quantity).shape, dtype=torch.float64) * inside[..., None]

    def loss(moved):
        hits = rasterize(moved, triangles, (24, 20), derivatives=True)
        assert torch.equal(hits.triangle[inside], reference.triangle[inside])
        return (getattr(hits, quantity) * weights).sum()

    assert inside.sum() > 200
    assert worst_gradient_error(loss, [clip], step=1e-7) < 1e-5


def test_screen_derivatives_agree_with_moving_the_picture():
    vertices, faces = sphere(3)
    clip, triangles, size = to_clip(vertices, orbit(2), torch.float64), _faces(faces), (24, 20)
    hits, inside = _stable(clip, triangles, size)
    for axis in range(2):
        step = torch.zeros(4, dtype=torch.float64)
        step[axis] = 2 * 1e-5 / size[axis]  # a hundred-thousandth of a pixel, in NDC
        after = rasterize(clip - step * clip[..., 3:], triangles, size).barycentrics
        before = rasterize(clip + step * clip[..., 3:], triangles, size).barycentrics
        numeric = (after - before) / 2e-5
        error = (hits.derivatives[..., [axis, 2 + axis]] - numeric)[inside].abs().max()
        assert error < 1e-6 * hits.derivatives.abs().max()


def test_threads_change_nothing_but_the_last_bits_of_gradients():
    vertices, faces = bumpy_sphere(8)
    before, results = thread_count(), []
    try:
        for count in (1, 2, 5):
            set_threads(count)
            clip = to_clip(vertices, orbit(1)).requires_grad_()
            hits = rasterize(clip, _faces(faces), (64, 50), derivatives=True)
            (hits.barycentrics.square().sum() + hits.derivatives.square().sum()).backward()
            results.append((hits, clip.grad))
    finally:
        set_threads(before)
    for hits, gradient in results[1:]:
        assert torch.equal(hits.triangle, results[0][0].triangle)
        assert torch.equal(hits.derivatives, results[0][0].derivatives)
        torch.testing.assert_close(
            gradient, results[0][1], rtol=1e-4, atol=1e-4 * float(results[0][1].abs().max())
        )


def test_covered_pixels_come_in_view_row_column_order():
    vertices, faces = sphere(2)
    hits = rasterize(to_clip(vertices, orbit(3)), _faces(faces), (16, 12))
    assert torch.equal(hits.pixels(), torch.nonzero(hits.covered.reshape(-1))[:, 0])
    assert hits.pixels() is hits.pixels()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_corner_that_is_not_a_number_draws_nothing(bad):
    for column in range(4):
        corners = _clip_from_pixels([[-9, -9], [90, -9], [-9, 90]], 8).float()[None]
        corners[0, 1, column] = bad
        hits = rasterize(corners, _faces([[0, 1, 2]]), (8, 8))
        assert torch.isfinite(hits.barycentrics).all()
        assert not hits.covered.any()


def test_no_faces_give_an_empty_picture():
    hits = rasterize(torch.zeros(2, 0, 4), torch.zeros(0, 3, dtype=torch.int32), (5, 4))
    assert not hits.covered.any()
    assert (hits.depth == 1).all()
    assert len(hits.pixels()) == 0


def test_another_device_is_named_in_the_error():
    with pytest.raises(ResourceError, match="meta"):
        rasterize(torch.zeros(1, 3, 4, device="meta"), torch.zeros(1, 3, dtype=torch.int32), (4, 4))


@pytest.mark.parametrize("corner", [-1, 3])
def test_a_corner_that_does_not_exist_is_named_in_the_error(corner):
    with pytest.raises(InputError, match=f"corner {corner}"):
        rasterize(torch.zeros(1, 3, 4), _faces([[0, 1, corner]]), (4, 4))
