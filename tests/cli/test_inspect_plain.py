"""`objectscan inspect` on plain photos, and how `reconstruct` is told where the object is."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from objectscan.capture.samples.photographs import box_on_a_table, photograph, ring, write_photos
from objectscan.cli.main import run
from objectscan.cli.reconstruct import mask_changes
from objectscan.errors import BadRecipe, InputError
from objectscan.recipes import recipe_for


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [photograph(box_on_a_table(), shot, rng=rng) for shot in ring(5, size=(320, 240), arc_deg=60.0)]


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict]]:
    with pytest.raises(SystemExit) as ended:
        run([*map(str, arguments), "--json"])
    return int(ended.value.code or 0), [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_mixed_folder_is_told_photo_by_photo(tmp_path: Path, pictures, capsys):
    """Sizes, orientations, HEIC, a stray text file and a damaged photo."""
    pillow_heif.register_heif_opener()
    write_photos(tmp_path, pictures[:2], focal_px=None, names=["a1.jpg", "a2.jpg"])
    Image.fromarray(cv2.resize(pictures[2], (240, 180))).save(tmp_path / "a3.png")
    Image.fromarray(pictures[3]).save(tmp_path / "a4.heic", quality=90)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(np.rot90(pictures[4])).save(tmp_path / "a5.jpg", exif=turned)
    (tmp_path / "notes.txt").write_text("on the kitchen table")
    (tmp_path / "a6.jpg").write_bytes((tmp_path / "a1.jpg").read_bytes()[:3000])
    code, events = told(capsys, "inspect", tmp_path)
    assert code == 0
    rows = [event for event in events if event["event"] == "photo"]
    assert [row["name"] for row in rows] == ["a1.jpg", "a2.jpg", "a3.png", "a4.heic", "a5.jpg"]
    assert all(row["keypoints"] > 100 for row in rows)
    codes = {event["code"]: event for event in events if event["event"] == "finding"}
    assert codes["photo_dropped"]["photos"] == ["a6.jpg"] and "notes.txt" in codes["stray_files"]["message"]
    assert events[-1]["event"] == "summary" and events[-1]["refused"] is None and events[-1]["photos"] == 5


def test_a_set_without_detail_is_refused_with_the_reason(tmp_path: Path, pictures, capsys):
    flat = [np.full_like(picture, 120 + 2 * k) for k, picture in enumerate(pictures)]
    write_photos(tmp_path, flat, focal_px=None)
    code, events = told(capsys, "inspect", tmp_path)
    assert code == 0 and events[-1]["refused"] is not None
    assert any(event.get("severity") == "error" for event in events)
    with pytest.raises(SystemExit):
        run(["inspect", str(tmp_path)])
    assert "refused:" in capsys.readouterr().out


def test_nothing_is_left_in_the_folder_of_photos(tmp_path: Path, pictures, capsys):
    write_photos(tmp_path, pictures, focal_px=None)
    before = sorted(path.name for path in tmp_path.iterdir())
    told(capsys, "inspect", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_box_and_no_mask_become_part_of_the_recipe():
    changes = mask_changes("0.2,0.1,0.8,0.95", no_mask=True)
    assert changes == ("masks.box=[0.2, 0.1, 0.8, 0.95]", "masks.make=false")
    assert mask_changes(None, no_mask=False) == ()
    assert recipe_for("standard", {"masks.box": [0.2, 0.1, 0.8, 0.95]}).masks.box == (0.2, 0.1, 0.8, 0.95)


@pytest.mark.parametrize("box", ["0.2,0.1,0.8", "a,b,c,d", ""])
def test_a_box_that_is_not_four_numbers_is_refused(box: str):
    with pytest.raises(InputError, match="four numbers"):
        mask_changes(box, no_mask=False)


@pytest.mark.parametrize("box", [[0.8, 0.1, 0.2, 0.9], [0, 0, 1.2, 1], [0.1, 0.2, 0.3], ["a", 0, 1, 1]])
def test_a_box_outside_the_photo_is_refused(box: list):
    with pytest.raises(BadRecipe, match=r"masks\.box"):
        recipe_for("standard", {"masks.box": box})
