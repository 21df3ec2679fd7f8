"""From a folder to a capture: masks, dropped photos, EXIF, progress."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from capture_samples import SIZE, ball, jpeg, png, ring, smooth, write_capture, write_colmap
from PIL import Image

from objectscan.capture.ingest import ingest
from objectscan.capture.limits import ImageLimits
from objectscan.errors import BadCameras, BadMasks, Cancelled, TooFewViews, UnreadableImage
from objectscan.types import Capture, Progress


def photo(folder: Path, number: int) -> Path:
    return folder / "images" / f"{number:02d}.png"


def found(capture: Capture, code: str) -> tuple[str, ...]:
    """The photos of the findings with this code."""
    return tuple(name for finding in capture.findings if finding.code == code for name in finding.photos)


def test_masks_come_from_alpha_and_pixels_are_unchanged(tmp_path: Path) -> None:
    capture = ingest(write_capture(tmp_path))
    for index, view in enumerate(capture.views):
        assert view.mask is not None
        assert np.array_equal(np.dstack([view.image_srgb, view.mask]), ball(shift=index))
        assert view.camera.size == SIZE


@pytest.mark.parametrize("name", ["{stem}.png", "{stem}.jpg", "{stem}.jpg.png", "{stem}.PNG"])
def test_masks_are_found_beside_the_photos(tmp_path: Path, name: str) -> None:
    write_capture(tmp_path)
    (tmp_path / "masks").mkdir()
    values = json.loads((tmp_path / "transforms.json").read_text())
    for index in range(8):
        photo(tmp_path, index).unlink()
        (tmp_path / "images" / f"{index:02d}.jpg").write_bytes(jpeg(ball()[..., :3]))
        mask = ball()[..., 3]
        file = tmp_path / "masks" / name.format(stem=f"{index:02d}")
        file.write_bytes(jpeg(mask) if file.suffix == ".jpg" else png(mask))
        values["frames"][index]["file_path"] = f"images/{index:02d}"
    (tmp_path / "transforms.json").write_text(json.dumps(values))
    for view in ingest(tmp_path).views:
        assert view.mask is not None
        assert np.array_equal(view.mask >= 128, ball()[..., 3] >= 128)


def mask_file(folder: Path, mask: np.ndarray, number: int = 2) -> Path:
    (folder / "masks").mkdir(exist_ok=True)
    path = folder / "masks" / f"{number:02d}.png"
    path.write_bytes(png(mask))
    return path


def test_a_mask_of_another_size_but_equal_aspect_is_fitted(tmp_path: Path) -> None:
    write_capture(tmp_path)
    mask_file(tmp_path, ball((3 * SIZE[0], 3 * SIZE[1]))[..., 3])
    mask = ingest(tmp_path).views[2].mask
    assert mask is not None
    assert mask.shape == (SIZE[1], SIZE[0])
    assert ((mask >= 128) != (ball()[..., 3] >= 128)).mean() < 0.01


def test_a_label_mask_of_zeros_and_ones_counts_as_black_and_white(tmp_path: Path) -> None:
    write_capture(tmp_path)
    mask_file(tmp_path, ball()[..., 3] // 255)
    mask = ingest(tmp_path).views[2].mask
    assert mask is not None
    assert set(np.unique(mask)) == {0, 255}


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((SIZE[1], SIZE[0]), np.uint8), "empty"),
        (np.full((SIZE[1], SIZE[0]), 255, np.uint8), "white everywhere"),
        (ball((SIZE[0], SIZE[0]))[..., 3], "96 x 96"),
    ],
)
def test_a_photo_with_a_useless_mask_is_left_out_and_named(
    tmp_path: Path, mask: np.ndarray, words: str
) -> None:
    write_capture(tmp_path)
    mask_file(tmp_path, mask)
    capture = ingest(tmp_path)
    assert [view.name for view in capture.views] == [f"{index:02d}.png" for index in range(8) if index != 2]
    assert found(capture, "photo_dropped") == ("02.png",)
    assert any(words in finding.message for finding in capture.findings)


def test_an_empty_alpha_drops_the_photo_and_an_opaque_one_counts_as_no_mask(tmp_path: Path) -> None:
    write_capture(tmp_path)
    for number, alpha in ((1, 0), (4, 255)):
        photo(tmp_path, number).write_bytes(
            png(np.dstack([ball()[..., :3], np.full((SIZE[1], SIZE[0]), alpha, np.uint8)]))
        )
    capture = ingest(tmp_path)
    assert found(capture, "photo_dropped") == ("01.png", "04.png")
    capture = ingest(tmp_path, require_masks=False)
    assert found(capture, "photo_dropped") == ("01.png",)
    assert found(capture, "opaque_alpha") == ("04.png",)
    assert next(view for view in capture.views if view.name == "04.png").mask is None


def test_a_broken_photo_is_left_out_with_a_finding(tmp_path: Path) -> None:
    write_capture(tmp_path)
    photo(tmp_path, 3).write_bytes(photo(tmp_path, 3).read_bytes()[:-300])
    capture = ingest(tmp_path)
    assert len(capture.views) == 7
    assert found(capture, "photo_dropped") == ("03.png",)


def test_too_many_broken_photos_stop_it_with_the_first_reason(tmp_path: Path) -> None:
    write_capture(tmp_path)
    for number in range(6):
        photo(tmp_path, number).write_bytes(b"%PDF-1.4")
    with pytest.raises(TooFewViews, match=r"Only 2 of 8.*00\.png.*PDF"):
        ingest(tmp_path)
    for number in range(8):
        photo(tmp_path, number).write_bytes(b"%PDF-1.4")
    with pytest.raises(UnreadableImage, match=r"00\.png.*other 7"):
        ingest(tmp_path)


def test_a_capture_without_masks_is_refused_with_advice_unless_allowed(tmp_path: Path) -> None:
    write_capture(tmp_path)
    for number in range(8):
        photo(tmp_path, number).write_bytes(png(ball()[..., :3]))
    with pytest.raises(BadMasks, match="alpha channel, or a folder 'masks'"):
        ingest(tmp_path)
    assert all(view.mask is None for view in ingest(tmp_path, require_masks=False).views)


def test_two_photos_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(TooFewViews, match="2 photos"):
        ingest(write_capture(tmp_path, count=2))


def test_an_object_at_the_edge_is_reported_once_for_all_photos(tmp_path: Path) -> None:
    write_capture(tmp_path)
    for number in (2, 5):
        pixels = ball()
        pixels[..., 3] = 255 - pixels[..., 3]
        photo(tmp_path, number).write_bytes(png(pixels))
    capture = ingest(tmp_path)
    assert found(capture, "mask_touches_border") == ("02.png", "05.png")
    assert sum(finding.code == "mask_touches_border" for finding in capture.findings) == 1


def test_large_photos_are_reduced_with_their_cameras(tmp_path: Path) -> None:
    camera = ingest(write_capture(tmp_path), ImageLimits(max_edge_px=48)).views[0].camera
    assert camera.size == (48, 36)
    assert np.allclose(camera.intrinsics, [[55, 0, 24], [0, 55, 18], [0, 0, 1]])


def oriented_jpeg(stored: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(np.ascontiguousarray(stored), exif=exif.tobytes(), subsampling=0)


STORED = smooth(SIZE)


@pytest.mark.parametrize(
    ("orientation", "stated", "expected"),
    [
        (6, (SIZE[1], SIZE[0]), np.rot90(STORED, -1)),  # The cameras' size fits the upright photo only,
        (6, SIZE, STORED),  # the stored one only,
        (3, SIZE, np.rot90(STORED, 2)),  # both: these tools turn photos by EXIF.
    ],
)
def test_a_transforms_file_gets_the_photo_that_its_cameras_saw(
    tmp_path: Path, orientation: int, stated: tuple[int, int], expected: np.ndarray
) -> None:
    write_capture(tmp_path, edit=lambda values: values["frames"][0].update(w=stated[0], h=stated[1]))
    photo(tmp_path, 0).write_bytes(oriented_jpeg(STORED, orientation))
    view = ingest(tmp_path, require_masks=False).views[0]
    assert view.camera.size == stated
    assert np.abs(view.image_srgb.astype(int) - expected).max() < 8


def test_colmap_gets_photos_as_stored_since_it_ignores_exif(tmp_path: Path) -> None:
    model = (1, "PINHOLE", (110.0, 110.0, SIZE[0] / 2, SIZE[1] / 2))
    write_colmap(tmp_path, binary=True, model=model)
    photo(tmp_path, 0).write_bytes(oriented_jpeg(STORED, 3))
    view = ingest(tmp_path, require_masks=False).views[0]
    assert np.abs(view.image_srgb.astype(int) - STORED).max() < 8


def test_distortion_is_removed_from_photo_and_mask(tmp_path: Path) -> None:
    plain = ingest(write_capture(tmp_path / "a")).views[0]
    bent = ingest(write_capture(tmp_path / "b", k1=-0.4)).views[0]
    assert plain.mask is not None
    assert bent.mask is not None
    width = [
        cv2.boundingRect(mask)[2] / focal
        for mask, focal in ((plain.mask, 110.0), (bent.mask, bent.camera.intrinsics[0, 0]))
    ]
    assert width[1] > width[0] * 1.005  # Barrel distortion made it look smaller than it was.


def test_progress_reaches_the_end_and_can_cancel(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    seen: list[Progress] = []
    ingest(folder, report=seen.append)
    assert seen[-1].fraction == 1.0
    assert {progress.stage for progress in seen} == {"capture"}

    def cancel(progress: Progress) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        ingest(folder, report=cancel)


def test_forty_photos_of_512_pixels_are_read_in_a_second(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    frames = []
    data = png(ball((512, 512)))
    for index, pose in enumerate(ring(40)):
        (tmp_path / "images" / f"{index}.png").write_bytes(data)
        frames.append(
            {
                "file_path": f"images/{index}.png",
                "transform_matrix": (pose @ np.diag([1.0, -1, -1, 1])).tolist(),
            }
        )
    (tmp_path / "transforms.json").write_text(json.dumps({"camera_angle_x": 0.6, "frames": frames}))
    started = time.process_time()
    ingest(tmp_path)
    assert time.process_time() - started < 2.0  # CPU time: two cores, one second.


def test_a_folder_without_cameras_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(BadCameras, match=r"transforms\.json, transforms_train\.json or a COLMAP model"):
        ingest(tmp_path)
    with pytest.raises(BadCameras, match="does not exist"):
        ingest(tmp_path / "nowhere")
