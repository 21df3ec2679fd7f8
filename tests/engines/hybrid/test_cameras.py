"""Wrong cameras find their way back to the photos that they took."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tests.engines.hybrid.objects import capture_of_the_object, object_standing_at

from objectscan.engines.hybrid.cameras import CameraFit, estimate_cameras, in_frame_of_surface
from objectscan.errors import BadMasks
from objectscan.types import View, ignore_progress


def disturbed(views: tuple[View, ...], *, turn_deg: float, shift: float, zoom: float) -> tuple[View, ...]:
    """Each camera turned about the object, moved and zoomed, all at random but the same each time."""
    rng = np.random.default_rng(3)
    wrong = []
    for view in views:
        axis = rng.normal(size=3)
        turn, away = np.eye(4), np.eye(4)
        turn[:3, :3] = Rotation.from_rotvec(np.radians(turn_deg) * axis / np.linalg.norm(axis)).as_matrix()
        away[:3, 3] = shift * rng.normal(size=3)
        lens = view.camera.intrinsics @ np.diag([1 + zoom * rng.normal()] * 2 + [1.0])
        camera = replace(
            view.camera, intrinsics=lens, world_from_camera=turn @ view.camera.world_from_camera @ away
        )
        wrong.append(replace(view, camera=camera))
    return tuple(wrong)


def errors_deg(views: tuple[View, ...], fit: CameraFit) -> np.ndarray:
    """Angle between each camera's true place and the found one, seen from the object."""
    found = []
    for view in views:
        true, ours = (c.world_from_camera[:3, 3] for c in (view.camera, fit.cameras[view.name]))
        cosine = true @ ours / np.linalg.norm(true) / np.linalg.norm(ours)
        found.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return np.array(found)


def guesses_of(views: tuple[View, ...]) -> CameraFit:
    return CameraFit({view.name: view.camera for view in views}, {})


@pytest.fixture(scope="module")
def views() -> tuple[View, ...]:
    return capture_of_the_object().views[::2]


def test_disturbed_cameras_find_back_by_outline_and_colour(views: tuple[View, ...]):
    fractions: list[float] = []
    guesses = disturbed(views, turn_deg=10.0, shift=0.3, zoom=0.03)
    fit = estimate_cameras(
        object_standing_at(np.eye(4)), guesses, lambda progress: fractions.append(progress.fraction)
    )
    assert list(fit.cameras) == [view.name for view in views]
    assert min(fit.overlaps.values()) > 0.95
    assert errors_deg(views, guesses_of(guesses)).max() > 8.0 and errors_deg(views, fit).max() < 1.5
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_exact_cameras_stay_where_they_are(views: tuple[View, ...]):
    fit = estimate_cameras(object_standing_at(np.eye(4)), views, ignore_progress)
    assert errors_deg(views, fit).max() < 0.5 and min(fit.overlaps.values()) > 0.98


def test_a_guess_far_out_of_the_picture_is_laid_over_the_mask_first(views: tuple[View, ...]):
    fit = estimate_cameras(
        object_standing_at(np.eye(4)),
        disturbed(views[:2], turn_deg=3.0, shift=2.5, zoom=0.0),
        ignore_progress,
    )
    assert min(fit.overlaps.values()) > 0.95


def test_another_object_has_a_low_overlap(views: tuple[View, ...]):
    thin = object_standing_at(np.diag([0.15, 0.15, 1.0, 1.0]))
    assert max(estimate_cameras(thin, views[:2], ignore_progress).overlaps.values()) < 0.8


def test_a_view_without_a_mask_is_named(views: tuple[View, ...]):
    with pytest.raises(BadMasks, match=views[0].name):
        estimate_cameras(object_standing_at(np.eye(4)), [replace(views[0], mask=None)], ignore_progress)


def test_cameras_move_into_the_frame_of_a_registered_surface(views: tuple[View, ...]):
    world_from_surface = np.eye(4)
    world_from_surface[:3, :3] = 0.4 * Rotation.from_euler("z", 70, degrees=True).as_matrix()
    world_from_surface[:3, 3] = (1.0, 2.0, -0.5)
    point = np.array([0.3, -0.2, 0.1, 1.0])
    (moved,) = in_frame_of_surface(views[:1], world_from_surface)

    def seen(view: View, at: np.ndarray) -> np.ndarray:
        ray = view.camera.intrinsics @ (np.linalg.inv(view.camera.world_from_camera) @ at)[:3]
        return ray[:2] / ray[2]

    assert seen(moved, point) == pytest.approx(seen(views[0], world_from_surface @ point))
    turn = moved.camera.world_from_camera[:3, :3]
    assert np.allclose(turn @ turn.T, np.eye(3))
