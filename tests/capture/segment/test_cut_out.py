from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scenes import RADIUS, SIZE, RedIsObject, ball_scene, iou, repaint

from objectscan.capture.masks import find_mask_file
from objectscan.capture.photoset import PhotoSet
from objectscan.capture.segment import MaskSet, cut_out, load_segmenter
from objectscan.capture.segment.overview import overview
from objectscan.errors import BadMasks, BadWorkspace, Cancelled, InputError, MasksNotFound, UnreadableImage


def masks_of(found: MaskSet) -> dict[str, np.ndarray]:
    return {name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for name, path in found.paths.items()}


def with_mask(photos: PhotoSet, index: int, mask: np.ndarray, folder) -> PhotoSet:
    path = folder / f"own{index}.png"
    cv2.imwrite(str(path), mask)
    changed = list(photos.photos)
    changed[index] = replace(changed[index], mask_path=path)
    return replace(photos, photos=tuple(changed))


def test_the_bundled_network_cuts_the_ball_out_of_each_photo(tmp_path):
    scene = ball_scene(tmp_path / "photos", 6)
    found = cut_out(scene.photos, scene.solved, tmp_path / "work", model=load_segmenter())
    for name, mask in masks_of(found).items():
        assert mask.dtype == np.uint8 and mask.shape == (SIZE[1], SIZE[0])
        assert iou(mask, scene.truth[name]) > 0.95
    assert set(found.paths) == set(scene.truth)
    assert set(found.sources.values()) == {"network"}
    assert min(found.confidence.values()) > 0.8
    assert np.allclose(found.bounds[:, :2], [[-RADIUS] * 2, [RADIUS] * 2], atol=0.1)
    assert found.findings == ()


def test_masks_lie_where_readers_look_for_them_and_their_edges_are_soft(tmp_path):
    scene = ball_scene(tmp_path / "work" / "photos")
    found = cut_out(scene.photos, scene.solved, tmp_path / "work", model=RedIsObject())
    for photo in scene.photos.photos:
        assert find_mask_file(photo.path) == found.paths[photo.name]
    values = np.unique(np.stack(list(masks_of(found).values())))
    assert len(values) > 20


def test_the_network_sees_crops_where_the_points_are(tmp_path):
    scene, model = ball_scene(tmp_path / "photos"), RedIsObject()
    cut_out(scene.photos, scene.solved, tmp_path / "work", model=model)
    assert len(model.sizes) == 16  # two looks each
    assert max(width * height for width, height in model.sizes) < SIZE[0] * SIZE[1]


def test_without_cameras_the_object_is_found_in_two_passes_and_that_is_told(tmp_path):
    scene = ball_scene(tmp_path / "photos")
    found = cut_out(scene.photos, None, tmp_path / "work", model=RedIsObject())
    assert all(iou(mask, scene.truth[name]) > 0.9 for name, mask in masks_of(found).items())
    assert [finding.code for finding in found.findings] == ["masks_unchecked"]
    assert found.bounds is None


def test_without_cameras_a_photo_whose_object_seems_elsewhere_is_looked_at_again(tmp_path):
    class Distracted(RedIsObject):
        """Takes a blue thing for the object in whole photos of it."""

        def foreground(self, image_srgb):
            values = image_srgb.astype(np.int16)
            if image_srgb.shape[:2] == (SIZE[1], SIZE[0]):
                blueness = values[..., 2] - np.maximum(values[..., 0], values[..., 1])
                if (blueness > 60).sum() > 50:
                    return np.clip(blueness * 2, 0, 255).astype(np.uint8)
            return super().foreground(image_srgb)

    scene = ball_scene(tmp_path / "photos")
    repaint(scene.photos.photos[2], (5, 5, 30, 25), (20, 30, 250))
    found = cut_out(scene.photos, None, tmp_path / "work", model=Distracted())
    assert iou(masks_of(found)["photo2.jpg"], scene.truth["photo2.jpg"]) > 0.9


def test_something_red_beside_the_object_is_removed_by_the_other_photos(tmp_path):
    scene = ball_scene(tmp_path / "photos")
    rows, columns = np.nonzero(scene.truth["photo4.jpg"])
    right, middle = int(columns.max()), int(rows.mean())
    repaint(scene.photos.photos[4], (right - 2, middle - 6, right + 14, middle + 6), (230, 30, 20))
    found = cut_out(scene.photos, scene.solved, tmp_path / "work", model=RedIsObject())
    assert iou(masks_of(found)["photo4.jpg"], scene.truth["photo4.jpg"]) > 0.93
    assert found.sources["photo4.jpg"] == "network"


def test_a_photo_in_which_nothing_is_found_gets_the_outline_of_the_others_and_says_so(tmp_path):
    scene = ball_scene(tmp_path / "photos")
    repaint(scene.photos.photos[4], (0, 0, *SIZE), (90, 90, 90))
    found = cut_out(scene.photos, scene.solved, tmp_path / "work", model=RedIsObject())
    assert found.sources["photo4.jpg"] == "hull"
    assert iou(masks_of(found)["photo4.jpg"], scene.truth["photo4.jpg"]) > 0.75
    assert found.confidence["photo4.jpg"] < min(
        value for name, value in found.confidence.items() if name != "photo4.jpg"
    )
    (finding,) = found.findings
    assert (finding.code, finding.photos) == ("mask_replaced", ("photo4.jpg",))
    assert "no object that stands out" in finding.message


def test_without_cameras_such_a_photo_goes_on_without_a_mask(tmp_path):
    scene = ball_scene(tmp_path / "photos")
    repaint(scene.photos.photos[4], (0, 0, *SIZE), (90, 90, 90))
    found = cut_out(scene.photos, None, tmp_path / "work", model=RedIsObject())
    assert "photo4.jpg" not in found.paths and found.confidence["photo4.jpg"] == 0.0
    assert ("mask_failed", ("photo4.jpg",)) in [(f.code, f.photos) for f in found.findings]


@pytest.mark.parametrize(("colour", "words"), [((90, 90, 90), "no object"), ((230, 30, 20), "no background")])
def test_too_many_failures_are_an_error_that_names_photos_and_says_how_to_photograph(tmp_path, colour, words):
    scene = ball_scene(tmp_path / "photos")
    for photo in scene.photos.photos[:5]:
        repaint(photo, (0, 0, *SIZE), colour)
    with pytest.raises(MasksNotFound, match=words) as caught:
        cut_out(scene.photos, None, tmp_path / "work", model=RedIsObject())
    assert caught.value.details["photos"] == [f"photo{i}.jpg" for i in range(5)]
    assert "photo0.jpg" in caught.value.message and "plain surface" in caught.value.hint


def test_the_users_own_mask_is_taken_as_it_is(tmp_path):
    scene = ball_scene(tmp_path / "photos")
    own = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    own[40:80, 50:100] = 200
    photos = with_mask(scene.photos, 1, own, tmp_path)
    model = RedIsObject()
    found = cut_out(photos, scene.solved, tmp_path / "work", model=model)
    assert np.array_equal(masks_of(found)["photo1.jpg"], own)
    assert (found.sources["photo1.jpg"], found.confidence["photo1.jpg"]) == ("user", 1.0)
    assert len(model.sizes) == 14


@pytest.mark.parametrize(("value", "words"), [(0, "is empty"), (255, "is white everywhere")])
def test_an_empty_or_full_mask_of_the_user_is_an_error_that_names_the_photo(tmp_path, value, words):
    scene = ball_scene(tmp_path / "photos", 3)
    photos = with_mask(scene.photos, 1, np.full((SIZE[1], SIZE[0]), value, np.uint8), tmp_path)
    with pytest.raises(BadMasks, match=rf"photo1\.jpg {words}"):
        cut_out(photos, scene.solved, tmp_path / "work", model=RedIsObject())


def test_a_mask_of_another_size_is_an_error(tmp_path):
    scene = ball_scene(tmp_path / "photos", 3)
    photos = with_mask(scene.photos, 1, np.full((10, 10), 255, np.uint8), tmp_path)
    with pytest.raises(UnreadableImage, match=r"photo1\.jpg"):
        cut_out(photos, scene.solved, tmp_path / "work", model=RedIsObject())


def test_on_request_no_masks_are_made_and_the_users_are_kept(tmp_path):
    scene = ball_scene(tmp_path / "photos", 4)
    photos = with_mask(scene.photos, 1, scene.truth["photo1.jpg"], tmp_path)
    model = RedIsObject()
    found = cut_out(photos, scene.solved, tmp_path / "work", model=model, no_mask=True)
    assert list(found.paths) == ["photo1.jpg"] and model.sizes == []
    assert [finding.code for finding in found.findings] == ["masks_skipped"]
    assert "3 photos" in found.findings[0].message


def test_the_experts_box_is_where_the_network_looks_first(tmp_path):
    scene, model = ball_scene(tmp_path / "photos", 3), RedIsObject()
    found = cut_out(scene.photos, None, tmp_path / "work", model=model, box=(0.25, 0.1, 0.75, 0.9))
    assert model.sizes[:3] == [(80, 96)] * 3
    assert all(iou(mask, scene.truth[name]) > 0.9 for name, mask in masks_of(found).items())
    with pytest.raises(InputError, match="is not left,top,right,bottom"):
        cut_out(scene.photos, None, tmp_path / "work", model=model, box=(0.5, 0, 0.2, 1))


def test_photos_without_a_camera_are_left_out(tmp_path):
    scene = ball_scene(tmp_path / "photos", 6)
    poses = {name: pose for name, pose in scene.solved.world_from_camera.items() if name != "photo2.jpg"}
    solved = replace(scene.solved, world_from_camera=poses)
    found = cut_out(scene.photos, solved, tmp_path / "work", model=RedIsObject())
    assert set(found.confidence) == set(poses)


def test_progress_rises_to_one_and_a_report_that_raises_stops_the_work(tmp_path):
    scene, told = ball_scene(tmp_path / "photos", 4), []
    cut_out(scene.photos, scene.solved, tmp_path / "work", model=RedIsObject(), report=told.append)
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert {photo.name for photo in scene.photos.photos} <= {progress.message for progress in told}

    def stop(progress):
        raise Cancelled("Stopped on request.")

    with pytest.raises(Cancelled):
        cut_out(scene.photos, None, tmp_path / "other", model=RedIsObject(), report=stop)
    assert not (tmp_path / "other").exists()


def test_a_work_folder_that_can_not_be_written_is_an_error(tmp_path):
    scene = ball_scene(tmp_path / "photos", 3)
    (tmp_path / "work").write_text("a file")
    with pytest.raises(BadWorkspace, match="can't be written"):
        cut_out(scene.photos, None, tmp_path / "work", model=RedIsObject())


def test_the_overview_darkens_the_background_and_outlines_the_object(tmp_path):
    scene = ball_scene(tmp_path / "photos", 3)
    found = cut_out(scene.photos, None, tmp_path / "work", model=RedIsObject())
    picture = overview(scene.photos, found)
    assert picture.shape == (240, 6 * 240, 3)
    assert (picture == [255, 210, 0]).all(axis=-1).any()
    ball, wall = picture[90, 120], picture[10, 10]
    assert ball[0] > 150 and wall.max() < 60
