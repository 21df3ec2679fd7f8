from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import objectscan.pipeline as pipeline
from helpers.jobs import BallEngine, take_small_pictures, write_ball_capture
from objectscan.capture import ingest
from objectscan.engines.choice import largest_gap_deg
from objectscan.engines.reconviagen.catalogue import CATALOGUE
from objectscan.errors import CamerasNotFound, MissingWeights, TooFewViews
from objectscan.recipes import recipe_for
from objectscan.settings import Settings, settings_from
from objectscan.types import Camera, Capture, View

AUTO = recipe_for("preview", {"engine": "auto"})


@pytest.fixture(autouse=True)
def _ball_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "engine_named", BallEngine)
    monkeypatch.setattr(pipeline, "device_for", lambda name: "cpu")
    monkeypatch.delenv("BALL_ENGINE", raising=False)
    take_small_pictures(monkeypatch)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A machine whose models folder is empty."""
    return settings_from({"OBJECTSCAN_MODELS": str(tmp_path / "models")})


def install(collection: str, folder: Path) -> None:
    """Files of the published names, which is what the choice looks at."""
    for model in CATALOGUE.collection(collection).models:
        for file in model.files:
            path = folder / "models" / model.name / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def recipe_of(out: Path) -> dict:
    return json.loads((out / "job.json").read_text())["recipe"]


def plain_photos(folder: Path, *, views: int) -> Path:
    """Cut-out photographs of a ball without cameras."""
    (write_ball_capture(folder, views=views) / "transforms.json").unlink()
    return folder


def test_many_posed_photos_are_optimised_and_the_report_says_why(tmp_path, settings):
    install("reconviagen", tmp_path)
    photos, heard = write_ball_capture(tmp_path / "photos", views=14), []
    asset = pipeline.reconstruct(photos, AUTO, tmp_path / "out", settings=settings, report=heard.append)
    assert recipe_of(tmp_path / "out")["engine"] == "nvdiffrec"
    told = [progress.message for progress in heard if progress.stage == "engine"]
    assert len(told) == 1 and told[0].startswith("nvdiffrec: 14 of 14 photos with given cameras, no gap")
    assert "engine_chosen" in asset.report.read_text()


def test_few_posed_photos_are_generated_from_with_the_weights_that_are_here(tmp_path, settings):
    install("trellis", tmp_path)
    photos = write_ball_capture(tmp_path / "photos", views=8)
    pipeline.optimise(photos, AUTO, tmp_path / "out", settings=settings)
    recipe = recipe_of(tmp_path / "out")
    assert (recipe["engine"], recipe["generative"]["conditions"]) == ("reconviagen", "trellis")


def test_asking_for_the_permissive_weights_rules_out_the_others(tmp_path, settings):
    install("reconviagen", tmp_path)
    commercial = recipe_for("preview", {"engine": "auto", "generative.conditions": "trellis"})
    photos = write_ball_capture(tmp_path / "photos", views=4)
    with pytest.raises(MissingWeights, match="for commercial use") as caught:
        pipeline.optimise(photos, commercial, tmp_path / "out", settings=settings)
    assert "models pull trellis" in caught.value.hint


def test_plain_photos_without_cameras_are_generated_from_if_weights_are_here(tmp_path, settings):
    install("reconviagen", tmp_path)
    photos = plain_photos(tmp_path / "photos", views=2)  # too few for cameras
    pipeline.optimise(photos, AUTO, tmp_path / "out", settings=settings)
    assert recipe_of(tmp_path / "out")["engine"] == "reconviagen"
    capture = pipeline.read_capture(tmp_path / "out" / "capture", settings)
    # The pictures of a plain ball are the same from everywhere, so that one is left.
    assert len(capture.views) == 1 and not capture.cameras_known


def test_without_weights_the_camera_error_stays_and_names_both_ways_out(tmp_path, settings, monkeypatch):
    def unregistrable(*arguments, **options):
        raise CamerasNotFound("3 of 9 photos match.", hint="Take them closer.", details={"reason": "x"})

    monkeypatch.setattr(pipeline, "posed_capture", unregistrable)
    photos = plain_photos(tmp_path / "photos", views=9)
    with pytest.raises(CamerasNotFound) as caught:
        pipeline.optimise(photos, AUTO, tmp_path / "out", settings=settings)
    assert caught.value.message == "3 of 9 photos match." and caught.value.details == {"reason": "x"}
    assert "closer" in caught.value.hint and "models pull reconviagen" in caught.value.hint


def test_a_named_engine_never_changes(tmp_path, settings):
    install("reconviagen", tmp_path)
    photos = plain_photos(tmp_path / "photos", views=2)
    with pytest.raises(TooFewViews) as caught:
        pipeline.optimise(photos, recipe_for("preview"), tmp_path / "out", settings=settings)
    assert "models pull" not in caught.value.hint


def test_the_grade_of_solved_cameras_counts(tmp_path, settings):
    install("reconviagen", tmp_path)
    photos = write_ball_capture(tmp_path / "photos", views=14)
    (photos / "solve.json").write_text(json.dumps({"photos": 20, "grade": "bad"}))
    pipeline.optimise(photos, AUTO, tmp_path / "out", settings=settings)
    assert recipe_of(tmp_path / "out")["engine"] == "reconviagen"


@pytest.mark.parametrize(("views", "gap"), [(12, 30.0), (5, 72.0)])
def test_the_gap_between_cameras_does_not_depend_on_the_frame(tmp_path, views, gap):
    capture = ingest(write_ball_capture(tmp_path, views=views))
    assert largest_gap_deg(capture) == pytest.approx(gap, abs=0.05)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = turn * np.sign(np.linalg.det(turn)), (3, -2, 1)
    assert largest_gap_deg(_moved(capture, moved)) == pytest.approx(gap, abs=0.05)


def test_one_camera_leaves_all_the_way_round_open(tmp_path):
    capture = ingest(write_ball_capture(tmp_path, views=6))
    assert largest_gap_deg(_moved(capture, np.eye(4), most=1)) == pytest.approx(360.0)


def _moved(capture: Capture, target_from_world: np.ndarray, most: int | None = None) -> Capture:
    views = tuple(
        View(
            view.name,
            Camera(
                view.camera.intrinsics, target_from_world @ view.camera.world_from_camera, view.camera.size
            ),
            view.image_srgb,
            view.mask,
        )
        for view in capture.views[:most]
    )
    return Capture(views, np.eye(4))
