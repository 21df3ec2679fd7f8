"""transforms.json in all its variants, and what is refused with the file and the frame named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from capture_samples import FOCAL_PX, SIZE, ball, png, ring, transforms, write_capture

from objectscan.capture.formats.transforms_json import read_transforms
from objectscan.capture.ingest import ingest, ingest_split
from objectscan.capture.limits import DEFAULT_LIMITS, ImageLimits
from objectscan.capture.orientation import Z_UP_TO_Y_UP
from objectscan.errors import BadCameras
from objectscan.types import Camera


def first_camera(folder: Path) -> Camera:
    return ingest(folder).views[0].camera


def test_opengl_poses_become_opencv_cameras_that_see_the_origin_in_the_middle(tmp_path: Path) -> None:
    capture = ingest(write_capture(tmp_path))
    for view, pose in zip(capture.views, ring(8), strict=True):
        assert np.allclose(view.camera.world_from_camera, pose, atol=1e-12)
        in_camera = np.linalg.inv(view.camera.world_from_camera) @ [0, 0, 0, 1]
        pixel = view.camera.intrinsics @ in_camera[:3]
        assert in_camera[2] > 0
        assert np.allclose(pixel[:2] / pixel[2], (SIZE[0] / 2, SIZE[1] / 2))
        above = view.camera.intrinsics @ (np.linalg.inv(view.camera.world_from_camera) @ [0, 0, 0.1, 1])[:3]
        assert above[1] / above[2] < SIZE[1] / 2 - 1  # World up (+z) is towards row 0.


def test_a_field_of_view_gives_the_focal_length(tmp_path: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        del values["fl_x"], values["fl_y"]
        values["camera_angle_x"] = 0.8

    focal = SIZE[0] / 2 / np.tan(0.4)
    expected = [[focal, 0, SIZE[0] / 2], [0, focal, SIZE[1] / 2], [0, 0, 1]]
    assert np.allclose(first_camera(write_capture(tmp_path, edit=edit)).intrinsics, expected)


def test_own_intrinsics_of_a_frame_come_before_those_of_the_file(tmp_path: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        values["frames"][0].update(fl_x=150.0, fl_y=140.0, cx=40.0, cy=30.0)

    capture = ingest(write_capture(tmp_path, edit=edit))
    assert np.allclose(capture.views[0].camera.intrinsics, [[150, 0, 40], [0, 140, 30], [0, 0, 1]])
    assert capture.views[1].camera.intrinsics[0, 0] == FOCAL_PX


def test_intrinsics_for_a_larger_size_are_scaled_down(tmp_path: Path) -> None:
    top = {"w": 4 * SIZE[0], "h": 4 * SIZE[1], "fl_x": 400.0, "fl_y": 404.0, "cx": 200.0, "cy": 140.0}
    camera = first_camera(write_capture(tmp_path, **top))
    assert np.allclose(camera.intrinsics, [[100, 0, 50], [0, 101, 35], [0, 0, 1]])


@pytest.mark.parametrize("stated", ["images/00", "./images/00.png", "images\\00.png"])
def test_paths_may_lack_the_suffix_and_use_either_slash(tmp_path: Path, stated: str) -> None:
    folder = write_capture(tmp_path, edit=lambda values: values["frames"][0].update(file_path=stated))
    assert ingest(folder).views[0].name == "00.png"


def test_upper_case_suffixes_are_found(tmp_path: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        (tmp_path / "images" / "00.png").rename(tmp_path / "images" / "00.PNG")
        values["frames"][0]["file_path"] = "images/00"

    assert ingest(write_capture(tmp_path, edit=edit)).views[0].name == "00.PNG"


def test_a_stated_box_becomes_the_bounds_and_viewer_keys_change_nothing(tmp_path: Path) -> None:
    top = {"aabb": [[-1, -1, -1], [1, 1, 2]], "scale": 0.5, "offset": [0.5, 0.5, 0.5], "aabb_scale": 16}
    capture = ingest(write_capture(tmp_path, **top))
    assert capture.bounds is not None
    assert capture.bounds.tolist() == [[-1, -1, -1], [1, 1, 2]]
    assert np.allclose(capture.views[0].camera.world_from_camera, ring(8)[0])
    assert not capture.scale_known


def test_the_delivered_frame_takes_z_for_up(tmp_path: Path) -> None:
    capture = ingest(write_capture(tmp_path))
    assert np.array_equal(capture.delivered_from_world, Z_UP_TO_Y_UP)
    assert (capture.delivered_from_world @ [1, 2, 3, 1]).tolist() == [1, 3, -2, 1]


def test_a_world_with_another_up_is_turned_by_the_photos(tmp_path: Path) -> None:
    turn = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # z up -> y up

    def edit(values: dict[str, Any]) -> None:
        for frame in values["frames"]:
            frame["transform_matrix"] = (turn @ np.array(frame["transform_matrix"])).tolist()

    capture = ingest(write_capture(tmp_path, edit=edit))
    assert np.allclose(capture.delivered_from_world, np.eye(4), atol=1e-9)
    assert "up_estimated" in [finding.code for finding in capture.findings]


def test_opencv_axes_can_be_declared(tmp_path: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        values["camera_axes"] = "opencv"
        for frame, pose in zip(values["frames"], ring(8), strict=True):
            frame["transform_matrix"] = pose.tolist()

    capture = ingest(write_capture(tmp_path, edit=edit))
    assert np.allclose(capture.views[3].camera.world_from_camera, ring(8)[3])
    assert "cameras_look_away" not in [finding.code for finding in capture.findings]


def test_undeclared_opencv_axes_are_noticed(tmp_path: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        for frame, pose in zip(values["frames"], ring(8), strict=True):
            frame["transform_matrix"] = pose.tolist()

    capture = ingest(write_capture(tmp_path, edit=edit))
    assert "cameras_look_away" in [finding.code for finding in capture.findings]


def test_train_and_test_files_are_kept_apart(tmp_path: Path) -> None:
    write_capture(tmp_path)
    os.rename(tmp_path / "transforms.json", tmp_path / "transforms_train.json")
    values = transforms(8)
    values["frames"] = values["frames"][:2]
    (tmp_path / "transforms_test.json").write_text(json.dumps(values))
    assert len(ingest(tmp_path).views) == 8
    assert [view.name for view in ingest_split(tmp_path, "test").views] == ["00.png", "01.png"]
    with pytest.raises(BadCameras, match="transforms_val"):
        ingest_split(tmp_path, "val")


def test_equal_file_names_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "00.png").write_bytes(png(ball()))
    folder = write_capture(tmp_path, edit=lambda values: values["frames"][1].update(file_path="other/00.png"))
    assert [view.name for view in ingest(folder).views[:3]] == ["images/00.png", "other/00.png", "02.png"]


def test_an_extra_mask_path_is_used(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_bytes(
        png((np.arange(SIZE[0]) < 20)[None].repeat(SIZE[1], 0).astype(np.uint8) * 255)
    )
    folder = write_capture(tmp_path, edit=lambda values: values["frames"][2].update(mask_path="m.png"))
    mask = ingest(folder).views[2].mask
    assert mask is not None
    assert mask[:, :20].min() == 255
    assert mask[:, 20:].max() == 0


def frame(number: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["frames"][number].update(values)


def entry(number: int, row: int, column: int, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(content: dict[str, Any]) -> None:
        content["frames"][number]["transform_matrix"][row][column] = value

    return edit


def mirrored(content: dict[str, Any]) -> None:
    for one in content["frames"]:
        one["transform_matrix"][0][:3] = [-value for value in one["transform_matrix"][0][:3]]


def same_pose(content: dict[str, Any]) -> None:
    for one in content["frames"]:
        one["transform_matrix"] = content["frames"][0]["transform_matrix"]


def without_focal(content: dict[str, Any]) -> None:
    del content["fl_x"], content["fl_y"]


def degrees(content: dict[str, Any]) -> None:
    without_focal(content)
    content["camera_angle_x"] = 39.6


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "nan": (entry(2, 0, 3, float("nan")), "frame 2.*NaN"),
    "infinity": (entry(2, 0, 3, float("inf")), "frame 2.*NaN or infinity"),
    "huge integer": (entry(2, 0, 3, 10**400), "frame 2"),
    "3x3": (frame(1, transform_matrix=np.eye(3).tolist()), "frame 1.*3x3"),
    "ragged": (frame(1, transform_matrix=[[1, 0], [0]]), "frame 1"),
    "text in a matrix": (entry(1, 0, 0, "1; DROP TABLE"), "frame 1.*DROP TABLE"),
    "no matrix": (lambda content: content["frames"][1].pop("transform_matrix"), "frame 1.*missing"),
    "not rigid": (entry(1, 0, 0, 5.0), "frame 1.*not a rotation"),
    "projective": (entry(1, 3, 0, 0.1), "frame 1.*not a rotation"),
    "mirrored": (mirrored, "frame 0.*mirrors"),
    "one place": (same_pose, "same place"),
    "missing photo": (frame(3, file_path="images/99"), "frame 3.*does not exist"),
    "traversal": (frame(3, file_path="../../../../etc/hostname"), "frame 3.*outside"),
    "windows traversal": (frame(3, file_path="..\\..\\hostname"), "frame 3.*outside"),
    "absolute": (frame(3, file_path="/etc/hostname"), "frame 3.*absolute"),
    "drive": (frame(3, file_path="C:\\boot.png"), "frame 3.*absolute"),
    "url": (frame(3, file_path="http://127.0.0.1:1/x.png"), "frame 3.*URL"),
    "no path": (frame(3, file_path=None), "frame 3.*not a path"),
    "null byte": (frame(3, file_path="a\0b"), "frame 3.*not a path"),
    "endless path": (frame(3, file_path="a" * 5000), "frame 3.*does not exist"),
    "twice": (frame(3, file_path="images/00.png"), "00.png 2 times"),
    "no focal length": (without_focal, "frame 0.*no focal"),
    "negative focal": (lambda content: content.update(fl_x=-500), "fl_x is -500"),
    "normalised focal": (lambda content: content.update(fl_x=1.1, fl_y=1.1), "focal length of 1.1"),
    "degrees": (degrees, "39.6.*radians"),
    "text focal": (lambda content: content.update(fl_x="wide"), "fl_x is 'wide'"),
    "far principal point": (lambda content: content.update(cx=5000.0, cy=10.0), "principal point"),
    "other aspect": (lambda content: content.update(w=100, h=100), "another aspect"),
    "no frames": (lambda content: content.update(frames=[]), "no frames"),
    "frames no list": (lambda content: content.update(frames={"a": 1}), "no frames"),
    "frame no object": (lambda content: content["frames"].__setitem__(2, 7), "frame 2"),
    "empty box": (lambda content: content.update(aabb=[[0, 0, 0], [1, 0, 1]]), "aabb"),
    "unknown axes": (lambda content: content.update(camera_axes="maya"), "camera_axes is 'maya'"),
    "unknown model": (lambda content: content.update(camera_model="EQUIRECTANGULAR"), "EQUIRECTANGULAR"),
    "k4 without its model": (lambda content: content.update(k4=0.1), "k4"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_cameras_are_refused_with_file_and_frame(tmp_path: Path, case: str) -> None:
    edit, words = REFUSED[case]
    with pytest.raises(BadCameras, match=f"(?s){words}") as caught:
        ingest(write_capture(tmp_path, edit=edit))
    assert "transforms.json" in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text", ["{frames: [", "[" * 100_000 + "]" * 100_000, "[]", "3", "", "\xff", '{"a":' + "9" * 5000]
)
def test_files_that_are_no_camera_file_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "transforms.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadCameras, match=r"transforms\.json"):
        ingest(tmp_path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(ball()))
    folder = write_capture(tmp_path / "capture")
    (folder / "images" / "00.png").unlink()
    (folder / "images" / "00.png").symlink_to(secret)
    with pytest.raises(BadCameras, match="outside"):
        ingest(folder)


def test_missing_photos_are_left_out_only_if_allowed(tmp_path: Path) -> None:
    folder = write_capture(tmp_path, edit=frame(3, file_path="images/99"))
    capture = ingest(folder, allow_missing=True)
    assert len(capture.views) == 7
    assert [finding.code for finding in capture.findings if "missing" in finding.code] == ["photos_missing"]


def test_limits_on_views_and_bytes_are_obeyed(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    with pytest.raises(BadCameras, match="limit is 7"):
        ingest(folder, ImageLimits(max_views=7))
    with pytest.raises(BadCameras, match="MB"):
        ingest(folder, ImageLimits(max_camera_file_bytes=100))


def test_lens_models_are_read_in_the_order_of_opencv(tmp_path: Path) -> None:
    lens = (
        read_transforms(
            write_capture(tmp_path / "a", k1=0.1, k2=0.2, p1=0.3, p2=0.4) / "transforms.json", DEFAULT_LIMITS
        )
        .photos[0]
        .lens
    )
    assert (lens.model, lens.distortion) == ("brown", (0.1, 0.2, 0.3, 0.4, 0.0))
    fisheye = {"camera_model": "OPENCV_FISHEYE", "k1": 0.1, "k2": 0.2, "k3": 0.3, "k4": 0.4}
    lens = (
        read_transforms(write_capture(tmp_path / "b", **fisheye) / "transforms.json", DEFAULT_LIMITS)
        .photos[0]
        .lens
    )
    assert (lens.model, lens.distortion) == ("fisheye", (0.1, 0.2, 0.3, 0.4))
