"""A printed sheet in the photos gives metres, to a few parts in a thousand, or nothing at all."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import PhotoSet, SolvedCameras
from objectscan.capture.samples.photographs import Picture, Scene, Shot, look_at, photograph, write_photos
from objectscan.capture.solve.marker_scale import find_marker_scale, in_metres
from objectscan.capture.solve.marker_sheet import (
    DICTIONARY,
    PX_PER_MM,
    SHEETS,
    MarkerSheet,
    draw_sheet,
    sheet_for,
    write_sheet,
)
from objectscan.errors import ExportError, InputError

SIZE, FOCAL = (640, 480), 700.0
UNIT_M = 0.25
"""Metres of one unit of the solved world."""


def photographed(folder: Path, sheet: MarkerSheet, count: int = 4) -> tuple[PhotoSet, SolvedCameras]:
    """Photos of a sheet that lies on the table, with true cameras in units of 0.25 m."""
    drawn = cv2.resize(draw_sheet(sheet), (1500, 1500), interpolation=cv2.INTER_AREA)
    width, height = (side / 1000 for side in sheet.size_mm)
    texture = np.repeat(drawn[..., None], 3, axis=2).astype(np.float32)
    paper = Picture((-width / 2, height / 2, 0), (width, 0, 0), (0, -height, 0), texture)
    shots = [
        Shot(look_at((0.35 * np.cos(a), 0.35 * np.sin(a), 0.3), (0, 0, 0)), FOCAL, SIZE)
        for a in np.linspace(0.3, 2.5, count)
    ]
    rng = np.random.default_rng(0)
    photos = write_photos(folder, [photograph(Scene([], [paper]), s, rng=rng) for s in shots], focal_px=FOCAL)
    cameras = {}
    for photo, shot in zip(photos.photos, shots, strict=True):
        camera = shot.world_from_camera.copy()
        camera[:3, 3] /= UNIT_M
        cameras[photo.name] = camera
    lens = Lens((FOCAL, FOCAL), (None, None), (SIZE[0] / 2, SIZE[1] / 2), SIZE)
    solved = SolvedCameras(
        dict.fromkeys(cameras, lens), cameras, np.ones((2, 3)), np.zeros((2, 3), np.uint8),
        np.zeros((0, 2), np.int32), tuple(cameras), "good", support_plane=np.array([0, 0, 1.0, 0.5]),
    )  # fmt: skip
    return photos, solved


@pytest.mark.parametrize("paper", ["a4", "letter"])
def test_the_sheet_gives_the_size_of_a_unit(tmp_path: Path, paper: str):
    photos, solved = photographed(tmp_path, SHEETS[paper])
    found = find_marker_scale(photos, solved, SHEETS[paper])
    assert found is not None
    assert found.metres_per_unit == pytest.approx(UNIT_M, rel=0.003)
    assert found.corners >= 48
    assert found.photos == solved.photo_names
    assert found.residual_mm < 0.5


def test_in_metres_everything_is_scaled_alike(tmp_path: Path):
    photos, solved = photographed(tmp_path, SHEETS["a4"])
    found = find_marker_scale(photos, solved)
    assert found is not None
    metric = in_metres(solved, found)
    assert metric.scale_known
    name = solved.photo_names[0]
    ratio = metric.world_from_camera[name][:3, 3] / solved.world_from_camera[name][:3, 3]
    np.testing.assert_allclose(ratio, UNIT_M, rtol=0.003)
    np.testing.assert_allclose(metric.points, found.metres_per_unit)
    assert metric.support_plane is not None
    assert metric.support_plane[3] == pytest.approx(0.125, rel=0.003)


def test_another_sheet_than_the_one_stated_is_not_believed(tmp_path: Path):
    photos, solved = photographed(tmp_path, SHEETS["a4"])
    squeezed = MarkerSheet("other", (210, 297), 32, tuple((x, 2 * y) for x, y in SHEETS["a4"].centres_mm))
    assert find_marker_scale(photos, solved, squeezed) is None


def test_one_photo_or_no_sheet_gives_no_scale(tmp_path: Path):
    photos, solved = photographed(tmp_path / "sheet", SHEETS["a4"], count=1)
    assert find_marker_scale(photos, solved) is None
    rng = np.random.default_rng(0)
    shots = [Shot(look_at((1, y, 1)), FOCAL, SIZE) for y in (0.0, 0.3)]
    empty = write_photos(
        tmp_path / "empty", [photograph(Scene([]), s, rng=rng) for s in shots], focal_px=FOCAL
    )
    cameras = dict(zip(("photo_00.jpg", "photo_01.jpg"), (s.world_from_camera for s in shots), strict=True))
    lens = solved.lenses["photo_00.jpg"]
    none = SolvedCameras(
        dict.fromkeys(cameras, lens), cameras, np.zeros((0, 3)), np.zeros((0, 3), np.uint8),
        np.zeros((0, 2), np.int32), tuple(cameras), "good",
    )  # fmt: skip
    assert find_marker_scale(empty, none) is None


def test_the_pdf_has_the_size_of_the_paper_and_the_tags_their_places(tmp_path: Path):
    sheet = SHEETS["a4"]
    write_sheet(sheet, tmp_path / "sheet.pdf")
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", (tmp_path / "sheet.pdf").read_bytes())
    assert box is not None
    size_mm = [float(value) / 72 * 25.4 for value in box.groups()]
    np.testing.assert_allclose(size_mm, (210, 297), atol=0.01)
    assert (tmp_path / "sheet.pdf").stat().st_size < 2_000_000
    page = draw_sheet(sheet)
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(DICTIONARY))
    quads, tags, _ = detector.detectMarkers(cv2.resize(page, None, fx=0.2, fy=0.2))
    assert sorted(tags.ravel().tolist()) == list(range(len(sheet.centres_mm)))
    for quad, tag in zip(quads, tags.ravel().tolist(), strict=True):
        found_mm = (quad.reshape(4, 2) + 0.5) / (0.2 * PX_PER_MM)
        np.testing.assert_allclose(found_mm, sheet.corners_mm(tag), atol=0.4)


def test_the_middle_of_the_sheet_is_free_and_the_line_is_100_mm():
    page = draw_sheet(SHEETS["a4"])
    middle = page[80 * PX_PER_MM : 190 * PX_PER_MM, 60 * PX_PER_MM : 150 * PX_PER_MM]
    assert (middle == 255).all()
    row = page[(297 - 60) * PX_PER_MM + 3]
    longest = max(len(run) for run in re.findall(rb"\x00+", row.tobytes()))
    assert longest == 100 * PX_PER_MM


def test_wrong_paper_and_places_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="foolscap"):
        sheet_for("foolscap")
    with pytest.raises(ExportError, match="nowhere"):
        write_sheet(SHEETS["a4"], tmp_path / "nowhere" / "sheet.pdf")
