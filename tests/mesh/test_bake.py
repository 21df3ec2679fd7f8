from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.samples import ball, grid_layout, torus
from objectscan.mesh.bake import dilate, fill_gutters, push_pull, surface_points, texel_coverage
from objectscan.mesh.box_unwrap import box_unwrap
from objectscan.types import Mesh, UvMap

IMAGES = st.builds(
    lambda seed, height, width, share: (
        np.random.default_rng(seed).random((height, width, 2)).astype(np.float32),
        np.random.default_rng(seed + 1).random((height, width)) < share,
    ),
    st.integers(0, 10_000),
    st.integers(1, 21),
    st.integers(1, 21),
    st.sampled_from([0.02, 0.3, 0.9]),
)


def color_of(points: np.ndarray) -> np.ndarray:
    """Something smooth on the surface."""
    return (0.5 + 0.5 * np.sin(2.0 * points + np.array([0.0, 1.0, 2.0]))).astype(np.float32)


def bilinear(texture: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    size = np.array(texture.shape[1::-1])
    place = coordinates * size - 0.5
    low = np.floor(place).astype(int)
    share = place - low
    total = np.zeros((len(coordinates), texture.shape[2]))
    for dx in (0, 1):
        for dy in (0, 1):
            at = np.clip(low + np.array((dx, dy)), 0, size - 1)
            weight = np.where(dx, share[:, 0], 1 - share[:, 0]) * np.where(dy, share[:, 1], 1 - share[:, 1])
            total += weight[:, None] * texture[at[:, 1], at[:, 0]]
    return total


def test_covered_texels_are_those_whose_centre_lies_in_a_face() -> None:
    mesh, size_px = ball(1), 64
    layout = grid_layout(mesh)
    texels = texel_coverage(mesh, layout, size_px)
    found = dict(zip(texels.index.tolist(), texels.face.tolist(), strict=True))
    for face, (a, b, c) in enumerate(layout.coordinates[layout.faces].astype(float) * size_px):
        rows, columns = np.mgrid[int(a[1]) - 1 : int(c[1]) + 2, int(a[0]) - 1 : int(b[0]) + 2]
        for row, column in zip(rows.ravel().tolist(), columns.ravel().tolist(), strict=True):
            p = np.array([column + 0.5, row + 0.5])
            weights = np.linalg.solve(np.stack([np.append(v, 1) for v in (a, b, c)], axis=1), np.append(p, 1))
            if weights.min() > 1e-3:
                assert found[row * size_px + column] == face
            elif weights.min() < -1e-3:
                assert found.get(row * size_px + column) != face


def test_each_texel_knows_its_point_of_the_surface() -> None:
    mesh, size_px = torus(), 128
    layout = box_unwrap(mesh, size_px)
    texels = texel_coverage(mesh, layout, size_px)
    assert np.allclose(texels.barycentrics.sum(axis=1), 1.0, atol=1e-5)
    assert texels.barycentrics.min() > -1e-3
    back = np.einsum("pk,pkc->pc", texels.barycentrics, layout.coordinates[layout.faces[texels.face]])
    centre = np.stack([texels.index % size_px + 0.5, texels.index // size_px + 0.5], axis=1) / size_px
    assert np.abs(back - centre).max() < 0.01 / size_px
    points = surface_points(mesh, texels)
    assert np.abs(np.hypot(np.hypot(points[:, 0], points[:, 1]) - 1.0, points[:, 2]) - 0.4).max() < 0.02


def test_the_first_row_of_a_texture_is_its_bottom() -> None:
    mesh = Mesh(np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)], np.float32), np.array([(0, 1, 2)], np.int32))
    low = UvMap(np.array([(0, 0), (1, 0), (0, 0.25)], np.float32), mesh.faces)
    rows = texel_coverage(mesh, low, 16).index // 16
    assert rows.max() < 4 and rows.min() == 0


def test_a_layout_of_another_mesh_is_refused() -> None:
    with pytest.raises(ValueError, match="80 faces"):
        texel_coverage(torus(), grid_layout(ball(1)), 64)


@given(IMAGES)
@settings(deadline=None, max_examples=40)
def test_dilation_copies_a_nearest_covered_texel(case: tuple[np.ndarray, np.ndarray]) -> None:
    image, covered = case
    filled = dilate(image, covered)
    sources = np.argwhere(covered)
    for place in np.argwhere(~covered) if len(sources) else []:
        distance = np.linalg.norm(sources - place, axis=1)
        nearest = sources[distance <= distance.min() + 1e-9]
        assert any(np.array_equal(filled[tuple(place)], image[tuple(source)]) for source in nearest)
    assert np.array_equal(filled[covered], image[covered])


def test_dilation_stops_at_its_reach() -> None:
    image = np.zeros((1, 9, 1), np.float32)
    image[0, 0] = 1.0
    covered = image[..., 0] > 0
    assert dilate(image, covered, reach_px=3)[0, :, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0]


@given(IMAGES)
@settings(deadline=None, max_examples=60)
def test_push_pull_keeps_what_is_covered_and_invents_nothing_beyond_its_range(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    image, covered = case
    filled = push_pull(image, covered)
    assert np.array_equal(filled[covered], image[covered])
    if covered.any():
        low, high = image[covered].min(axis=0), image[covered].max(axis=0)
        assert (filled >= low - 1e-6).all() and (filled <= high + 1e-6).all()
    else:
        assert not filled.any()


def test_push_pull_matches_a_pyramid_written_out() -> None:
    """One covered texel of four by four and another: means on the way up, bilinear on the way down."""
    image, covered = np.zeros((4, 4, 1), np.float32), np.zeros((4, 4), bool)
    image[0, 0], image[3, 3] = 1.0, 3.0
    covered[0, 0] = covered[3, 3] = True
    # Level 1 is [[1, ?], [?, 3]]; level 2 is their mean, 2, and fills both question marks.
    filled = push_pull(image, covered)[..., 0]
    coarse = np.array([[1.0, 2.0], [2.0, 3.0]])
    assert filled[1, 1] == pytest.approx((coarse * np.outer([0.75, 0.25], [0.75, 0.25])).sum())
    assert filled[0, 3] == pytest.approx(2.0)
    assert filled[2, 0] == pytest.approx(0.25 * 1.0 + 0.75 * 2.0)


@pytest.mark.parametrize(("level", "worst"), [(0, 0.02), (1, 0.03), (2, 0.1)])
def test_no_seam_shows_at_the_mip_levels_that_keep_charts_apart(level: int, worst: float) -> None:
    """Colours read along the seams are the surface's; they are not if gutters stay black or are only
    pulled.
    """
    mesh, size_px = ball(4), 512
    layout = box_unwrap(mesh, size_px)
    texels = texel_coverage(mesh, layout, size_px)
    image = np.zeros((size_px * size_px, 3), np.float32)
    covered = np.zeros(size_px * size_px, bool)
    image[texels.index], covered[texels.index] = color_of(surface_points(mesh, texels)), True
    image, covered = image.reshape(size_px, size_px, 3), covered.reshape(size_px, size_px)
    errors = []
    for texture in (fill_gutters(image, covered), push_pull(image, covered), image):
        for _ in range(level):
            quads = [texture[row::2, column::2] for row in (0, 1) for column in (0, 1)]
            texture = sum(quads) / 4
        read = bilinear(texture, layout.coordinates[layout.faces].reshape(-1, 2))
        errors.append(np.abs(read - color_of(mesh.vertices[mesh.faces].reshape(-1, 3))).max())
    assert errors[0] < worst < errors[1] < errors[2]


@given(IMAGES)
@settings(deadline=None, max_examples=40)
def test_filled_gutters_keep_what_is_covered_and_leave_nothing_empty(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    image, covered = case
    filled = fill_gutters(image + 1, covered, reach_px=2)
    assert np.array_equal(filled[covered], (image + 1)[covered])
    assert (filled >= 1 - 1e-6).all() if covered.any() else not filled.any()
