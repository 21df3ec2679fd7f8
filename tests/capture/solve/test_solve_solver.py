"""The whole solve on small rendered sets: pycolmap really runs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from objectscan.capture import ingest
from objectscan.capture.photoset import PhotoSet, SolvedCameras
from objectscan.capture.samples.photographs import box_on_a_table, look_at, photograph, ring, write_photos
from objectscan.capture.solve import SolveLimits, require_good_cameras, solve_cameras
from objectscan.capture.solve.agreement import camera_radius, robust_similarity
from objectscan.capture.solve.write import write_solved
from objectscan.errors import CamerasNotFound, Cancelled, TooFewViews
from objectscan.types import Progress

SIZE = (400, 300)
LIMITS = SolveLimits(features=1200, threads=1, timeout_s=300)
SHOTS = ring(12, size=SIZE, arc_deg=330, elevation_deg=30)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoSet:
    scene, rng = box_on_a_table(), np.random.default_rng(0)
    images = [photograph(scene, shot, rng=rng) for shot in SHOTS]
    return write_photos(tmp_path_factory.mktemp("photos"), images, focal_px=430.0)


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def solved(photos: PhotoSet, tmp_path_factory: pytest.TempPathFactory, told: list[Progress]) -> SolvedCameras:
    return solve_cameras(photos, tmp_path_factory.mktemp("solve"), limits=LIMITS, report=told.append)


def test_all_photos_are_placed_and_trusted(solved: SolvedCameras, photos: PhotoSet):
    assert (solved.grade, len(solved.photo_names)) == ("good", 12)
    require_good_cameras(solved)
    assert solved.measures["second_start_agreement"] == 1.0
    assert solved.findings == ()


def test_cameras_are_where_they_were(solved: SolvedCameras):
    true = np.array([shot.world_from_camera for shot in SHOTS])
    found = np.array([solved.world_from_camera[name] for name in sorted(solved.photo_names)])
    fitted = robust_similarity(found[:, :3, 3], true[:, :3, 3])
    error = np.linalg.norm(fitted.apply(found[:, :3, 3]) - true[:, :3, 3], axis=1)
    assert error.max() / camera_radius(true[:, :3, 3]) < 0.01
    turned = np.einsum("ab,nbc->nac", fitted.rotation, found[:, :3, :3])
    assert np.abs(turned - true[:, :3, :3]).max() < 0.01


def test_the_focal_length_is_found_from_a_rough_prior(solved: SolvedCameras):
    lens = solved.lenses["photo_00.jpg"]
    assert lens.focal_px is not None
    assert lens.focal_px[0] == pytest.approx(440, rel=0.01)
    assert lens.size == SIZE


def test_up_is_up_and_the_table_lies_below(solved: SolvedCameras):
    true_up = np.array([shot.world_from_camera[2, :3] for shot in SHOTS])  # world z in camera axes
    found_up = np.array([solved.world_from_camera[name][2, :3] for name in sorted(solved.photo_names)])
    np.testing.assert_allclose(found_up, true_up, atol=0.02)
    assert solved.support_plane is not None
    np.testing.assert_allclose(solved.support_plane[:3], (0, 0, 1), atol=1e-6)
    assert 0.2 < solved.support_plane[3] < 2


def test_observations_are_where_the_cameras_see_the_points(solved: SolvedCameras):
    for photo in (0, 7):
        name = solved.photo_names[photo]
        chosen = solved.observations[:, 1] == photo
        camera, lens = solved.world_from_camera[name], solved.lenses[name]
        inside = (solved.points[solved.observations[chosen, 0]] - camera[:3, 3]) @ camera[:3, :3]
        flat = inside[:, :2] / inside[:, 2:]
        k1 = lens.distortion[0] if lens.distortion else 0.0
        assert lens.focal_px is not None and lens.centre_px is not None
        pixels = flat * (1 + k1 * (flat**2).sum(1, keepdims=True)) * lens.focal_px + lens.centre_px
        assert np.median(np.linalg.norm(pixels - solved.places_px[chosen], axis=1)) < 1.0


def test_progress_never_falls_and_comes_at_least_once_a_second(solved: SolvedCameras, told: list[Progress]):
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    # Matching so few photos may be over between two looks at the child.
    assert {"placing", "finding"} <= {progress.message.split()[0] for progress in told}


def test_the_same_seed_gives_the_same_cameras(solved: SolvedCameras, photos: PhotoSet, tmp_path: Path):
    again = solve_cameras(photos, tmp_path / "again", limits=LIMITS)
    assert again.photo_names == solved.photo_names
    for name in solved.photo_names:
        np.testing.assert_array_equal(again.world_from_camera[name], solved.world_from_camera[name])
    np.testing.assert_array_equal(again.points, solved.points)


def test_the_written_capture_is_one_that_ingest_reads(
    solved: SolvedCameras, photos: PhotoSet, tmp_path: Path
):
    capture = ingest(write_solved(photos, solved, tmp_path / "out"), require_masks=False)
    assert len(capture.views) == 12
    up = capture.delivered_from_world[:3, :3] @ (0, 0, 1)
    np.testing.assert_allclose(up, (0, 1, 0), atol=1e-9)


def test_a_foreign_and_a_mirrored_photo_are_left_out_by_name(photos: PhotoSet, tmp_path: Path):
    scene, rng = box_on_a_table(99), np.random.default_rng(1)
    foreign = write_photos(
        tmp_path / "foreign", [photograph(scene, SHOTS[3], rng=rng)], focal_px=430.0, names=["stranger.jpg"]
    )
    mirrored = cv2.imread(str(photos.photos[4].path))[:, ::-1, ::-1]
    selfie = write_photos(tmp_path / "mirror", [mirrored], focal_px=430.0, names=["selfie.jpg"])
    mixed = PhotoSet((*photos.photos, *foreign.photos, *selfie.photos), True)
    result = solve_cameras(mixed, tmp_path / "solve", limits=LIMITS)
    assert result.grade == "good"
    left_out = next(finding for finding in result.findings if finding.code == "unregistered_images")
    assert left_out.photos == ("stranger.jpg", "selfie.jpg")


def refused(photos: PhotoSet, work: Path) -> CamerasNotFound:
    with pytest.raises(CamerasNotFound) as caught:
        require_good_cameras(solve_cameras(photos, work, limits=LIMITS))
    assert caught.value.hint
    return caught.value


def test_a_camera_that_only_turned_is_refused(tmp_path: Path):
    scene, rng = box_on_a_table(), np.random.default_rng(0)
    eye = np.array([1.6, -1.0, 0.9])
    shots = [
        replace(SHOTS[0], world_from_camera=look_at(eye, np.add(eye, (np.cos(a), np.sin(a), -0.3))))
        for a in np.radians(np.arange(0, 120, 15))
    ]
    photos = write_photos(
        tmp_path / "in", [photograph(scene, shot, rng=rng) for shot in shots], focal_px=440.0
    )
    assert refused(photos, tmp_path / "solve").details["reason"] == "no_parallax"


def test_photos_without_texture_are_refused(tmp_path: Path):
    rng = np.random.default_rng(0)
    walls = [np.clip(rng.normal(215, 1.0, (300, 400, 3)), 0, 255).astype(np.uint8) for _ in range(6)]
    error = refused(write_photos(tmp_path / "in", walls, focal_px=None), tmp_path / "solve")
    assert error.details["reason"] == "insufficient_features"
    assert "0 points" in error.message


def test_photos_that_share_nothing_are_refused(photos: PhotoSet, tmp_path: Path):
    rng = np.random.default_rng(3)
    images = [photograph(box_on_a_table(40 + n), SHOTS[n], rng=rng) for n in range(4)]
    error = refused(write_photos(tmp_path / "in", images, focal_px=440.0), tmp_path / "solve")
    assert error.details["reason"] == "registration_failed"
    assert len(error.details["photos"]) == 4


def test_two_photos_are_too_few(photos: PhotoSet, tmp_path: Path):
    with pytest.raises(TooFewViews, match="2 photos"):
        solve_cameras(PhotoSet(photos.photos[:2], True), tmp_path / "solve", limits=LIMITS)


def test_a_stop_ends_the_solver_and_leaves_no_process(photos: PhotoSet, tmp_path: Path):
    asked: list[float] = []

    def stop(progress: Progress) -> None:
        if progress.message.startswith("matching"):
            asked.append(time.monotonic())
            raise Cancelled("Stopped on request.")

    with pytest.raises(Cancelled):
        solve_cameras(photos, tmp_path / "solve", limits=LIMITS, report=stop)
    assert time.monotonic() - asked[0] < 1.0
    assert psutil.Process().children() == []


def test_nothing_is_written_outside_the_work_folder(photos: PhotoSet, tmp_path: Path):
    few = PhotoSet(photos.photos[:4], True)
    before = {path: path.stat().st_mtime_ns for photo in few.photos for path in photo.path.parent.iterdir()}
    solve_cameras(few, tmp_path / "work", limits=LIMITS)
    after = {path: path.stat().st_mtime_ns for photo in few.photos for path in photo.path.parent.iterdir()}
    assert after == before
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
