"""A saved capture comes back exactly, and other programs can read it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from capture_samples import write_capture

from objectscan.capture.folder import load_capture, save_capture
from objectscan.capture.ingest import ingest
from objectscan.errors import BadWorkspace
from objectscan.types import Camera, Capture, Finding


def awkward_capture(folder: Path) -> Capture:
    """Bounds, findings, odd names, odd numbers, a missing and a full mask, colour under alpha 0."""
    capture = ingest(write_capture(folder, aabb=[[-1, -1, -1], [1, 1, 0.1]]))
    first, second, third, *rest = capture.views
    intrinsics = np.array([[np.pi * 40, 0, 1 / 3], [0, 1e3 / 7, 12.1], [0, 0, 1]])
    first = replace(
        first,
        name="../odd näme.png",
        camera=Camera(intrinsics, first.camera.world_from_camera, first.camera.size),
    )
    second = replace(second, mask=None)
    third = replace(third, mask=np.full_like(third.mask, 255))
    finding = Finding("few_views", "warning", "Ünly 8", ("a", "b"))
    return replace(capture, views=(first, second, third, *rest), findings=(finding,), scale_known=True)


def test_a_round_trip_loses_nothing(tmp_path: Path) -> None:
    capture = awkward_capture(tmp_path / "in")
    save_capture(capture, tmp_path / "out")
    loaded = load_capture(tmp_path / "out")
    assert loaded.findings == capture.findings
    assert loaded.scale_known
    assert np.array_equal(loaded.bounds, capture.bounds)
    assert np.array_equal(loaded.delivered_from_world, capture.delivered_from_world)
    for after, before in zip(loaded.views, capture.views, strict=True):
        assert after.name == before.name
        assert after.camera.size == before.camera.size
        assert np.array_equal(after.camera.intrinsics, before.camera.intrinsics)
        assert np.array_equal(after.camera.world_from_camera, before.camera.world_from_camera)
        assert np.array_equal(after.image_srgb, before.image_srgb)
        assert (after.mask is None) == (before.mask is None)
        assert before.mask is None or np.array_equal(after.mask, before.mask)


def test_the_folder_is_an_ordinary_capture(tmp_path: Path) -> None:
    capture = ingest(write_capture(tmp_path / "in"))
    save_capture(capture, tmp_path / "out")
    again = ingest(tmp_path / "out")
    for after, before in zip(again.views, capture.views, strict=True):
        assert np.allclose(after.camera.world_from_camera, before.camera.world_from_camera)
        assert np.array_equal(after.camera.intrinsics, before.camera.intrinsics)
        assert np.array_equal(after.mask, before.mask)


def test_saving_again_leaves_no_old_pictures(tmp_path: Path) -> None:
    capture = ingest(write_capture(tmp_path / "in"))
    save_capture(capture, tmp_path / "out")
    save_capture(replace(capture, views=capture.views[:4]), tmp_path / "out")
    assert len(list((tmp_path / "out" / "images").iterdir())) == 4
    assert len(load_capture(tmp_path / "out").views) == 4


def test_incomplete_or_foreign_folders_are_refused(tmp_path: Path) -> None:
    capture = ingest(write_capture(tmp_path / "in"))
    with pytest.raises(BadWorkspace, match="not a complete capture"):
        load_capture(tmp_path / "nothing")
    with pytest.raises(BadWorkspace):
        load_capture(tmp_path / "in")
    save_capture(capture, tmp_path / "out")
    picture = next((tmp_path / "out" / "images").iterdir())
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(BadWorkspace):
        load_capture(tmp_path / "out")
    picture.unlink()
    with pytest.raises(BadWorkspace):
        load_capture(tmp_path / "out")
    picture.write_bytes(whole)
    values = json.loads((tmp_path / "out" / "transforms.json").read_text())
    values["objectscan"]["version"] = 99
    (tmp_path / "out" / "transforms.json").write_text(json.dumps(values))
    with pytest.raises(BadWorkspace, match="version 99"):
        load_capture(tmp_path / "out")
