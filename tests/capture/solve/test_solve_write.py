"""Solved cameras are written so that our own readers, and so other programs', get the same cameras back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from evidence_samples import scene_points, true_cameras

from objectscan.capture import ingest
from objectscan.capture.formats.colmap import read_colmap
from objectscan.capture.formats.posed import Lens
from objectscan.capture.formats.transforms_json import read_transforms
from objectscan.capture.limits import DEFAULT_LIMITS
from objectscan.capture.photoset import PhotoSet, SolvedCameras
from objectscan.capture.samples.photographs import noise_texture, write_photos
from objectscan.capture.solve.colmap_text import quaternion
from objectscan.capture.solve.write import write_report, write_solved
from objectscan.errors import BadWorkspace
from objectscan.types import Finding

SIZE = (96, 72)
COUNT = 6


def given_photos(folder: Path, names: list[str] | None = None) -> PhotoSet:
    rng = np.random.default_rng(0)
    images = [noise_texture(rng, 128)[: SIZE[1], : SIZE[0]].astype(np.uint8) for _ in range(COUNT)]
    return write_photos(folder, images, focal_px=90.0, names=names or [])


def solved_for(photos: PhotoSet, count: int = COUNT, k1: float = -0.08) -> SolvedCameras:
    names = tuple(photo.name for photo in photos.photos[:count])
    points = scene_points(np.random.default_rng(0), 20)
    lens = Lens((90.0, 90.0), (None, None), (48.5, 35.5), SIZE, "brown", (k1, 0.0, 0.0, 0.0) if k1 else ())
    observations = np.array([(point, photo) for point in range(20) for photo in range(count)], np.int32)
    return SolvedCameras(
        dict.fromkeys(names, lens),
        dict(zip(names, true_cameras(count), strict=True)),
        points,
        np.full((20, 3), 77, np.uint8),
        observations,
        names,
        "good",
        measures={"pair_consistency": 0.99, "focal_over_prior": float("nan")},
        places_px=np.full((len(observations), 2), 12.5),
        point_errors_px=np.full(20, 0.3),
    )


def test_transforms_json_gives_the_same_cameras_back(tmp_path: Path):
    photos = given_photos(tmp_path / "in")
    solved = solved_for(photos, 5)
    posed = read_transforms(write_solved(photos, solved, tmp_path / "out"), DEFAULT_LIMITS)
    assert [photo.name for photo in posed.photos] == list(solved.photo_names)
    for photo in posed.photos:
        np.testing.assert_allclose(photo.world_from_camera, solved.world_from_camera[photo.name], atol=1e-12)
        assert photo.lens.focal_px == (90.0, 90.0)
        assert photo.lens.centre_px == (48.5, 35.5)
        assert photo.lens.distortion[:4] == (-0.08, 0.0, 0.0, 0.0)


def test_the_colmap_model_gives_the_same_cameras_back(tmp_path: Path):
    photos = given_photos(tmp_path / "in")
    solved = solved_for(photos)
    write_solved(photos, solved, tmp_path / "out")
    posed = read_colmap(tmp_path / "out", DEFAULT_LIMITS)
    assert [photo.name for photo in posed.photos] == list(solved.photo_names)
    for photo in posed.photos:
        np.testing.assert_allclose(photo.world_from_camera, solved.world_from_camera[photo.name], atol=1e-9)
        assert photo.lens.focal_px == (90.0, 90.0)
        assert photo.lens.distortion == (-0.08, 0.0, 0.0, 0.0)


def test_points_and_tracks_of_the_colmap_model_fit_together(tmp_path: Path):
    photos = given_photos(tmp_path / "in")
    write_solved(photos, solved_for(photos), tmp_path / "out")
    points = (tmp_path / "out/sparse/0/points3D.txt").read_text().splitlines()
    lines = (tmp_path / "out/sparse/0/images.txt").read_text().splitlines()
    assert len(points) == 20
    number, *_, track = points[7].split(maxsplit=8)
    pairs = np.array(track.split(), int).reshape(-1, 2)
    assert len(pairs) == COUNT
    for image, feature in pairs.tolist():
        assert lines[2 * (image - 1) + 1].split()[3 * feature + 2] == number


def test_ingest_reads_the_capture_with_masks_and_scale(tmp_path: Path):
    photos = given_photos(tmp_path / "in")
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[20:50, 30:70] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    given = {photo.name: tmp_path / "mask.png" for photo in photos.photos}
    solved = replace(solved_for(photos, k1=0.0), scale_known=True)
    capture = ingest(write_solved(photos, solved, tmp_path / "out", masks=given))
    assert len(capture.views) == COUNT
    assert capture.scale_known
    assert capture.views[0].mask is not None and capture.views[0].mask[30, 40] == 255
    up = capture.delivered_from_world[:3, :3] @ (0, 0, 1)
    np.testing.assert_allclose(up, (0, 1, 0), atol=1e-9)


def test_photos_of_several_cameras_keep_their_own(tmp_path: Path):
    photos = given_photos(tmp_path / "in")
    solved = solved_for(photos)
    other = replace(solved.lenses[solved.photo_names[2]], focal_px=(120.0, 121.0), distortion=())
    solved = replace(solved, lenses={**solved.lenses, solved.photo_names[2]: other})
    file = write_solved(photos, solved, tmp_path / "out")
    assert "fl_x" not in json.loads(file.read_text())
    for posed in (read_transforms(file, DEFAULT_LIMITS), read_colmap(tmp_path / "out", DEFAULT_LIMITS)):
        assert [photo.lens.focal_px for photo in posed.photos][1:3] == [(90.0, 90.0), (120.0, 121.0)]


def test_odd_names_become_files_that_any_program_can_read(tmp_path: Path):
    names = ["a b.jpg", "ünïcode.JPG", "IMG_1.HEIC", "x;rm -rf.jpg", "IMG_1.HEIC.jpg", "..jpg"]
    photos = given_photos(tmp_path / "in")
    renamed = tuple(replace(p, name=name) for p, name in zip(photos.photos, names, strict=True))
    photos = PhotoSet(renamed, True)
    file = write_solved(photos, solved_for(photos), tmp_path / "out")
    posed = read_transforms(file, DEFAULT_LIMITS)
    assert [photo.name for photo in posed.photos][:3] == ["a b.jpg", "ünïcode.JPG", "IMG_1.HEIC.jpg"]
    assert len({photo.name.lower() for photo in posed.photos}) == COUNT
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "images",
        "sparse",
        "transforms.json",
    ]
    assert len(read_colmap(tmp_path / "out", DEFAULT_LIMITS).photos) == COUNT


def test_a_report_has_grade_measures_and_findings(tmp_path: Path):
    photos = given_photos(tmp_path / "in")
    finding = Finding("no_parallax", "error", "All from one place.", ("photo_01.jpg",))
    solved = replace(solved_for(photos, 4), grade="bad", findings=(finding,))
    values = json.loads(write_report(photos, solved, tmp_path / "out").read_text())
    assert (values["grade"], values["registered"], values["photos"]) == ("bad", 4, COUNT)
    assert values["left_out"] == ["photo_04.jpg", "photo_05.jpg"]
    assert values["measures"] == {"pair_consistency": 0.99, "focal_over_prior": None}
    assert values["findings"][0]["code"] == "no_parallax"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    photos = given_photos(tmp_path / "in")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(BadWorkspace, match="out can't be written"):
        write_solved(photos, solved_for(photos), tmp_path / "out")


def test_a_photo_that_vanished_is_an_error_not_half_a_capture(tmp_path: Path):
    photos = given_photos(tmp_path / "in")
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(BadWorkspace):
        write_solved(photos, solved_for(photos), tmp_path / "out")
    assert not (tmp_path / "out/transforms.json").exists()


@pytest.mark.parametrize("turn", [(0, 0, 0), (np.pi, 0, 0), (0, np.pi, 0), (0.3, -2.0, 1.0), (0, 0, 3.1)])
def test_quaternions_describe_their_rotation(turn: tuple[float, float, float]):
    rotation = cv2.Rodrigues(np.array(turn, float))[0]
    w, x, y, z = quaternion(rotation)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    np.testing.assert_allclose(np.eye(3) + 2 * w * cross + 2 * cross @ cross, rotation, atol=1e-9)
