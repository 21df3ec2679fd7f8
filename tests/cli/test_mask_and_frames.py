"""`objectscan mask` and `objectscan frames` as programs' users see them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path += [
    str(Path(__file__).parents[1] / "capture"),
    str(Path(__file__).parents[1] / "capture" / "segment"),
]

from scenes import ball_scene, iou
from videos import passing, write_video

from objectscan.cli.main import run


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict]]:
    with pytest.raises(SystemExit) as ended:
        run([*map(str, arguments), "--json"])
    return int(ended.value.code or 0), [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def photo_folder(folder: Path, count: int = 5) -> dict[str, np.ndarray]:
    """Plain photos; the exact masks by file name."""
    scene = ball_scene(folder, count)
    masks = list(scene.truth.values())
    return {f"{index:04d}.png": masks[index] for index in range(count)}


def test_masks_for_plain_photos_with_an_overview(tmp_path, capsys):
    truth = photo_folder(tmp_path / "photos")
    code, lines = told(capsys, "mask", tmp_path / "photos", "-o", tmp_path / "out", "--threads", 1)
    assert code == 0
    rows = {line["photo"]: line for line in lines if line["event"] == "mask"}
    assert set(rows) == set(truth)
    for name, row in rows.items():
        assert row["source"] == "network" and 0 < row["confidence"] <= 1
        assert iou(np.asarray(Image.open(row["path"])), truth[name]) > 0.9
    assert lines[-1] == {"event": "done", "masks": 5, "folder": str(tmp_path / "out")}
    assert "masks_unchecked" in [line["code"] for line in lines if line["event"] == "finding"]
    with Image.open(tmp_path / "out" / "overview.png") as picture:
        assert picture.size == (1440, 240)
    kept = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert [row["photo"] for row in kept] == sorted(truth)


def test_the_alpha_of_a_photo_is_its_mask(tmp_path, capsys):
    truth = photo_folder(tmp_path / "photos", 3)
    for name, mask in truth.items():
        pixels = np.asarray(Image.open(tmp_path / "photos" / name).convert("RGB"))
        Image.fromarray(np.dstack([pixels, mask])).save(tmp_path / "photos" / name)
    code, lines = told(capsys, "mask", tmp_path / "photos", "-o", tmp_path / "out")
    rows = [line for line in lines if line["event"] == "mask"]
    assert code == 0 and {row["source"] for row in rows} == {"user"}
    assert all(np.array_equal(np.asarray(Image.open(row["path"])), truth[row["photo"]]) for row in rows)


def test_a_capture_with_cameras_is_compared_by_them(tmp_path, capsys):
    photo_folder(tmp_path / "capture" / "images", 5)
    from capture_samples import ring
    from scenes import FOCAL_PX

    opengl = np.diag([1.0, -1.0, -1.0, 1.0])
    frames = [
        {"file_path": f"images/{index:04d}.png", "transform_matrix": (pose @ opengl).tolist()}
        for index, pose in enumerate(ring(5, elevation_deg=25, radius=3.0))
    ]
    camera = {"fl_x": FOCAL_PX, "fl_y": FOCAL_PX, "frames": frames}
    (tmp_path / "capture" / "transforms.json").write_text(json.dumps(camera))
    code, lines = told(capsys, "mask", tmp_path / "capture", "-o", tmp_path / "out", "--threads", 1)
    assert code == 0 and lines[-1]["masks"] == 5
    assert "masks_unchecked" not in [line["code"] for line in lines if line["event"] == "finding"]


def test_a_damaged_photo_is_left_out_by_name(tmp_path, capsys):
    photo_folder(tmp_path / "photos", 4)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    box = "0.2,0.1,0.8,0.9"
    code, lines = told(capsys, "mask", tmp_path / "photos", "-o", tmp_path / "out", "--box", box)
    assert code == 0 and lines[-1]["masks"] == 4
    dropped = [line for line in lines if line.get("code") == "photo_dropped"]
    assert [line["photos"] for line in dropped] == [["broken.jpg"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--box", "1,2,3"], "not four numbers"),
        (["--box", "0.9,0,0.1,1"], "is not left,top,right,bottom"),
    ],
)
def test_a_wrong_box_is_refused_with_words(tmp_path, capsys, arguments, words):
    photo_folder(tmp_path / "photos", 3)
    code, lines = told(capsys, "mask", tmp_path / "photos", "-o", tmp_path / "out", *arguments)
    assert code == 2 and lines[-1]["event"] == "error" and words in lines[-1]["message"]


def test_a_folder_without_photos_and_one_that_is_in_use_are_refused(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    code, lines = told(capsys, "mask", tmp_path / "photos", "-o", tmp_path / "out")
    assert code == 2 and "has 0 usable photos" in lines[-1]["message"]
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("keep")
    for verb in ("mask", "frames"):
        code, lines = told(capsys, verb, tmp_path / "photos", "-o", tmp_path / "used")
        assert code == 2 and lines[-1]["code"] == "bad_workspace"
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["mine.txt"]


def test_frames_of_a_video_become_photos(tmp_path, capsys):
    video = write_video(tmp_path / "walk.mp4", passing(40))
    code, lines = told(capsys, "frames", video, "-o", tmp_path / "out", "--count", 5)
    rows = [line for line in lines if line["event"] == "frame"]
    assert code == 0 and len(rows) == 5
    assert all(Path(row["path"]).is_file() for row in rows)
    assert [row["time_s"] for row in rows] == sorted(row["time_s"] for row in rows)
    assert lines[-1] == {"event": "done", "photos": 5, "folder": str(tmp_path / "out")}


def test_limits_on_videos_come_from_the_settings(tmp_path, capsys, monkeypatch):
    video = write_video(tmp_path / "walk.mp4", passing(40))
    monkeypatch.setenv("OBJECTSCAN_MAX_VIDEO_FRAMES", "10")
    code, lines = told(capsys, "frames", video, "-o", tmp_path / "out")
    assert code == 2 and lines[-1]["code"] == "bad_video" and "more than 10 frames" in lines[-1]["message"]
