"""The engine's inner loops on the GPU against its numba kernels, and a small object from its photos."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.engines.nvdiffrec.captures import painted_ball

from helpers.cuda import engine
from helpers.cuda.comparison import distance
from objectscan.engines.nvdiffrec.engine import NvdiffrecEngine
from objectscan.mesh.topology import topology_facts, weld_by_position
from objectscan.recipes import recipe_for
from objectscan.settings import DEFAULT_SETTINGS
from objectscan.types import NoCheckpoints, ignore_progress


@pytest.mark.parametrize(
    "work", [engine.field_read, engine.field_steps, engine.atlas_steps, engine.row_gradients, engine.bend]
)
def test_values_and_gradients_are_those_of_the_cpu(work):
    for one, other in zip(work("cuda"), work(), strict=True):
        assert distance(other, one.cpu()) < 1e-5


def test_surfaces_are_those_of_the_cpu_down_to_each_crossing():
    ours, theirs = engine.surface("cuda"), engine.surface()
    for name, tensor in theirs.items():
        if tensor.dtype.is_floating_point:
            assert distance(tensor, ours[name].cpu()) < 2e-5, name
        else:
            assert torch.equal(ours[name].cpu().long(), tensor.long()), name


def test_vertices_move_as_on_the_cpu_within_the_smoothers_error():
    (ours,), (theirs,) = engine.descent("cuda"), engine.descent()
    assert distance(theirs, ours.cpu()) < 0.01


@pytest.mark.parametrize("isosurface", ["flexicubes", "dmtet"])
def test_a_ball_comes_out_round_closed_and_within_budget(isosurface):
    recipe = recipe_for(
        "preview",
        {
            "stereo.enabled": False, "shape.resolutions": [20, 28], "shape.image_edges_px": [48, 96],
            "shape.steps": [30, 30], "shape.views_per_step": 3, "refine.image_edge_px": 96,
            "refine.steps": 20, "budget.faces": 2000, "budget.texture_size_px": 256,
            "shape.isosurface": isosurface,
        },
    )  # fmt: skip
    ours = NvdiffrecEngine()
    ours.prepare("cuda", DEFAULT_SETTINGS)
    result = ours.reconstruct(
        painted_ball(), recipe, seed=0, report=ignore_progress, checkpoints=NoCheckpoints()
    )
    radius = np.linalg.norm(result.mesh.vertices, axis=1)
    assert abs(np.median(radius) - 1.0) < 0.01
    assert topology_facts(weld_by_position(result.mesh)).is_watertight
    assert np.isfinite(result.material.base_color_srgb).all()
