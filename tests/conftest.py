"""For all tests: one thread for torch, fixed seeds, functions that check the shapes in their signatures."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

from helpers.gltf import validate_glb

torch.set_num_threads(1)  # its threads spin while the renderer's own work

# Modules without compiled kernels (numba can't compile a checked function) and with plain shape letters.
CHECKED = [
    "objectscan.archive",
    "objectscan.capture.camera_checks",
    "objectscan.capture.holdout",
    "objectscan.capture.inspect",
    "objectscan.capture.orientation",
    "objectscan.engines.reconviagen.dual_contouring",
    "objectscan.engines.reconviagen.gaussians",
    "objectscan.engines.reconviagen.hammersley",
    "objectscan.engines.reconviagen.networks",
    "objectscan.engines.reconviagen.preparation",
    "objectscan.engines.reconviagen.refinement_losses",
    "objectscan.engines.reconviagen.sampler",
    "objectscan.engines.reconviagen.stages",
    "objectscan.engines.reconviagen.surface",
    "objectscan.mesh.metrics",
    "objectscan.mesh.quality",
    "objectscan.mesh.strips",
    "objectscan.mesh.visibility",
    "objectscan.render.antialias",
    "objectscan.render.camera",
    "objectscan.render.colour",
    "objectscan.render.normals",
    "objectscan.render.rasterize",
    "objectscan.render.shading",
]
install_import_hook(CHECKED, "beartype.beartype")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - for libraries that use the global generator
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _delivered_models_are_valid(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every model.glb that a test leaves in its folder passes Khronos' validator without a word."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    models = sorted(folder.rglob("model.glb")) if folder is not None else []
    for model in models:
        if model.stat().st_size > 1000:  # some tests put a few bytes in a model's place
            validate_glb(model)
