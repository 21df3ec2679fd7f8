import dataclasses

import numpy as np
import pytest
import torch
from tests.engines.nvdiffrec.captures import painted_ball

from objectscan.engines.nvdiffrec.engine import NvdiffrecEngine
from objectscan.engines.nvdiffrec.guards import ensure_finite
from objectscan.errors import BadMasks, Cancelled, EmptyForeground, OptimisationDiverged
from objectscan.mesh.topology import topology_facts, weld_by_position
from objectscan.recipes import recipe_for
from objectscan.types import Camera, Capture, NoCheckpoints, Progress, Reconstruction, ignore_progress

_SMALL = recipe_for(
    "preview",
    {
        "stereo.enabled": False, "shape.resolutions": [20, 28], "shape.image_edges_px": [48, 96],
        "shape.steps": [30, 30], "shape.views_per_step": 3, "refine.image_edge_px": 96, "refine.steps": 20,
        "budget.faces": 2000, "budget.texture_size_px": 256,
    },
)  # fmt: skip


class Kept(NoCheckpoints):
    def __init__(self):
        self.arrays = {}

    def load(self, name):
        return self.arrays.get(name)

    def save(self, name, arrays):
        self.arrays[name] = {key: np.array(value) for key, value in arrays.items()}


def _run(capture: Capture, recipe=_SMALL, seed=0, report=ignore_progress, checkpoints=None) -> Reconstruction:
    return NvdiffrecEngine().reconstruct(
        capture, recipe, seed=seed, report=report, checkpoints=checkpoints or NoCheckpoints()
    )


@pytest.fixture(scope="module")
def capture() -> Capture:
    return painted_ball()


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def result(capture: Capture, told: list[Progress]) -> Reconstruction:
    return _run(capture, report=told.append)


def test_the_ball_comes_out_round_closed_and_within_budget(result: Reconstruction):
    radius = np.linalg.norm(result.mesh.vertices, axis=1)
    assert abs(np.median(radius) - 1.0) < 0.01
    assert np.quantile(np.abs(radius - 1.0), 0.95) < 0.04
    assert len(result.mesh.faces) <= 2000
    facts = topology_facts(weld_by_position(result.mesh))
    assert facts.is_watertight
    assert facts.volume > 0


def test_both_passes_are_reported_and_the_fit_improves(result: Reconstruction):
    shape, refine = result.passes
    assert (shape.name, shape.steps, refine.name, refine.steps) == ("shape", 60, "refine", 20)
    assert refine.facts["colour_loss"] < 0.08


def test_a_picture_of_the_growing_model_comes_with_each_pass(result: Reconstruction, told: list[Progress]):
    pictures = [(progress.stage, progress.preview_srgb) for progress in told]
    shown = {stage: picture for stage, picture in pictures if picture is not None}
    assert set(shown) == {"shape", "refine"}
    for picture in shown.values():
        height, width, _ = picture.shape
        assert max(height, width // 2) <= 320 and np.ptp(picture[:, width // 2 :]) > 30
    assert sum(picture is not None for _, picture in pictures) < len(pictures)


def test_textures_are_in_range_and_painted(result: Reconstruction):
    colour = result.material.base_color_srgb
    assert colour.min() >= 0 and colour.max() <= 1
    assert colour.std(axis=(0, 1)).min() > 0.03
    np.testing.assert_allclose(np.linalg.norm(result.material.normal, axis=-1), 1.0, atol=1e-4)


def test_the_same_seed_gives_the_same_result(capture: Capture, result: Reconstruction):
    again = _run(capture)
    np.testing.assert_array_equal(again.mesh.vertices, result.mesh.vertices)
    np.testing.assert_array_equal(again.material.base_color_srgb, result.material.base_color_srgb)


def test_a_run_resumed_after_the_bridge_ends_as_one_that_was_not_stopped(
    capture: Capture, result: Reconstruction
):
    kept, stages = Kept(), []

    def stop_in_refine(progress: Progress) -> None:
        if progress.stage == "refine":
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        _run(capture, report=stop_in_refine, checkpoints=kept)
    assert set(kept.arrays) == {"shape", "bridge"}
    resumed = _run(capture, report=lambda progress: stages.append(progress.stage), checkpoints=kept)
    assert "shape" not in stages
    np.testing.assert_array_equal(resumed.mesh.vertices, result.mesh.vertices)


def test_marching_tetrahedra_do_as_well(capture: Capture):
    recipe = dataclasses.replace(_SMALL, shape=dataclasses.replace(_SMALL.shape, isosurface="dmtet"))
    radius = np.linalg.norm(_run(capture, recipe).mesh.vertices, axis=1)
    assert np.quantile(np.abs(radius - 1.0), 0.95) < 0.05


def test_a_view_with_a_wrong_pose_is_moved_back():
    capture = painted_ball(views=16)
    wrong = np.array(capture.views[3].camera.world_from_camera)
    wrong[:3, 3] += 0.03 * wrong[:3, 0]
    camera = dataclasses.replace(capture.views[3].camera, world_from_camera=wrong)
    views = list(capture.views)
    views[3] = dataclasses.replace(views[3], camera=camera)
    recipe = dataclasses.replace(
        _SMALL, refine_cameras=True, refine=dataclasses.replace(_SMALL.refine, steps=150)
    )
    refined = _run(dataclasses.replace(capture, views=tuple(views)), recipe).cameras[views[3].name]
    true = capture.views[3].camera
    # 150 small steps go a quarter of the way (measured 0.73).
    assert _mean_shift_px(refined, true) < 0.8 * _mean_shift_px(camera, true)


def _mean_shift_px(camera: Camera, other: Camera) -> float:
    """How far apart two cameras see points of the ball. (A small turn and a small shift look alike.)"""
    points = np.random.default_rng(0).standard_normal((50, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    pixels = []
    for one in (camera, other):
        in_camera = (
            np.linalg.inv(one.world_from_camera) @ np.concatenate([points, np.ones((50, 1))], axis=1).T
        )
        homogeneous = one.intrinsics @ in_camera[:3]
        pixels.append(homogeneous[:2] / homogeneous[2])
    return float(np.linalg.norm(pixels[0] - pixels[1], axis=0).mean())


def test_masks_that_contradict_each_other_are_an_error_that_says_so(capture: Capture):
    views = list(capture.views)
    elsewhere = np.zeros((96, 96), np.uint8)
    elsewhere[4:10, 4:10] = 255
    views[0] = dataclasses.replace(views[0], mask=elsewhere)
    with pytest.raises(EmptyForeground, match="mask"):
        _run(dataclasses.replace(capture, views=tuple(views)))


def test_a_view_without_a_mask_is_named(capture: Capture):
    views = (*capture.views[:-1], dataclasses.replace(capture.views[-1], mask=None))
    with pytest.raises(BadMasks, match=capture.views[-1].name):
        _run(dataclasses.replace(capture, views=views))


def test_a_nan_names_stage_step_and_tensor():
    with pytest.raises(OptimisationDiverged, match=r"shape, step 7.*'vertices'"):
        ensure_finite("shape", 7, loss=torch.zeros(()), vertices=torch.tensor([1.0, float("nan")]))


def test_the_memory_estimate_grows_with_the_photos(capture: Capture):
    engine = NvdiffrecEngine()
    larger = painted_ball(views=12, edge_px=192)
    recipe = recipe_for("standard")
    assert engine.memory_bytes(larger, recipe) > engine.memory_bytes(capture, recipe) > 5e8
