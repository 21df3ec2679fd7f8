"""Patch match as the GPU does it, built for the CPU, against the CPU's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.engines.nvdiffrec.captures import painted_ball

from objectscan.engines.nvdiffrec import stereo
from objectscan.engines.nvdiffrec.cuda.stereo import match_views
from objectscan.engines.nvdiffrec.hull import carve, object_bounds
from objectscan.engines.nvdiffrec.photos import photo_level
from objectscan.engines.nvdiffrec.silhouettes import silhouettes
from objectscan.engines.nvdiffrec.stereo_pictures import SearchLimits
from objectscan.types import ignore_progress

_CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scene():
    """Views of a ball with a dent, the search for it, and what the CPU finds."""
    capture = painted_ball(views=12, dent=0.4)
    outlines = silhouettes(capture.views)
    centres = np.stack([view.camera.world_from_camera[:3, 3] for view in capture.views])
    box = object_bounds(outlines, centres, None)
    hull = carve(outlines, box, float((box[1] - box[0]).max()) / 32)
    level = photo_level(capture.views, 40)
    pictures = stereo._pictures(level, *stereo._straight(level), hull, 3)
    limits = SearchLimits(0.35 * hull.spacing * max(hull.values.shape), 0.02, 4)
    return pictures, limits, stereo._match_all(pictures, limits, ignore_progress, 0)


def test_it_matches_as_well_as_the_cpu_and_at_the_same_depths(scene, emulator):
    pictures, limits, (depths, costs) = scene
    ours, our_costs = match_views(pictures, limits, seed=0, device=_CPU)
    found = (pictures.start_depth > 0) & (costs < 0.2)
    assert found.sum() > 500
    assert our_costs[found].mean() < 1.15 * costs[found].mean()
    assert np.median(np.abs(ours - depths)[found]) < 0.02 * limits.deepest


def test_planes_stay_between_the_start_and_the_deepest_and_off_the_background(scene, emulator):
    pictures, limits, _ = scene
    depths, costs = match_views(pictures, limits, seed=3, device=_CPU)
    seen = pictures.start_depth > 0
    behind = (depths - pictures.start_depth)[seen]
    assert behind.min() > -0.011 * pictures.start_depth.max() and behind.max() < 1.001 * limits.deepest
    assert (costs[~seen] == 2.0).all() and not depths[~seen].any()


def test_a_seed_gives_the_same_planes_and_another_one_others(scene, emulator):
    pictures, limits, _ = scene
    first, again, other = (match_views(pictures, limits, seed=seed, device=_CPU)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
