"""The chain from plain photos to a capture; solving and cutting out have tests of their own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import objectscan.capture.plain as plain
from objectscan.capture import ImageLimits, ingest
from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import SolvedCameras
from objectscan.capture.plain import PlainOptions, is_plain, plain_findings, posed_capture, was_plain
from objectscan.capture.records import read_records
from objectscan.capture.segment.mask_set import MaskSet
from objectscan.capture.solve import SolveLimits
from objectscan.errors import CamerasNotFound, PhotosUnusable, TooFewViews
from objectscan.types import Finding

SIZE = (160, 120)
RADIUS, DISTANCE, FOCAL_PX = 0.5, 3.0, 150.0


def look_at_origin(angle: float) -> np.ndarray:
    """OpenCV camera on a ring, z up."""
    centre = DISTANCE * np.array([np.cos(angle), np.sin(angle), 0.3])
    forward = -centre / np.linalg.norm(centre)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    world_from_camera = np.eye(4)
    world_from_camera[:3] = np.c_[right, np.cross(forward, right), forward, centre]
    return world_from_camera


def cells(seed, columns, rows):
    """Squares of 4 px in random colours."""
    small = np.random.default_rng(seed).integers(30, 230, (rows, columns, 3), np.uint8)
    return small.repeat(4, axis=0).repeat(4, axis=1)


@pytest.fixture
def photos(tmp_path):
    """A patch that moves before a background that moves half as fast."""
    folder, back, front = tmp_path / "photos", cells(0, 60, 30), cells(1, 18, 14)
    folder.mkdir()
    for k in range(8):
        picture = back[:, 4 * k : 4 * k + 160].copy()
        picture[30:86, 20 + 8 * k : 92 + 8 * k] = front
        Image.fromarray(picture).save(folder / f"img_{k}.png")
    (folder / "readme.txt").write_text("not a photo")
    return folder


def solved(names, grade="good", reason="registration_failed"):
    lens = Lens((FOCAL_PX, FOCAL_PX), centre_px=(SIZE[0] / 2, SIZE[1] / 2), size=SIZE)
    findings = () if grade == "good" else (Finding(reason, "error", "No answer. Do better."),)
    return SolvedCameras(
        {name: lens for name in names},
        {name: look_at_origin(2 * np.pi * k / len(names)) for k, name in enumerate(names)},
        np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros((0, 2), np.int32), tuple(names), grade,
        findings=findings,
    )  # fmt: skip


@pytest.fixture
def options(monkeypatch):
    """Cameras and masks of a ball at the origin, without solver and network."""
    calls = []

    def solve(photo_set, work, **_):
        calls.append("solve")
        return solved([photo.name for photo in photo_set.photos])

    def cut(photo_set, cameras, work, **_):
        rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
        radius_px = FOCAL_PX * RADIUS / np.linalg.norm([DISTANCE, 0.3 * DISTANCE])
        disc = np.hypot(columns + 0.5 - SIZE[0] / 2, rows + 0.5 - SIZE[1] / 2) < radius_px
        paths = {}
        for photo in photo_set.photos:
            paths[photo.name] = work / f"{photo.name}.mask.png"
            Image.fromarray(np.uint8(disc * 255)).save(paths[photo.name])
        return MaskSet(paths, dict.fromkeys(paths, 1.0), dict.fromkeys(paths, "network"))

    monkeypatch.setattr(plain, "solve_cameras", solve)
    monkeypatch.setattr(plain, "cut_out", cut)
    monkeypatch.setattr(plain, "find_marker_scale", lambda *_: None)
    made = PlainOptions(ImageLimits(), SolveLimits(), model=None)
    return made, calls


def test_plain_photos_become_a_capture_that_ingest_reads(photos, options, tmp_path):
    before = sorted(path.name for path in photos.iterdir())
    assert is_plain(photos)
    out = posed_capture(photos, tmp_path / "capture", options[0])
    capture = ingest(out)
    assert len(capture.views) == 8 and not is_plain(out) and was_plain(out)
    centres = np.array([view.camera.world_from_camera[:3, 3] for view in capture.views])
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), DISTANCE * np.hypot(1, 0.3), rtol=1e-5)
    assert all(view.mask[60, 80] == 255 and view.mask[2, 2] == 0 for view in capture.views)
    assert "stray_files" in {finding.code for finding in plain_findings(out)}
    assert (out / "sparse" / "0" / "cameras.txt").is_file() and not (out / "work").exists()
    assert sorted(path.name for path in photos.iterdir()) == before


def test_what_became_of_each_photo_lies_beside_the_capture(photos, options, tmp_path):
    (photos / "img_9.png").write_bytes((photos / "img_0.png").read_bytes()[:900])
    records = {one.name: one for one in read_records(posed_capture(photos, tmp_path / "capture", options[0]))}
    assert sorted(records) == [*(f"img_{k}.png" for k in range(8)), "img_9.png"]
    assert records["img_0.png"].mask_source == "network" and records["img_0.png"].mask_confidence == 1.0
    assert 0 < records["img_0.png"].sharpness < 1
    assert records["img_9.png"].view is None and "img_9.png" in records["img_9.png"].reason


def test_a_handful_of_photos_is_refused_before_anything_is_solved(photos, options, tmp_path):
    for k in range(4, 8):
        (photos / f"img_{k}.png").unlink()
    with pytest.raises(TooFewViews, match="4 photos are too few") as refused:
        posed_capture(photos, tmp_path / "capture", options[0])
    assert refused.value.details["reason"] == "too_few_images" and options[1] == []


def test_a_finished_capture_is_used_again_until_the_photos_change(photos, options, tmp_path):
    made, calls = options
    for _ in range(2):
        posed_capture(photos, tmp_path / "capture", made)
    assert calls == ["solve"]
    (photos / "img_0.png").unlink()
    posed_capture(photos, tmp_path / "capture", made)
    assert calls == ["solve", "solve"]
    assert len(ingest(tmp_path / "capture").views) == 7


def test_cameras_that_can_not_be_trusted_are_refused_and_the_report_stays(
    photos, options, tmp_path, monkeypatch
):
    names = [f"img_{k}.png" for k in range(8)]
    monkeypatch.setattr(plain, "solve_cameras", lambda *_, **__: solved(names, "bad"))
    monkeypatch.setattr(plain, "is_shaken", lambda _: False)
    with pytest.raises(CamerasNotFound, match="No answer") as refused:
        posed_capture(photos, tmp_path / "capture", options[0])
    assert refused.value.details["reason"] == "registration_failed"
    assert json.loads((tmp_path / "capture" / "solve.json").read_text())["grade"] == "bad"
    assert not was_plain(tmp_path / "capture")
    monkeypatch.setattr(plain, "is_shaken", lambda _: True)
    with pytest.raises(PhotosUnusable, match="look shaken") as shaken:
        posed_capture(photos, tmp_path / "capture", options[0])
    assert shaken.value.details["reason"] == "blurry_images"


def test_outlines_that_carve_each_other_away_refuse_the_cameras(photos, options, tmp_path, monkeypatch):
    covered = {f"img_{k}.png": 0.2 if k < 5 else 0.95 for k in range(8)}
    monkeypatch.setattr(plain, "silhouette_consistency", lambda *_, **__: covered)
    with pytest.raises(CamerasNotFound, match="5 of 8 photos") as refused:
        posed_capture(photos, tmp_path / "capture", options[0])
    assert refused.value.details["photos"] == [f"img_{k}.png" for k in range(5)]
    covered |= {f"img_{k}.png": 0.95 for k in range(4)}
    out = posed_capture(photos, tmp_path / "capture", options[0])
    (doubt,) = [finding for finding in plain_findings(out) if finding.code == "outlines_disagree"]
    assert doubt.photos == ("img_4.png",)
