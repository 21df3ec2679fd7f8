"""A capture's own test photos are the evidence; without any, some of its photos are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from capture_samples import ball, jpeg, png, ring

from objectscan.capture import hold_out, ingest


def write_split(folder: Path, split: str, count: int, *, masks: bool = True) -> None:
    """A NeRF-synthetic split of `count` photos of a ball."""
    photos = folder / split
    photos.mkdir(parents=True)
    frames = []
    for index, pose in enumerate(ring(count)):
        name = f"{index:03}.png" if masks else f"{index:03}.jpg"
        (photos / name).write_bytes(png(ball()) if masks else jpeg(ball()[..., :3]))
        gl = pose.copy()
        gl[:3, 1:3] *= -1
        frames.append({"file_path": f"./{split}/{name}", "transform_matrix": gl.tolist()})
    cameras = {"camera_angle_x": 0.8, "frames": frames}
    (folder / f"transforms_{split}.json").write_text(json.dumps(cameras))


def test_a_captures_own_test_photos_are_held_out_and_all_others_are_fitted(tmp_path: Path) -> None:
    write_split(tmp_path, "train", 14)
    write_split(tmp_path, "test", 30)
    fit, held_out = hold_out(tmp_path, ingest(tmp_path))
    assert len(fit.views) == 14
    assert [view.name for view in held_out.views] == [f"test/{index:03}.png" for index in range(0, 30, 3)]


def test_a_few_photos_with_test_photos_are_judged_by_them(tmp_path: Path) -> None:
    write_split(tmp_path, "train", 5)
    write_split(tmp_path, "test", 3)
    fit, held_out = hold_out(tmp_path, ingest(tmp_path))
    assert (len(fit.views), len(held_out.views)) == (5, 3)
    assert "evidence_from_training_views" not in {finding.code for finding in fit.findings}


def test_naming_the_training_file_is_the_same_as_naming_its_folder(tmp_path: Path) -> None:
    write_split(tmp_path, "train", 14)
    write_split(tmp_path, "test", 2)
    file = tmp_path / "transforms_train.json"
    assert len(hold_out(file, ingest(file))[1].views) == 2


@pytest.mark.parametrize("reason", ["no such file", "transforms.json was read", "the test file was read"])
def test_without_own_test_photos_some_of_the_others_are_held_out(tmp_path: Path, reason: str) -> None:
    write_split(tmp_path, "train", 14)
    path = tmp_path
    if reason != "no such file":
        write_split(tmp_path, "test", 14)
    if reason == "transforms.json was read":
        (tmp_path / "transforms.json").write_text((tmp_path / "transforms_train.json").read_text())
    if reason == "the test file was read":
        path = tmp_path / "transforms_test.json"
    fit, held_out = hold_out(path, ingest(path))
    assert (len(fit.views), len(held_out.views)) == (12, 2)
    assert "test_photos_unused" not in {finding.code for finding in fit.findings}


@pytest.mark.parametrize("defect", ["broken file", "no masks", "missing photo", "one photo"])
def test_test_photos_that_cant_be_used_are_told_and_replaced(tmp_path: Path, defect: str) -> None:
    write_split(tmp_path, "train", 14)
    write_split(tmp_path, "test", 1 if defect == "one photo" else 4, masks=defect != "no masks")
    if defect == "broken file":
        (tmp_path / "transforms_test.json").write_text("{")
    if defect == "missing photo":
        (tmp_path / "test" / "002.png").unlink()
    fit, held_out = hold_out(tmp_path, ingest(tmp_path))
    assert (len(fit.views), len(held_out.views)) == (12, 2)
    assert "test_photos_unused" in {finding.code for finding in fit.findings}
