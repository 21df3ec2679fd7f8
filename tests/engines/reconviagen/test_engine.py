"""Photos to a delivered model with tiny random weights in the published layout, through the real pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from tests.engines.reconviagen.tiny import use_tiny_networks, write_published

from helpers.gltf import validate_glb
from helpers.jobs import take_small_pictures, write_ball_capture
from objectscan import pipeline
from objectscan.delivery import Asset
from objectscan.engines.reconviagen import engine as engine_module
from objectscan.engines.reconviagen.engine import ReconViaGenEngine, chosen_views
from objectscan.errors import BadCameras, BadMasks, BadRecipe, Cancelled, MissingWeights
from objectscan.recipes import PREVIEW, recipe_for
from objectscan.settings import DEFAULT_SETTINGS, Settings
from objectscan.types import NoCheckpoints, Progress, ignore_progress

STAGES = [name for name, _ in ReconViaGenEngine.stages]
OPTIONS: dict[str, object] = {
    "engine": "reconviagen", "generative.structure_steps": 3, "generative.latent_steps": 2,
    "generative.photos": 3, "budget.faces": 600, "budget.texture_size_px": 128,
}  # fmt: skip
RECIPE = recipe_for("preview", OPTIONS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ball_capture(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_published(folder)
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_networks(monkeypatch)
    take_small_pictures(monkeypatch)
    monkeypatch.setattr(engine_module.ReconViaGenEngine, "memory_bytes", lambda *_: 1)


def settings_with(models: Path) -> Settings:
    return Settings({**DEFAULT_SETTINGS.values, "models": str(models)})


def reconstruct(photos: Path, out: Path, models: Path, **options) -> Asset:
    recipe = options.pop("recipe", RECIPE)
    return pipeline.reconstruct(photos, recipe, out, settings=settings_with(models), **options)


def test_photos_become_a_valid_upright_textured_model_that_nobody_judged(photos, models, tmp_path):
    heard: list[Progress] = []
    asset = reconstruct(photos, tmp_path / "out", models, report=heard.append)
    validate_glb(asset.model)
    mesh = trimesh.load(asset.model, force="mesh", process=False)
    assert 100 < len(mesh.faces) <= 1.1 * RECIPE.budget.faces
    low, high = mesh.bounds
    assert low[1] == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose((low + high)[[0, 2]], 0, atol=1e-4)
    report = json.loads(asset.report.read_text())
    assert report["verdict"]["grade"] == "unjudged"
    assert "where the photos were taken from is not known" in report["verdict"]["reason"]
    assert report["evidence"]["views"] == [] and report["evidence"]["seen_once"] is None
    codes = {finding["code"] for finding in report["warnings"]}
    assert {"generated", "not_compared", "photos_not_used", "scale_unknown"} <= codes
    assert "evidence_from_training_views" not in codes
    assert [one["name"] for one in report["passes"]] == [name for name in STAGES if name != "layout"]
    assert [name for name in dict.fromkeys(message.stage for message in heard) if name in STAGES] == STAGES
    assert "unjudged" in asset.report.with_suffix(".html").read_text()


def test_the_texture_shows_the_generated_colours(photos, models, tmp_path):
    asset = reconstruct(photos, tmp_path / "out", models)
    mesh = trimesh.load(asset.model, force="mesh", process=False)
    picture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
    assert picture.shape == (128, 128, 3) and picture.std(axis=(0, 1)).max() > 2
    assert mesh.visual.material.metallicFactor in (None, 0.0, 1.0)
    packed = np.asarray(mesh.visual.material.metallicRoughnessTexture.convert("RGB"))
    assert packed[..., 1].min() == 255 and packed[..., 2].max() == 0


@pytest.mark.parametrize("changes", [{}, {"generative.texture_from": "vertices"}])
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(photos, models, tmp_path, changes):
    recipe = recipe_for("preview", {**OPTIONS, **changes})
    first, again, other = (
        reconstruct(photos, tmp_path / name, models, recipe=recipe, seed=seed).model.read_bytes()
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again != other


def _stops_at(stage: str) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.stage == stage:
            raise Cancelled("stopped")

    return report


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_run_that_was_stopped_goes_on_where_it_was(photos, models, tmp_path, monkeypatch, stage):
    whole = reconstruct(photos, tmp_path / "whole", models).model.read_bytes()
    with pytest.raises(Cancelled):
        reconstruct(photos, tmp_path / "out", models, report=_stops_at(stage))
    kept = {path.stem for path in (tmp_path / "out" / "stages").iterdir()} & set(STAGES)
    assert kept == set(STAGES[: STAGES.index(stage)])
    opened: list[str] = []
    source = engine_module.FolderNetworks
    real = source.open

    def counted(self, name, *arguments, **options):
        opened.append(name)
        return real(self, name, *arguments, **options)

    monkeypatch.setattr(source, "open", counted)
    assert reconstruct(photos, tmp_path / "out", models).model.read_bytes() == whole
    assert not any("dinov2" in name for name in opened)


def test_missing_weights_are_named_with_the_command_that_gets_them(photos, models, tmp_path):
    with pytest.raises(MissingWeights, match=r"'trellis-vggt' are not in") as caught:
        reconstruct(photos, tmp_path / "out", tmp_path / "nothing")
    assert "objectscan models pull trellis-vggt" in caught.value.hint


def test_the_permissive_weights_are_enough_for_their_way_of_working(photos, models, tmp_path):
    for name in ("trellis-image-large", "dinov2-large"):
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / name).symlink_to(models / name)
    recipe = replace(RECIPE, generative=replace(RECIPE.generative, conditions="trellis"))
    validate_glb(reconstruct(photos, tmp_path / "out", tmp_path / "models", recipe=recipe).model)
    with pytest.raises(MissingWeights):
        reconstruct(photos, tmp_path / "other", tmp_path / "models")


def test_a_photo_without_a_mask_is_refused(photos, models):
    engine = ReconViaGenEngine()
    engine.prepare("cpu", settings_with(models))
    capture = pipeline.read_capture(photos, DEFAULT_SETTINGS)
    bare = replace(capture, views=(replace(capture.views[0], mask=None),))
    with pytest.raises(BadMasks, match=r"ball_00\.png has no mask"):
        engine.reconstruct(bare, RECIPE, seed=0, report=ignore_progress, checkpoints=NoCheckpoints())


def test_photos_without_cameras_become_a_model_and_can_be_delivered_again(photos, models, tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    for number in (0, 5):
        picture = np.asarray(Image.open(photos / f"ball_{number:02d}.png")).copy()
        picture[40:50, 40:50, :3] = 20 * number  # else they are doubles: the ball looks alike from everywhere
        Image.fromarray(picture).save(plain / f"ball_{number:02d}.png")
    asset = reconstruct(plain, tmp_path / "out", models)
    report = json.loads(asset.report.read_text())
    assert report["verdict"]["grade"] == "unjudged" and report["capture"]["fit"] == [
        "ball_00.png", "ball_05.png",
    ]  # fmt: skip
    assert "cameras_unknown" in {finding["code"] for finding in report["warnings"]}
    assert {stage["name"] for stage in report["stages"]} >= {"gather", "mask", *STAGES}
    model = asset.model.read_bytes()
    asset.model.unlink()
    again = pipeline.deliver_folder(tmp_path / "out", settings=settings_with(models))
    assert again.model.read_bytes() == model
    with pytest.raises(BadCameras, match="needs cameras"):
        reconstruct(tmp_path / "out" / "capture", tmp_path / "other", models, recipe=PREVIEW)


def test_of_many_photos_evenly_spaced_ones_are_looked_at(photos):
    views = pipeline.read_capture(photos, DEFAULT_SETTINGS).views
    assert chosen_views(views, 16) == views
    assert [view.name[-6:-4] for view in chosen_views(views, 5)] == ["00", "02", "04", "07", "09"]


@pytest.mark.parametrize(
    ("name", "value"), [("conditions", "vggt"), ("photos", 0), ("latent_steps", 0), ("texture_from", "x")]
)
def test_options_that_make_no_sense_are_refused(name, value):
    with pytest.raises(BadRecipe, match=f"generative.{name} is"):
        recipe_for("standard", {f"generative.{name}": value})
