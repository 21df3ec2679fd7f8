"""A surface that stands somewhere else finds its place among the photos."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tests.engines.hybrid.objects import capture_of_the_object, object_standing_at

from objectscan.engines.hybrid.registration import moved, register
from objectscan.errors import NotRegistered
from objectscan.types import ignore_progress


def _similarity(yaw_deg: float, scale: float, shift: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_euler("z", yaw_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


@pytest.mark.parametrize("yaw_deg", [10.0, 100.0, 200.0, 290.0])
def test_turn_size_and_place_are_found(yaw_deg: float):
    elsewhere = _similarity(yaw_deg, 2.3, (1.0, -3.0, 0.7))
    found = register(object_standing_at(elsewhere), capture_of_the_object(), ignore_progress)
    both = found.world_from_surface @ elsewhere
    assert found.overlap > 0.95
    assert np.abs(both - np.eye(4)).max() < 0.06


def test_a_round_object_is_turned_by_its_colours():
    elsewhere = _similarity(150.0, 1.0, (0, 0, 0))
    surface, capture = object_standing_at(elsewhere, nose=0.0), capture_of_the_object(nose=0.0)
    found = register(surface, capture, ignore_progress)
    turned = found.world_from_surface @ elsewhere
    assert np.degrees(np.arccos(np.clip(turned[0, 0] / np.cbrt(np.linalg.det(turned[:3, :3])), -1, 1))) < 8


def test_the_surface_is_moved_and_counts_as_registered():
    elsewhere = _similarity(30.0, 0.5, (2.0, 0, 0))
    surface = object_standing_at(elsewhere)
    back = moved(surface, np.linalg.inv(elsewhere))
    assert back.is_registered and np.ptp(back.mesh.vertices[:, 2]) == pytest.approx(2.0, abs=0.01)


def test_something_else_is_refused_with_the_overlap():
    surface = object_standing_at(np.diag([0.1, 0.1, 1.0, 1.0]))
    with pytest.raises(NotRegistered, match=r"by 0\.\d\d at best") as refused:
        register(surface, capture_of_the_object(), ignore_progress)
    assert 0 < refused.value.details["overlap"] < 0.8
