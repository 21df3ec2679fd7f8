from __future__ import annotations

import numpy as np
import pytest
from scenes import RADIUS, ball_scene, iou

from objectscan.capture.segment.consensus import consensus
from objectscan.capture.segment.hull import reduced_mask
from objectscan.capture.segment.scene import scene_of


def agreed(scene, edit=None, count=None):
    masks = {name: mask.copy() for name, mask in scene.truth.items()}
    if edit is not None:
        edit(masks)
    found = consensus(
        {name: reduced_mask(mask) for name, mask in masks.items()}, scene_of(scene.photos, scene.solved)
    )
    return found, masks


def test_the_hull_of_exact_masks_is_the_ball(tmp_path):
    scene = ball_scene(tmp_path, 12)
    found, _ = agreed(scene)
    assert np.allclose(found.bounds[:, :2], [[-RADIUS] * 2, [RADIUS] * 2], atol=0.06)
    for name, mask in scene.truth.items():
        assert iou(found.outline(name), mask) > 0.93


def test_a_distorted_lens_gives_the_same_hull(tmp_path):
    # The masks are those of a straight lens, so that they no longer fit: the hull must notice.
    straight, _ = agreed(ball_scene(tmp_path / "a", 12))
    bent, _ = agreed(ball_scene(tmp_path / "b", 12, distortion=(0.8, 0.0, 0.0, 0.0)))
    assert np.ptp(bent.bounds[:, 0]) < np.ptp(straight.bounds[:, 0])


def test_what_one_mask_adds_far_from_the_object_is_taken_away(tmp_path):
    scene = ball_scene(tmp_path, 12)
    found, masks = agreed(scene, lambda masks: masks["photo3.jpg"].__setitem__(np.s_[:40, :40], 255))
    held = found.held(masks["photo3.jpg"], "photo3.jpg")
    assert not held[:40, :40].any()
    assert iou(held, scene.truth["photo3.jpg"]) > 0.97


def test_what_one_mask_doubts_and_all_others_show_is_filled(tmp_path):
    scene = ball_scene(tmp_path, 12)
    found, masks = agreed(scene, lambda masks: masks["photo3.jpg"].__setitem__(np.s_[55:65, 70:90], 60))
    held = found.held(masks["photo3.jpg"], "photo3.jpg")
    assert (held[55:65, 70:90] == 255).all()


def test_a_hole_that_the_network_is_sure_of_stays(tmp_path):
    scene = ball_scene(tmp_path, 12)
    found, masks = agreed(scene, lambda masks: masks["photo3.jpg"].__setitem__(np.s_[55:65, 70:90], 0))
    held = found.held(masks["photo3.jpg"], "photo3.jpg")
    assert not held[55:65, 70:90].any()


def test_a_mask_that_contradicts_the_others_loses_its_vote(tmp_path):
    scene = ball_scene(tmp_path, 8)

    def spoil(masks):
        masks["photo5.jpg"][:] = 0
        masks["photo5.jpg"][:30, 100:140] = 255

    found, _ = agreed(scene, spoil)
    assert "photo5.jpg" not in found.voters and len(found.voters) == 7
    assert found.agreement["photo5.jpg"] < 0.1
    assert all(value > 0.9 for name, value in found.agreement.items() if name != "photo5.jpg")
    # Seven photos of which one may be outvoted: a fat hull, but no longer a hull with a bite.
    assert iou(found.outline("photo5.jpg"), scene.truth["photo5.jpg"]) > 0.75


def test_nothing_below_the_support_plane_is_object(tmp_path):
    scene = ball_scene(tmp_path, 8)
    found, _ = agreed(scene, lambda masks: [mask.__setitem__(np.s_[60:], 255) for mask in masks.values()])
    assert found.bounds[0, 2] > -RADIUS - 0.03


def test_masks_without_a_common_volume_have_no_hull(tmp_path):
    scene = ball_scene(tmp_path, 8)

    def scatter(masks):
        for index, mask in enumerate(masks.values()):
            mask[:] = 0
            mask[5 + 12 * index : 15 + 12 * index, :8] = 255

    found, _ = agreed(scene, scatter)
    assert found is None


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_cameras_can_not_be_compared(tmp_path, count):
    scene = ball_scene(tmp_path, count)
    assert scene_of(scene.photos, scene.solved) is None
    assert scene_of(scene.photos, None) is None
