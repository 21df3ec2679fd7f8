from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.gradients import worst_gradient_error
from helpers.shapes import bumpy_sphere, orbit, sphere, to_clip
from objectscan.render import antialias, build_adjacency, rasterize


def _coverage(clip, faces, size, *, max_steps=32, adjacency=None):
    hits = rasterize(clip, faces, size)
    table = build_adjacency(faces) if adjacency is None else adjacency
    return antialias(hits.covered[..., None].to(clip.dtype), hits, clip, faces, table, max_steps=max_steps)


def test_adjacency_names_the_triangle_across_each_edge():
    _, faces = sphere(3)
    table = build_adjacency(torch.from_numpy(faces)).numpy()
    for t, row in enumerate(table):
        for k, other in enumerate(row):
            edge = {int(faces[t, (k + 1) % 3]), int(faces[t, (k + 2) % 3])}
            assert edge < set(faces[other].tolist())
            assert other != t


def test_boundaries_and_edges_of_three_triangles_have_no_neighbour():
    faces = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]], dtype=torch.int32)
    assert (build_adjacency(faces) == -1).all()
    assert build_adjacency(faces[:2]).tolist() == [[-1, -1, 1], [-1, -1, 0]]
    assert build_adjacency(faces[:0]).shape == (0, 3)


def _silhouette_edges(points, faces):
    """Edges of a closed mesh whose triangles turn opposite ways on screen."""
    corner = points[faces]
    ab, ac = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    turn = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0] > 0
    sides: dict[tuple[int, int], list[bool]] = {}
    for face, side in zip(faces.tolist(), turn.tolist(), strict=True):
        for k in range(3):
            sides.setdefault(tuple(sorted((face[k], face[(k + 1) % 3]))), []).append(side)
    return [edge for edge, both in sides.items() if both[0] != both[1]]


def _blend_by_hand(image, covered, points, edges):
    """The definition for a convex body: all pairs of pixels against all silhouette edges."""
    result = image.copy()
    height, width = covered.shape
    for row in range(height):
        for column in range(width):
            for across in (True, False):
                other = (row, column + 1) if across else (row + 1, column)
                if other[0] >= height or other[1] >= width or covered[other] == covered[row, column]:
                    continue
                near, far = ((row, column), other) if covered[row, column] else (other, (row, column))
                crossing = _crossing(near, far, points, edges, across)
                if crossing is None:
                    continue
                changed, source = (near, far) if crossing < 0.5 else (far, near)
                result[changed] += abs(crossing - 0.5) * (image[source] - image[changed])
    return result


def _crossing(near, far, points, edges, across):
    start, stop = np.array(near[::-1]) + 0.5, np.array(far[::-1]) + 0.5
    for a, b in edges:
        along = points[b] - points[a]
        if (abs(along[1]) >= abs(along[0])) != across:
            continue
        side = [along[0] * (p - points[a])[1] - along[1] * (p - points[a])[0] for p in (start, stop)]
        if side[0] * side[1] > 0:
            continue
        s = side[0] / (side[0] - side[1])
        t = np.dot(start + s * (stop - start) - points[a], along) / np.dot(along, along)
        if 0 <= t <= 1:
            return s
    return None


@pytest.mark.parametrize("divisions", [2, 12])
def test_a_convex_body_agrees_with_a_search_over_all_silhouette_edges(divisions):
    vertices, faces = sphere(divisions)
    size_px, clip = 32, to_clip(vertices, orbit(3), torch.float64)
    triangles = torch.from_numpy(faces)
    hits = rasterize(clip, triangles, (size_px, size_px))
    image = torch.randn(3, size_px, size_px, 2, dtype=torch.float64)
    blended = antialias(image, hits, clip, triangles, build_adjacency(triangles))
    assert (blended != image).any(dim=-1).sum() > 100
    for view in range(3):
        points = (clip[view, :, :2] / clip[view, :, 3:]).numpy() * size_px / 2 + size_px / 2
        edges = _silhouette_edges(points, faces)
        expected = _blend_by_hand(image[view].numpy(), hits.covered[view].numpy(), points, edges)
        differs = np.abs(blended[view].numpy() - expected).max(axis=-1) > 1e-9
        # A pair whose line just misses an edge's end finds the next edge, which may be of the other slope.
        assert differs.sum() <= 2


@pytest.mark.parametrize("turned", [False, True])
def test_a_straight_edge_gives_the_exact_area_and_its_exact_gradient(turned):
    size_px, faces = 32, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    for offset in np.linspace(-0.3, 0.3, 13):
        moved = torch.tensor(offset, dtype=torch.float64, requires_grad=True)
        low, high = torch.full_like(moved, -3.0), torch.full_like(moved, 3.0)
        plane = torch.stack(
            [torch.stack([low, moved, moved, low]), torch.stack([low, low, high, high])], dim=-1
        )
        plane = plane.flip(-1) if turned else plane
        clip = torch.cat([plane, torch.zeros(4, 1), torch.ones(4, 1)], dim=1)[None]
        area = _coverage(clip, faces, (size_px, size_px)).sum() * (2 / size_px) ** 2
        area.backward()
        assert area.item() == pytest.approx((offset + 1) * 2, abs=2 * 2 / size_px / 256)
        assert moved.grad.item() == pytest.approx(2.0, abs=1e-9)


@pytest.mark.parametrize("slope", [0.3, 0.9, 1.1, 3.0])
def test_a_sloping_edge_counts_once_whatever_its_slope(slope):
    size_px, faces = 64, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    moved = torch.tensor(0.013, dtype=torch.float64, requires_grad=True)
    normal = torch.tensor([1.0, slope], dtype=torch.float64) / (1 + slope * slope) ** 0.5
    along = torch.stack([-normal[1], normal[0]])
    ends = [moved * normal - 5 * along, moved * normal + 5 * along]
    plane = torch.stack([*ends, ends[1] - 9 * normal, ends[0] - 9 * normal])
    clip = torch.cat([plane, torch.zeros(4, 1), torch.ones(4, 1)], dim=1)[None]
    (_coverage(clip, faces, (size_px, size_px)).sum() * (2 / size_px) ** 2).backward()
    chord = 2 * (1 + min(slope, 1 / slope) ** 2) ** 0.5  # the edge's length inside the picture
    assert moved.grad.item() == pytest.approx(chord, rel=0.02)


@pytest.mark.parametrize(("divisions", "lowest"), [(4, 0.95), (12, 0.98), (40, 0.98)])
def test_the_area_of_a_sphere_has_its_analytic_gradient_however_fine_the_mesh(divisions, lowest):
    """320, 2,880 and 32,000 triangles at 96 px. With one step the finest keeps under a tenth of its
    gradient.
    """
    ratio = _sphere_gradient_ratio(divisions, 32)
    assert lowest < ratio < 1.02
    if divisions == 40:
        assert _sphere_gradient_ratio(divisions, 1) < 0.1


def _sphere_gradient_ratio(divisions, max_steps, size_px=96, views=3, focal=2.4, distance=3.0):
    vertices, faces = sphere(divisions)
    radius = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    matrices = torch.from_numpy(orbit(views, distance))
    points = torch.cat([torch.from_numpy(vertices) * radius, torch.ones(len(vertices), 1)], dim=1)
    clip = torch.einsum("nij,vj->nvi", matrices, points)
    area = _coverage(clip, torch.from_numpy(faces), (size_px, size_px), max_steps=max_steps).sum() / views
    area.backward()

    def disc_px(r):
        return np.pi * (focal * r / np.sqrt(distance**2 - r * r) * size_px / 2) ** 2

    return radius.grad.item() / ((disc_px(1 + 1e-5) - disc_px(1 - 1e-5)) / 2e-5)


@pytest.mark.parametrize("max_steps", [1, 32])
def test_gradients_to_image_and_positions_agree_with_differences(max_steps):
    vertices, faces = bumpy_sphere(4)
    clip, triangles = to_clip(vertices, orbit(2), torch.float64), torch.from_numpy(faces)
    table, hits = build_adjacency(triangles), rasterize(clip, triangles, (32, 28))
    image, weights = (torch.randn(2, 28, 32, 3, dtype=torch.float64) for _ in range(2))

    def loss(moved, picture):
        return (antialias(picture, hits, moved, triangles, table, max_steps=max_steps) * weights).sum()

    assert worst_gradient_error(loss, [clip, image], step=1e-8) < 1e-4


def test_one_colour_everywhere_stays_as_it_is():
    vertices, faces = bumpy_sphere(6)
    clip, triangles = to_clip(vertices, orbit(2)), torch.from_numpy(faces)
    hits = rasterize(clip, triangles, (40, 40))
    image = torch.full((2, 40, 40, 3), 0.7)
    assert torch.equal(antialias(image, hits, clip, triangles, build_adjacency(triangles)), image)


def test_a_flat_patch_of_many_triangles_has_no_inner_silhouettes():
    steps = np.linspace(-0.8, 0.8, 9)
    x, y = np.meshgrid(steps, steps)
    clip = torch.from_numpy(np.stack([x, y, 0 * x, 0 * x + 1], axis=-1).reshape(1, -1, 4))
    at = np.arange(81).reshape(9, 9)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    faces = torch.from_numpy(
        np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    )
    hits = rasterize(clip, faces, (32, 32))
    image = torch.randn(1, 32, 32, 1, dtype=torch.float64)
    changed = (antialias(image, hits, clip, faces, build_adjacency(faces)) != image)[0, ..., 0]
    assert changed.any()
    inner = torch.zeros(32, 32, dtype=torch.bool)
    inner[5:27, 5:27] = True
    assert not (changed & inner).any()


def test_single_precision_agrees_with_double():
    vertices, faces = bumpy_sphere(6)
    triangles, results = torch.from_numpy(faces), []
    for dtype in (torch.float32, torch.float64):
        clip = to_clip(vertices, orbit(2)).to(dtype).requires_grad_()
        coverage = _coverage(clip, triangles, (48, 48))
        coverage.square().sum().backward()
        results.append((coverage.double(), clip.grad.double()))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-4, rtol=0)
    assert (results[0][1] - results[1][1]).norm() < 1e-3 * results[1][1].norm()
