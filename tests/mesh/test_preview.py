from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from objectscan.errors import Cancelled
from objectscan.mesh.preview import (
    Studio,
    animated_webp_bytes,
    progress_picture,
    still_picture,
    turntable_pictures,
    webp_bytes,
)
from objectscan.types import Environment, Material, Mesh, Progress, Reconstruction, UvMap

Z_UP = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)


def coloured_box(
    extents: tuple[float, float, float], colour_srgb: tuple[float, float, float]
) -> Reconstruction:
    box = trimesh.creation.box(extents=extents).subdivide()
    vertices = box.vertices[box.faces].reshape(-1, 3)  # split, so that the box has flat sides
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    coordinates = np.tile(np.float32([[0.2, 0.2], [0.8, 0.2], [0.2, 0.8]]), (len(faces), 1))
    colour = np.broadcast_to(np.float32(colour_srgb), (16, 16, 3)).copy()
    material = np.broadcast_to(np.float32([1.0, 0.7, 0.0]), (16, 16, 3)).copy()
    return Reconstruction(
        Mesh(np.asarray(vertices, np.float32), faces),
        UvMap(coordinates, faces),
        Material(colour, material, None),
        Environment(np.full((6, 8, 8, 3), 0.5, np.float32)),
        (),
    )


def object_pixels(picture: np.ndarray) -> np.ndarray:
    """Where the picture is red: the test objects are, the backdrop is grey."""
    return (picture[..., 0].astype(int) - picture[..., 2]) > 25


RED = (0.7, 0.2, 0.15)


def test_a_still_frames_the_object_on_a_soft_grey_ground() -> None:
    still = still_picture(Studio(coloured_box((1, 1, 1), RED), np.eye(4)), size=(160, 160))
    rows, columns = np.nonzero(object_pixels(still))
    assert min(rows.min(), columns.min()) >= 4 and max(rows.max(), columns.max()) <= 155
    assert max(np.ptp(rows), np.ptp(columns)) > 110
    corners = still[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int)
    assert corners.min() > 180 and np.ptp(corners, axis=1).max() < 12


def test_the_ground_is_darker_below_the_object() -> None:
    still = still_picture(Studio(coloured_box((1, 1, 1), RED), np.eye(4)), size=(160, 160)).astype(int)
    rows, columns = np.nonzero(object_pixels(still))
    lowest = rows.argmax()
    below = still[min(rows[lowest] + 3, 159), columns[lowest]].mean()
    assert below < still[rows[lowest], 1].mean() - 15


def test_a_tall_object_stands_upright_in_the_delivered_frame() -> None:
    still = still_picture(Studio(coloured_box((0.2, 0.2, 1.0), RED), Z_UP), size=(120, 120))
    rows, columns = np.nonzero(object_pixels(still))
    assert np.ptp(rows) > 2 * np.ptp(columns)


@pytest.mark.parametrize("albedo", [0.25, 0.5, 0.95])
def test_dark_and_bright_models_are_both_readable(albedo: float) -> None:
    still = still_picture(
        Studio(coloured_box((1, 1, 1), (albedo, albedo / 4, albedo / 6)), np.eye(4)), size=(96, 96)
    )
    brightest = np.percentile(still[..., 0][object_pixels(still)], 95) if object_pixels(still).any() else 0
    assert 60 < brightest <= 255
    assert (still == 255).all(-1).mean() < 0.01


def test_a_turntable_comes_back_to_where_it_began_and_lamps_stay_put() -> None:
    pictures = turntable_pictures(Studio(coloured_box((1, 1, 1), RED), np.eye(4)), frames=4, size=(72, 72))
    assert len(pictures) == 4
    first, quarter = pictures[0].astype(int), pictures[1].astype(int)
    # A box looks the same after a quarter turn if, and only if, the lamps turn with the camera.
    assert np.abs(first - quarter).mean() < 1.0
    long_box = turntable_pictures(Studio(coloured_box((1, 1, 0.3), RED), np.eye(4)), frames=4, size=(72, 72))
    assert np.abs(long_box[0].astype(int) - long_box[1]).mean() > 5.0


def test_a_turntable_can_be_cancelled() -> None:
    def cancel(progress: Progress) -> None:
        if progress.fraction > 0.4:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        turntable_pictures(
            Studio(coloured_box((1, 1, 1), RED), np.eye(4)), frames=4, size=(32, 32), report=cancel
        )


def test_webp_files_hold_the_pictures() -> None:
    pictures = [np.full((24, 32, 3), shade, np.uint8) for shade in (20, 120, 220)]
    still = Image.open(io.BytesIO(webp_bytes(pictures[1])))
    assert still.size == (32, 24) and abs(int(np.asarray(still).mean()) - 120) < 4
    moving = Image.open(io.BytesIO(animated_webp_bytes(pictures)))
    assert moving.n_frames == 3 and moving.info["loop"] == 0
    shades = []
    for frame in range(3):
        moving.seek(frame)
        shades.append(np.asarray(moving.convert("RGB")).mean())
    assert shades == pytest.approx([20, 120, 220], abs=6)


def test_the_progress_picture_puts_photo_and_model_side_by_side() -> None:
    photo = np.full((300, 600, 3), 200, np.uint8)
    render = np.zeros((30, 60, 4))
    render[10:20, 10:50] = (1.0, 0.0, 0.0, 1.0)
    picture = progress_picture(photo, render, edge_px=100)
    assert picture.shape == (50, 200, 3)
    assert picture[25, 50].tolist() == [200, 200, 200] and picture[25, 150].tolist() == [255, 0, 0]
    assert progress_picture(photo[:20, :20], render, edge_px=100).shape == (20, 40, 3)


def test_the_still_shows_the_side_with_the_most_to_see() -> None:
    box = coloured_box((1, 1, 1), RED)
    checks = np.float32((np.indices((16, 16)).sum(0) % 4 < 2)[..., None] * [1.0, 1.0, 1.0])
    plain = np.concatenate([checks, np.full((16, 16, 3), 0.5, np.float32)], axis=1)
    # Faces towards +X of the delivered frame get the checks, all others the plain half.
    centres = box.mesh.vertices.reshape(-1, 3, 3).mean(1)
    offset = np.where(centres[:, 0] > 0.49, 0.0, 0.5)[:, None, None]
    corners = box.uv.coordinates.reshape(-1, 3, 2) * (0.5, 1.0) + np.concatenate([offset, 0 * offset], -1)
    decorated = replace(
        box,
        uv=UvMap(corners.reshape(-1, 2).astype(np.float32), box.uv.faces),
        material=Material(
            plain.astype(np.float32), np.tile(box.material.occlusion_roughness_metallic, (1, 2, 1)), None
        ),
    )
    azimuth = Studio(decorated, np.eye(4)).showy_azimuth_rad
    assert np.cos(azimuth - np.pi / 2) > 0.7
