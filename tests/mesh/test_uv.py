from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.samples import ball, blob, grid_layout, torus
from objectscan.errors import Cancelled, UvFailed
from objectscan.mesh import uv as uv_module
from objectscan.mesh.box_unwrap import box_unwrap
from objectscan.mesh.simplify import simplify
from objectscan.mesh.topology import face_areas
from objectscan.mesh.uv import lay_out, spatial_blocks, unwrap
from objectscan.types import Mesh, UvMap

TRIANGLES = st.builds(
    lambda seed, faces, vertices: Mesh(
        np.random.default_rng(seed).normal(size=(vertices, 3)).astype(np.float32),
        np.random.default_rng(seed).integers(0, vertices, (faces, 3)).astype(np.int32),
    ),
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.integers(4, 12),
)
"""Faces through each other, over each other, without area."""


def texels_covered_twice(layout: UvMap, grid: int) -> int:
    """Texel centres strictly inside more than one face, face by face over the whole grid."""
    y, x = np.meshgrid(*[(np.arange(grid) + 0.5) / grid] * 2, indexing="ij")
    count = np.zeros((grid, grid), int)
    for a, b, c in layout.coordinates[layout.faces].astype(float):
        sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        count += np.all([side > 1e-7 for side in sides], axis=0) | np.all(
            [side < -1e-7 for side in sides], axis=0
        )
    return int((count > 1).sum())


def stretch(mesh: Mesh, layout: UvMap) -> np.ndarray:
    """Singular values of the map from the surface to the square, F x 2, largest first."""
    corners = mesh.vertices[mesh.faces].astype(float)
    side, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    along = side / np.linalg.norm(side, axis=1, keepdims=True)
    across = np.cross(np.cross(side, other), along)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    flat = np.stack(
        [np.stack([(v * along).sum(1), (v * across).sum(1)], axis=-1) for v in (side, other)], axis=-1
    )
    points = layout.coordinates[layout.faces].astype(float)
    image = np.stack([points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]], axis=-1)
    return np.linalg.svd(image @ np.linalg.inv(flat), compute_uv=False)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Lets the child run another program, which writes its process id first."""

    def use(body: str) -> Path:
        note = f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
        program = f"import os, pathlib, sys, time\nimport numpy as np\n{note}\n{body}\n"
        (tmp_path / "odd_worker.py").write_text(program)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
        monkeypatch.setattr(uv_module, "_WORKER", "odd_worker")
        return tmp_path / "pid"

    return use


def test_xatlas_lays_a_body_with_a_tunnel_out_without_overlap_and_with_square_texels() -> None:
    mesh = simplify(blob(8000), 2400)
    layout = lay_out(mesh, texture_size_px=512)
    assert layout.findings == ()
    assert texels_covered_twice(layout.uv, 200) <= 2
    values = stretch(mesh, layout.uv)
    ratio = values[:, 0] / values[:, 1]
    assert np.percentile(ratio, 95) < 1.6
    density = np.sqrt(values.prod(axis=1))
    assert np.percentile(density, 95) < 1.3 * np.percentile(density, 5)


def test_a_layout_uses_more_than_half_of_the_square() -> None:
    mesh = ball(3)
    points = unwrap(mesh, texture_size_px=512).coordinates[unwrap(mesh, texture_size_px=512).faces]
    edges = points[:, 1:] - points[:, :1]
    area = 0.5 * np.abs(np.linalg.det(edges.astype(float)))
    assert 0.5 < area.sum() < 1.0


def test_the_same_mesh_gives_the_same_layout() -> None:
    first, second = (unwrap(torus(), texture_size_px=256) for _ in range(2))
    assert np.array_equal(first.coordinates, second.coordinates)
    assert np.array_equal(first.faces, second.faces)


def test_blocks_are_compact_share_no_face_and_stay_small() -> None:
    mesh = blob(8000)
    blocks = spatial_blocks(mesh, 500)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(len(mesh.faces)))
    assert max(map(len, blocks)) <= 500 and min(map(len, blocks)) >= 240
    centres = mesh.vertices[mesh.faces].mean(axis=1)
    widths = [np.ptp(centres[block], axis=0).max() for block in blocks]
    assert np.median(widths) < 0.5 * np.ptp(centres, axis=0).max()


def test_small_meshes_stay_in_one_block() -> None:
    (block,) = spatial_blocks(ball(2))
    assert len(block) == len(ball(2).faces)


def test_a_hanging_xatlas_is_killed_and_the_simple_layout_says_so(worker) -> None:
    pid_file = worker("time.sleep(600)")
    start_s = time.monotonic()
    layout = lay_out(ball(2), texture_size_px=256, timeout_s=3.0)
    assert time.monotonic() - start_s < 20
    assert not psutil.pid_exists(int(pid_file.read_text()))
    (finding,) = layout.findings
    assert finding.code == "simple_layout" and "more than 3 s" in finding.message
    assert texels_covered_twice(layout.uv, 256) == 0


@pytest.mark.parametrize(
    "body",
    [
        "os.abort()",
        "sys.exit(3)",
        "pass",
        "np.savez(sys.argv[2], coordinates=np.zeros((3, 2), 'f4'), faces=np.zeros((1, 3), 'i4'))",
        "np.savez(sys.argv[2], coordinates=np.full((960, 2), np.nan, 'f4'), faces=np.zeros((320, 3), 'i4'))",
    ],
    ids=["crash", "error", "no answer", "too few faces", "not finite"],
)
def test_whatever_goes_wrong_in_xatlas_ends_in_the_simple_layout(worker, body: str) -> None:
    worker(body)
    layout = lay_out(ball(2), texture_size_px=256, timeout_s=60)
    assert [finding.code for finding in layout.findings] == ["simple_layout"]
    assert layout.uv.faces.shape == ball(2).faces.shape


def test_cancelling_kills_the_child_and_passes_through(worker) -> None:
    pid_file = worker("time.sleep(600)")

    def cancel() -> None:
        if pid_file.exists() and pid_file.read_text():
            raise Cancelled("Stopped.")

    start_s = time.monotonic()
    with pytest.raises(Cancelled):
        lay_out(ball(2), texture_size_px=256, while_waiting=cancel)
    assert time.monotonic() - start_s < 20
    assert not psutil.pid_exists(int(pid_file.read_text()))


@pytest.mark.parametrize(
    "mesh",
    [
        Mesh(np.zeros((3, 3), np.float32), np.zeros((0, 3), np.int32)),
        Mesh(np.array([(0, 0, 0), (1, 0, 0), (0, np.nan, 0)], np.float32), np.array([(0, 1, 2)], np.int32)),
    ],
    ids=["no faces", "not finite"],
)
def test_a_mesh_that_has_no_layout_is_refused_with_its_numbers(mesh: Mesh) -> None:
    with pytest.raises(UvFailed, match=rf"{len(mesh.faces)} faces"):
        unwrap(mesh, texture_size_px=256)


@given(TRIANGLES)
@settings(deadline=None, max_examples=40)
def test_the_simple_layout_never_overlaps_whatever_the_mesh(mesh: Mesh) -> None:
    layout = box_unwrap(mesh, 256)
    assert np.isfinite(layout.coordinates).all()
    assert layout.coordinates.min() >= 0 and layout.coordinates.max() <= 1
    assert texels_covered_twice(layout, 128) == 0
    lost = stretch_area(layout) <= 0
    assert not (lost & (face_areas(mesh) > 1e-4)).any()


def stretch_area(layout: UvMap) -> np.ndarray:
    points = layout.coordinates[layout.faces].astype(float)
    return np.linalg.det(points[:, 1:] - points[:, :1])


def test_the_simple_layout_keeps_smooth_bodies_in_few_unmirrored_charts() -> None:
    mesh = ball(4)
    layout = box_unwrap(mesh, 1024)
    assert (stretch_area(layout) > 0).all()
    assert len(layout.coordinates) < 1.15 * len(mesh.vertices)
    values = stretch(mesh, layout)
    assert (values[:, 0] / values[:, 1]).max() < 1.8
    assert values[:, 1].min() > values[:, 0].max() / 1.8


def test_charts_of_the_simple_layout_keep_their_distance() -> None:
    """No two charts within eight texels: boxes around them, widened by almost four, don't meet."""
    layout = box_unwrap(ball(3), 256)
    chart = chart_of_faces(layout)
    grid = 256
    y, x = np.meshgrid(*[(np.arange(grid) + 0.5) / grid] * 2, indexing="ij")
    owner = np.full((grid, grid), -1)
    for number in range(chart.max() + 1):
        corners = layout.coordinates[layout.faces[chart == number]].reshape(-1, 2)
        low, high = corners.min(axis=0) - 3.9 / grid, corners.max(axis=0) + 3.9 / grid
        inside = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
        assert (owner[inside] == -1).all()
        owner[inside] = number


def chart_of_faces(layout: UvMap) -> np.ndarray:
    from objectscan.mesh.topology import connected_components

    flat = np.pad(layout.coordinates, ((0, 0), (0, 1)))
    return connected_components(Mesh(flat, layout.faces))


def test_the_overlap_twin_sees_an_overlap() -> None:
    layout = grid_layout(ball(0))
    stacked = UvMap(np.tile(layout.coordinates[:3], (20, 1)), layout.faces)
    assert texels_covered_twice(layout, 100) == 0
    assert texels_covered_twice(stacked, 100) > 10
