"""The hybrid engine: a generated object is laid over the photos and refined where they show it."""

import dataclasses

import numpy as np
import pytest
from tests.engines.hybrid.objects import capture_of_the_object, object_standing_at
from tests.engines.nvdiffrec.test_engine import Kept

from objectscan.engines.base import engine_named
from objectscan.engines.hybrid.engine import HybridEngine
from objectscan.errors import BadCameras, Cancelled
from objectscan.recipes import recipe_for
from objectscan.types import NoCheckpoints, PassReport, Progress, ignore_progress

_SMALL = recipe_for(
    "preview",
    {
        "engine": "hybrid", "shape.resolutions": [24], "shape.image_edges_px": [96], "shape.steps": [60],
        "shape.views_per_step": 3, "refine.image_edge_px": 96, "refine.steps": 10, "budget.faces": 3000,
        "budget.texture_size_px": 256,
    },
)  # fmt: skip


class Generator:
    """Gives the object too thick by a tenth, turned and elsewhere; counts how often it is asked."""

    name = "fake"
    stages = (("dream", 1.0),)

    def __init__(self):
        self.asked = 0

    def memory_bytes(self, capture, recipe):
        return 1

    def prepare(self, device, settings):
        pass

    def reconstruct(self, capture, recipe, *, seed, report, checkpoints):
        self.asked += 1
        report(Progress("dream", 1.0))
        matrix = np.diag([1.0, 1.0, 1.0, 1.0])
        matrix[:3, :3] = [[0, -1.1, 0], [1.1, 0, 0], [0, 0, 1]]
        made = object_standing_at(matrix)
        return dataclasses.replace(made, passes=(PassReport("dream", 1, 0.1),))


def _run(capture, checkpoints=None, report=ignore_progress):
    engine = HybridEngine(Generator())
    return engine.reconstruct(
        capture, _SMALL, seed=0, report=report, checkpoints=checkpoints or NoCheckpoints()
    )


@pytest.fixture(scope="module")
def seen_from_one_side():
    return capture_of_the_object(azimuths=(-0.9, 0.9))


@pytest.fixture(scope="module")
def result(seen_from_one_side):
    return _run(seen_from_one_side)


def test_the_result_lies_over_the_photos_and_fits_them(result):
    x, y, _ = result.mesh.vertices.T
    front = result.mesh.vertices[(x > 0.2) & (np.abs(y) > 0.6)]
    assert result.is_registered
    assert np.median(np.abs(np.linalg.norm(front, axis=1) - 1.0)) < 0.04


def test_what_was_imagined_is_told_by_face_and_in_words(result):
    centre = result.mesh.vertices[result.mesh.faces[result.invented_faces]].mean(axis=1)
    assert 0.1 < len(result.invented_faces) / len(result.mesh.faces) < 0.6
    assert np.median(centre[:, 0]) < 0
    assert "partly_generated" in {finding.code for finding in result.findings}
    assert [report.name for report in result.passes] == ["dream", "register", "shape", "refine"]


def test_a_killed_run_does_not_register_again(seen_from_one_side):
    kept, stages = Kept(), []

    def until_shape(progress):
        if progress.stage == "shape":
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        _run(seen_from_one_side, kept, until_shape)
    assert "register" in kept.arrays
    _run(seen_from_one_side, kept, lambda progress: stages.append(progress.stage))
    assert "register" not in stages and "refine" in stages


def test_without_cameras_it_says_what_to_do(seen_from_one_side):
    unknown = seen_from_one_side.__class__(seen_from_one_side.views, np.eye(4), cameras_known=False)
    with pytest.raises(BadCameras, match="hybrid"):
        _run(unknown)


def test_it_is_an_engine_whose_shares_sum_to_one_or_less():
    engine = engine_named("hybrid")
    shares = [share for _, share in engine.stages]
    assert engine.name == "hybrid" and 0.85 < sum(shares) <= 1.001
    assert len({name for name, _ in engine.stages}) == len(shares)
