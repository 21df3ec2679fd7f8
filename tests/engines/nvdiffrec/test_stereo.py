import dataclasses

import numpy as np
from tests.engines.nvdiffrec.captures import painted_ball

from objectscan.engines.nvdiffrec.hull import carve, object_bounds
from objectscan.engines.nvdiffrec.silhouettes import silhouettes
from objectscan.engines.nvdiffrec.stereo import carved, stereo_field
from objectscan.recipes import StereoOptions
from objectscan.types import Capture, ignore_progress

_OPTIONS = StereoOptions(image_edge_px=96, neighbours=3)


def _hull(capture: Capture):
    centres = np.stack([view.camera.world_from_camera[:3, 3] for view in capture.views])
    outlines = silhouettes(capture.views)
    box = object_bounds(outlines, centres, None)
    return carve(outlines, box, float((box[1] - box[0]).max()) / 32)


def _field_at(hull, point: tuple[float, float, float]) -> float:
    index = np.rint((np.array(point) - hull.origin) / hull.spacing).astype(int)
    return float(hull.values[tuple(index)])


def test_stereo_carves_a_dent_that_silhouettes_cannot_show():
    capture = painted_ball(views=24, dent=0.4)
    hull = _hull(capture)
    found = stereo_field(capture.views, hull, _OPTIONS, ignore_progress, seed=0)
    assert found is not None
    in_the_dent = (0.77, 0.0, 0.0)  # between its bottom at 0.6 and its rim at 0.85
    assert _field_at(hull, in_the_dent) < 0
    assert _field_at(carved(hull, found), in_the_dent) > 0
    assert _field_at(carved(hull, found), (0.0, 0.0, 0.0)) < 0


def test_an_object_whose_colours_change_with_the_view_is_left_alone():
    capture = painted_ball(views=24)
    tints = np.random.default_rng(0).uniform(0.5, 1.0, (24, 3))
    views = [
        dataclasses.replace(view, image_srgb=(view.image_srgb * tint).astype(np.uint8))
        for view, tint in zip(capture.views, tints, strict=True)
    ]
    assert stereo_field(views, _hull(capture), _OPTIONS, ignore_progress, seed=0) is None


def test_carving_only_takes_away():
    capture = painted_ball(views=24)
    hull = _hull(capture)
    found = stereo_field(capture.views, hull, _OPTIONS, ignore_progress, seed=0)
    assert found is not None
    assert (carved(hull, found).values >= hull.values).all()
