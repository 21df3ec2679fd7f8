from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

import objectscan.pipeline as pipeline
from helpers.jobs import RADIUS, BallEngine, take_small_pictures, write_ball_capture
from objectscan.capture import ingest, save_capture
from objectscan.errors import BadWorkspace, Cancelled, InputError, NotEnoughMemory, ReconstructionError
from objectscan.recipes import PREVIEW, recipe_for
from objectscan.settings import DEFAULT_SETTINGS, settings_from


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_ball_capture(tmp_path_factory.mktemp("photos"))


@pytest.fixture(autouse=True)
def log(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "engine_named", BallEngine)
    take_small_pictures(monkeypatch)
    monkeypatch.setenv("BALL_LOG", str(tmp_path / "log"))
    monkeypatch.delenv("BALL_ENGINE", raising=False)
    return tmp_path / "log"


def _ran(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def _reconstruct(photos, out, **options):
    return pipeline.reconstruct(
        photos, options.pop("recipe", PREVIEW), out, settings=DEFAULT_SETTINGS, **options
    )


def test_a_run_delivers_model_previews_and_report_and_nothing_else(photos, tmp_path):
    before = sorted(photos.iterdir())
    heard = []
    asset = _reconstruct(photos, tmp_path / "out", seed=7, report=heard.append)
    files = {str(path.relative_to(tmp_path / "out")) for path in asset.folder.rglob("*") if path.is_file()}
    assert files == {
        ".lock", "job.json", "model.glb", "report.json", "report.html", "progress.webp",
        "previews/preview.webp", "previews/turntable.webp", "previews/contact_sheet.webp",
        "stages/shape.npz", "stages/result.npz", "stages/seconds.npz",
    }  # fmt: skip
    assert sorted(photos.iterdir()) == before
    report = json.loads(asset.report.read_text())
    assert report["seed"] == 7 and report["recipe"]["preset"] == "preview"
    assert report["evidence"]["source"] == "held-out" and asset.evidence.means["iou"] > 0.95
    stages = {stage["name"]: stage["seconds"] for stage in report["stages"]}
    assert set(stages) == {"capture", "shape", "refine", "evaluate", "preview"}
    assert min(stages.values()) >= 0 and report["peak_memory_bytes"] > 50e6
    assert [one["name"] for one in report["passes"]] == ["shape", "refine"]
    assert {progress.stage for progress in heard} == set(stages)
    assert len(report["evidence"]["views"]) == 2  # of 12 photos, and the engine saw the other ten
    states = [photo["status"] for photo in report["photos"]]
    assert (states.count("used"), states.count("held_out")) == (10, 2)
    assert all(photo["camera"] and photo["mask_source"] == "user" for photo in report["photos"])
    page = (asset.folder / "report.html").read_text("utf-8")
    assert page.count('<image id="picture-') == 12 and page.count('class="mark ') == 24
    for name in ("preview", "turntable", "contact_sheet"):
        picture = Image.open(io.BytesIO((asset.folder / "previews" / f"{name}.webp").read_bytes()))
        assert min(picture.size) > 100 and np.ptp(np.asarray(picture.convert("RGB"))) > 50


def test_the_model_is_delivered_y_up(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("BALL_ENGINE", "elsewhere")  # 2 above the origin of the photos' z-up world
    with pytest.raises(ReconstructionError):
        _reconstruct(photos, tmp_path / "out")
    mesh = trimesh.load(tmp_path / "out" / "model.glb", force="mesh")
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), [0, 2, 0], atol=0.02)
    np.testing.assert_allclose(np.ptp(mesh.bounds, axis=0), 2 * RADIUS, atol=0.02)
    outward = np.einsum("vc,vc->v", mesh.vertex_normals, mesh.vertices - [0, 2, 0])
    assert outward.min() > 0.9 * RADIUS


def test_a_model_that_shows_something_else_fails_with_its_report_written(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("BALL_ENGINE", "elsewhere")
    with pytest.raises(ReconstructionError, match="does not show the object"):
        _reconstruct(photos, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["verdict"]["grade"] == "failed"
    assert (tmp_path / "out" / "report.html").stat().st_size > 1000


def test_a_defect_in_one_stage_keeps_the_stages_before_it(photos, tmp_path, monkeypatch, log):
    monkeypatch.setenv("BALL_ENGINE", "crash")
    with pytest.raises(RuntimeError, match="keyboard"):
        _reconstruct(photos, tmp_path / "out")
    monkeypatch.delenv("BALL_ENGINE")
    _reconstruct(photos, tmp_path / "out")
    assert _ran(log) == ["shape", "refine", "refine"]


def test_a_finished_engine_is_not_run_again_and_its_time_stays_in_the_report(photos, tmp_path, log):
    _reconstruct(photos, tmp_path / "out")
    first = json.loads((tmp_path / "out" / "report.json").read_text())
    (tmp_path / "out" / "model.glb").unlink()
    asset = _reconstruct(photos, tmp_path / "out")
    assert _ran(log) == ["shape", "refine"] and asset.model.exists()
    second = {one["name"]: one["seconds"] for one in json.loads(asset.report.read_text())["stages"]}
    assert second["refine"] == {one["name"]: one["seconds"] for one in first["stages"]}["refine"]


def test_another_seed_is_another_job(photos, tmp_path, log):
    _reconstruct(photos, tmp_path / "out")
    with pytest.raises(BadWorkspace, match="different: seed"):
        _reconstruct(photos, tmp_path / "out", seed=1)
    _reconstruct(photos, tmp_path / "out", seed=1, overwrite=True)
    assert _ran(log) == ["shape", "refine"] * 2


def test_a_changed_photo_is_noticed(tmp_path, log):
    photos = write_ball_capture(tmp_path / "photos")
    _reconstruct(photos, tmp_path / "out")
    picture = np.asarray(Image.open(photos / "ball_03.png")).copy()
    picture[40, 40, 0] += 1
    Image.fromarray(picture).save(photos / "ball_03.png")
    with pytest.raises(BadWorkspace, match="different: photos"):
        _reconstruct(photos, tmp_path / "out")
    with pytest.raises(BadWorkspace, match="have changed"):
        pipeline.deliver_folder(tmp_path / "out", settings=DEFAULT_SETTINGS)


def test_touching_or_copying_the_photos_changes_nothing(photos, tmp_path, log):
    _reconstruct(photos, tmp_path / "out")
    copy = write_ball_capture(tmp_path / "copy")
    _reconstruct(copy, tmp_path / "out")
    assert _ran(log) == ["shape", "refine"]


def test_a_stop_is_answered_at_the_next_report_and_the_run_goes_on_later(photos, tmp_path, log):
    heard = []
    with pytest.raises(Cancelled):
        _reconstruct(
            photos, tmp_path / "out", report=heard.append,
            cancelled=lambda: any(progress.stage == "refine" for progress in heard),
        )  # fmt: skip
    assert heard[-1].stage == "refine" and not (tmp_path / "out" / "model.glb").exists()
    _reconstruct(photos, tmp_path / "out")
    assert _ran(log) == ["shape", "refine", "refine"]


def test_the_stages_one_by_one_give_the_same_model_as_the_whole(photos, tmp_path):
    whole = _reconstruct(photos, tmp_path / "whole")
    save_capture(ingest(photos), tmp_path / "ingested")
    pipeline.optimise(tmp_path / "ingested", PREVIEW, tmp_path / "parts", settings=DEFAULT_SETTINGS)
    assert not (tmp_path / "parts" / "model.glb").exists()
    parts = pipeline.deliver_folder(tmp_path / "parts", settings=DEFAULT_SETTINGS)
    assert parts.model.read_bytes() == whole.model.read_bytes()
    assert parts.evidence.means == pytest.approx(whole.evidence.means, abs=1e-6)


def test_with_few_photos_the_training_views_are_the_evidence(tmp_path):
    photos = write_ball_capture(tmp_path / "photos", views=6)
    asset = _reconstruct(photos, tmp_path / "out")
    assert asset.evidence.source == "training-views" and len(asset.evidence.views) == 6


def test_a_job_that_does_not_fit_is_refused_before_it_begins(photos, tmp_path, monkeypatch, log):
    monkeypatch.setenv("BALL_ENGINE", "huge")
    with pytest.raises(NotEnoughMemory, match="1000000"):
        _reconstruct(photos, tmp_path / "out")
    assert _ran(log) == []


def test_an_unusable_capture_leaves_no_folder_behind(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        _reconstruct(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_operators_limits_reach_the_photos(photos, tmp_path):
    settings = settings_from({"OBJECTSCAN_MAX_VIEWS": "5"})
    with pytest.raises(InputError, match="5"):
        pipeline.read_capture(photos, settings)


def test_the_shares_of_all_stages_sum_to_one():
    shares = pipeline.stage_shares(recipe_for("preview"))
    assert sum(share for _, share in shares) == pytest.approx(1.0)
    assert [name for name, _ in shares] == ["capture", "shape", "refine", "evaluate", "preview"]
