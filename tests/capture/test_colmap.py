"""COLMAP models, text and binary, give the cameras they were written from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from capture_samples import SIZE, ring, write_colmap

from objectscan.capture.formats.colmap import read_colmap
from objectscan.capture.ingest import ingest
from objectscan.capture.limits import DEFAULT_LIMITS, ImageLimits
from objectscan.errors import BadCameras

PINHOLE = (1, "PINHOLE", (110.0, 112.0, 47.0, 35.0))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("place", [".", "sparse", "sparse/0"])
def test_poses_and_intrinsics_survive(tmp_path: Path, binary: bool, place: str) -> None:
    capture = ingest(write_colmap(tmp_path, binary=binary, model=PINHOLE, place=place))
    assert [view.name for view in capture.views] == [f"{index:02d}.png" for index in range(8)]
    for view, pose in zip(capture.views, ring(8), strict=True):
        assert np.allclose(view.camera.world_from_camera, pose, atol=1e-9)
        assert np.allclose(view.camera.intrinsics, [[110, 0, 47], [0, 112, 35], [0, 0, 1]])


def test_the_model_folder_itself_may_be_named(tmp_path: Path) -> None:
    write_colmap(tmp_path, binary=True, model=PINHOLE)
    assert len(ingest(tmp_path / "sparse" / "0").views) == 8


def test_up_is_where_the_photos_say(tmp_path: Path) -> None:
    capture = ingest(write_colmap(tmp_path, binary=True, model=PINHOLE))
    assert np.allclose(capture.delivered_from_world @ [0, 0, 1, 0], [0, 1, 0, 0], atol=1e-9)
    assert np.isclose(np.linalg.det(capture.delivered_from_world), 1)


MODELS = {
    "SIMPLE_PINHOLE": (0, (100.0, 48.0, 36.0), "brown", ()),
    "SIMPLE_RADIAL": (2, (100.0, 48.0, 36.0, 0.1), "brown", (0.1, 0.0, 0.0, 0.0)),
    "RADIAL": (3, (100.0, 48.0, 36.0, 0.1, 0.2), "brown", (0.1, 0.2, 0.0, 0.0)),
    "OPENCV": (4, (100.0, 101.0, 48.0, 36.0, 0.1, 0.2, 0.3, 0.4), "brown", (0.1, 0.2, 0.3, 0.4)),
    "OPENCV_FISHEYE": (5, (100.0, 101.0, 48.0, 36.0, 0.1, 0.2, 0.3, 0.4), "fisheye", (0.1, 0.2, 0.3, 0.4)),
    "FULL_OPENCV": (
        6,
        (100.0, 101.0, 48.0, 36.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        "brown",
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    ),
}


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_every_lens_model_is_read(tmp_path: Path, name: str, binary: bool) -> None:
    number, parameters, kind, distortion = MODELS[name]
    lens = (
        read_colmap(write_colmap(tmp_path, binary=binary, model=(number, name, parameters)), DEFAULT_LIMITS)
        .photos[0]
        .lens
    )
    assert (lens.model, lens.distortion) == (kind, distortion)
    assert lens.focal_px is not None
    assert lens.focal_px[0] == 100.0
    assert lens.centre_px == (48.0, 36.0)
    assert lens.size == SIZE


@pytest.mark.parametrize("binary", [False, True])
def test_unsupported_models_are_named(tmp_path: Path, binary: bool) -> None:
    model = (7, "FOV", (100.0, 101.0, 48.0, 36.0, 0.1))
    with pytest.raises(BadCameras, match=r"cameras\.(txt|bin), camera 7.*FOV"):
        ingest(write_colmap(tmp_path, binary=binary, model=model))


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "cameras.txt", "images.txt"])
def test_damaged_files_are_refused_by_name_wherever_they_are_cut(tmp_path: Path, name: str) -> None:
    folder = write_colmap(tmp_path, binary=name.endswith("bin"), model=PINHOLE)
    file = folder / "sparse" / "0" / name
    whole = file.read_bytes()
    for length in (0, 3, 20, len(whole) // 2, len(whole) - 9):
        file.write_bytes(whole[:length])
        if name.endswith("txt") and length > 20:
            continue  # A cut text file may still be a complete, shorter one.
        with pytest.raises(BadCameras):
            ingest(folder)
    file.write_bytes(b"\xff" * 200)
    with pytest.raises(BadCameras, match=name.replace(".", r"\.")):
        ingest(folder)


def test_a_photo_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = write_colmap(tmp_path, binary=False, model=PINHOLE)
    file = folder / "sparse" / "0" / "images.txt"
    file.write_text(file.read_text().replace("03.png", "../sparse/0/images.txt"))
    with pytest.raises(BadCameras, match=r"images\.txt, photo 4.*outside"):
        ingest(folder)


def test_missing_photos_and_cameras_are_named(tmp_path: Path) -> None:
    folder = write_colmap(tmp_path, binary=False, model=PINHOLE)
    (folder / "images" / "05.png").unlink()
    with pytest.raises(BadCameras, match=r"photo 6 \(05\.png\).*does not exist"):
        ingest(folder)
    assert len(ingest(folder, allow_missing=True).views) == 7
    file = folder / "sparse" / "0" / "cameras.txt"
    file.write_text(file.read_text().replace("7 PINHOLE", "8 PINHOLE"))
    with pytest.raises(BadCameras, match="no camera 7"):
        ingest(folder)


def test_a_pose_that_is_no_rotation_is_refused(tmp_path: Path) -> None:
    folder = write_colmap(tmp_path, binary=False, model=PINHOLE)
    file = folder / "sparse" / "0" / "images.txt"
    lines = file.read_text().split("\n")
    lines[1] = "1 0 0 0 0 0 0 0 7 00.png"
    file.write_text("\n".join(lines))
    with pytest.raises(BadCameras, match=r"photo 1 .*quaternion"):
        ingest(folder)


def test_limits_on_views_are_obeyed(tmp_path: Path) -> None:
    with pytest.raises(BadCameras, match="limit is 5"):
        ingest(write_colmap(tmp_path, binary=True, model=PINHOLE), ImageLimits(max_views=5))
