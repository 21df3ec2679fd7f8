from __future__ import annotations

import numpy as np
import pytest
import trimesh

from objectscan.errors import BadMesh
from objectscan.mesh.visibility import seen_by, smaller_camera, surface_samples, visibility
from objectscan.types import Camera, Mesh


def as_mesh(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces, np.int32))


def looking_from(position: tuple[float, float, float], edge_px: int = 160) -> Camera:
    """At the origin."""
    forward = -np.asarray(position, float) / np.linalg.norm(position)
    right = np.cross(forward, [0.0, 1.0, 0.01])
    right /= np.linalg.norm(right)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    world_from_camera[:3, 3] = position
    focal = 1.5 * edge_px
    return Camera(
        np.array([[focal, 0, edge_px / 2], [0, focal, edge_px / 2], [0, 0, 1]]),
        world_from_camera,
        (edge_px, edge_px),
    )


def seen_by_rays(mesh: Mesh, camera: Camera, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Twin: the segment from the camera to a point crosses no triangle (Moller, Trumbore 1997), all pairs."""
    origin = camera.world_from_camera[:3, 3]
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(float) for k in range(3))
    seen = np.zeros(len(points), bool)
    for k, (point, normal) in enumerate(zip(points.astype(float), normals, strict=True)):
        towards = point - origin
        if -(normal @ towards) / np.linalg.norm(towards) <= 0.1:
            continue
        cross = np.cross(towards, c - a)
        determinant = ((b - a) * cross).sum(1)
        inverse = 1.0 / np.where(np.abs(determinant) < 1e-12, np.inf, determinant)
        u = ((origin - a) * cross).sum(1) * inverse
        other = np.cross(origin - a, b - a)
        v = (towards * other).sum(1) * inverse
        t = ((c - a) * other).sum(1) * inverse
        seen[k] = not ((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6) & (t < 0.995)).any()
    return seen


def test_samples_lie_on_the_surface_evenly_by_area() -> None:
    box = as_mesh(trimesh.creation.box(extents=(1, 2, 4)))
    samples = surface_samples(box, 6000)
    largest = np.abs(samples.points / (0.5, 1, 2)).max(1)
    assert np.allclose(largest, 1.0, atol=1e-5)
    for axis, area in enumerate((2 * 2 * 4, 2 * 1 * 4, 2 * 1 * 2)):
        share = np.mean(np.abs(samples.normals[:, axis]) > 0.9)
        assert share == pytest.approx(area / 28, abs=0.003)
    assert np.allclose(np.linalg.norm(samples.normals, axis=1), 1.0, atol=1e-5)


def test_a_mesh_without_area_is_refused() -> None:
    with pytest.raises(BadMesh, match="positive area"):
        surface_samples(Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32)))


def test_agrees_with_rays_on_a_shape_that_hides_itself() -> None:
    ring = as_mesh(trimesh.creation.torus(0.7, 0.25, major_sections=24, minor_sections=12))
    camera = looking_from((2.0, 1.2, 2.2))
    samples = surface_samples(ring, 800)
    fast = seen_by(ring, camera, samples)
    slow = seen_by_rays(ring, camera, samples.points, samples.normals)
    assert 0.2 < slow.mean() < 0.6
    assert np.mean(fast != slow) < 0.015


def test_one_camera_sees_less_than_half_of_a_ball_and_a_ring_of_cameras_most_of_it() -> None:
    ball = as_mesh(trimesh.creation.icosphere(3))
    one = visibility(ball, [looking_from((0, 0, 3))])
    # The cap that faces a camera at distance d: (1 - 1/d) / 2 of the ball, less its grazing rim.
    assert 0.25 < one.seen_once < 1 / 3 and one.seen_twice == 0.0
    ring = [looking_from((3 * np.sin(angle), 0.0, 3 * np.cos(angle))) for angle in np.arange(8) * np.pi / 4]
    around = visibility(ball, ring)
    assert around.seen_once > 0.8 and around.seen_twice > 0.7
    poles = np.abs(around.samples.normals[:, 1]) > 0.97
    assert (around.views[poles] == 0).all()


def test_what_another_part_hides_is_not_seen() -> None:
    wall = trimesh.creation.box(
        extents=(2, 2, 0.1), transform=trimesh.transformations.translation_matrix((0, 0, 1))
    )
    both = as_mesh(trimesh.util.concatenate([trimesh.creation.icosphere(2, radius=0.5), wall]))
    seen = visibility(both, [looking_from((0, 0, 5))])
    on_ball = np.linalg.norm(seen.samples.points, axis=1) < 0.6
    assert seen.views[on_ball].max() == 0 and seen.views[~on_ball].max() == 1


def test_outside_the_picture_and_behind_the_camera_nothing_is_seen() -> None:
    ball = as_mesh(trimesh.creation.icosphere(2, radius=0.2))
    away = looking_from((0, 0, 3))
    turned = away.world_from_camera.copy()
    turned[:3, :3] = turned[:3, :3] @ np.diag([-1.0, 1.0, -1.0])
    behind = Camera(away.intrinsics, turned, away.size)
    assert visibility(ball, [behind]).seen_once == 0.0
    aside = away.world_from_camera.copy()
    aside[:3, 3] += 10 * aside[:3, 0]
    assert visibility(ball, [Camera(away.intrinsics, aside, away.size)]).seen_once == 0.0


def test_the_size_of_the_depth_image_hardly_matters() -> None:
    ring = as_mesh(trimesh.creation.torus(0.7, 0.25, major_sections=32, minor_sections=16))
    cameras = [looking_from((2, 1, 2), 640), looking_from((-2, 1, 2), 640)]
    shares = [visibility(ring, cameras, edge_px=edge).seen_once for edge in (128, 320, 640)]
    assert np.ptp(shares) < 0.02


def test_a_smaller_camera_sees_the_same_directions() -> None:
    camera = looking_from((0, 0, 3), 640)
    small = smaller_camera(camera, 160)
    assert small.size == (160, 160) and smaller_camera(small, 320) is small
    point = np.array([0.1, 0.2, 3.0])
    assert (small.intrinsics @ point)[:2] == pytest.approx((camera.intrinsics @ point)[:2] / 4)
