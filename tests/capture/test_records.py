"""What became of each photo: told by every stage, joined, kept on disk, and never lost on the way."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from capture_samples import ball, png, ring, write_capture
from PIL import Image
from test_evidence_views import write_split

from objectscan.capture import hold_out, ingest
from objectscan.capture.checks import Judgement
from objectscan.capture.checks.quality import PhotoFacts
from objectscan.capture.folder import load_capture, save_capture
from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import PhotoSet, PlainPhoto, SolvedCameras
from objectscan.capture.plain_records import camera_support, plain_records
from objectscan.capture.records import joined, read_records, thumbnail_of, write_records
from objectscan.capture.segment.mask_set import MaskSet
from objectscan.errors import BadWorkspace
from objectscan.types import Finding, PhotoRecord

SIZE = (160, 120)
FOCAL_PX, K1 = 150.0, -0.05


def picture(data: bytes | None) -> Image.Image:
    assert data is not None
    return Image.open(io.BytesIO(data))


def photo_set(folder, names):
    """Photos of random colours, one file that could not be read and one that repeats another."""
    photos = []
    for k, name in enumerate(names):
        path = folder / f"{k:04d}.jpg"
        Image.fromarray(np.full((SIZE[1], SIZE[0], 3), (40 * k, 90, 30), np.uint8)).save(path)
        photos.append(PlainPhoto(name, path, SIZE))
    findings = (
        Finding("photo_dropped", "warning", "cut.jpg is cut off.", ("cut.jpg",)),
        Finding(
            "duplicate_images", "warning", "b shows what a shows; 2 were left out.", ("again.jpg", "b.jpg")
        ),
        Finding("stray_files", "info", "notes.txt is no photo.", ("notes.txt",)),
    )
    return PhotoSet(tuple(photos), True, findings)


def solved(names, *, noise_px=0.0):
    """Cameras of these photos on a ring, and points that all of them see, seen `noise_px` beside."""
    lens = Lens((FOCAL_PX, FOCAL_PX), centre_px=(80.0, 60.0), size=SIZE, distortion=(K1,))
    points = np.random.default_rng(0).normal(scale=0.3, size=(25, 3))
    poses, observations, places = ring(len(names)), [], []
    for index, pose in enumerate(poses):
        in_camera = (points - pose[:3, 3]) @ pose[:3, :3]
        flat = in_camera[:, :2] / in_camera[:, 2:]
        bent = flat * (1 + K1 * (flat**2).sum(1, keepdims=True))
        places.append(bent * FOCAL_PX + (80.0 + noise_px, 60.0))
        observations += [(point, index) for point in range(25)]
    return SolvedCameras(
        dict.fromkeys(names, lens),
        dict(zip(names, poses, strict=True)),
        points,
        np.zeros((25, 3), np.uint8),
        np.array(observations, np.int32),
        tuple(names),
        "good",
        places_px=np.concatenate(places),
        point_errors_px=np.full(25, 9.0),
        findings=(Finding("separate_group", "warning", "x and y fit each other.", ("other.jpg",)),),
    )


def test_support_of_a_camera_is_its_points_and_their_error_through_its_lens():
    support = camera_support(solved(["a", "b", "c"], noise_px=0.75))
    assert set(support) == {"a", "b", "c"}
    for count, error_px in support.values():
        assert count == 25 and error_px == pytest.approx(0.75, abs=1e-9)
    unknown = camera_support(replace(solved(["a"]), places_px=np.zeros((0, 2))))
    assert unknown == {"a": (25, None)}


def test_each_plain_photo_gets_a_record_with_its_numbers_or_the_reason(tmp_path):
    names = ["a.jpg", "<script>.jpg", "c.jpg", "lost.jpg", "other.jpg"]
    photos, cameras = photo_set(tmp_path, names), solved(names[:3])
    facts = tuple(PhotoFacts(name, 0.1 * k, 0, 0, 0.2, 30, 500) for k, name in enumerate(names))
    sources = {"a.jpg": "user", "<script>.jpg": "network"}
    confidence = {"a.jpg": 1.0, "<script>.jpg": 0.4, "c.jpg": 0.0}
    masks = MaskSet({name: tmp_path / name for name in sources}, confidence, sources)
    records = plain_records(photos, Judgement(facts, ()), cameras, masks)
    assert [record.name for record in records] == [*names, "cut.jpg", "again.jpg", "b.jpg"]
    assert [record.view for record in records[:5]] == ["a.jpg", "_script_.jpg", "c.jpg", None, None]
    assert records[1].mask_confidence == 0.4 and records[1].mask_source == "network"
    assert records[1].points == 25 and records[1].sharpness == pytest.approx(0.1)
    assert records[2].mask_source is None and records[2].mask_confidence == 0.0
    assert "No camera" in records[3].reason and "It fits some photos" in records[4].reason
    assert records[5].reason == "cut.jpg is cut off." and "another photo shows" in records[6].reason
    assert picture(records[3].thumbnail).size == SIZE and records[5].thumbnail is None


def test_records_survive_the_disk(tmp_path):
    records = (
        PhotoRecord("ä.jpg", "a.jpg", "", 0.5, 12, 0.25, "hull", 0.5),
        PhotoRecord(
            "b.jpg", None, "No.", world_from_camera=ring(3)[1], thumbnail=thumbnail_of(ball()[..., :3])
        ),
    )
    write_records(records, tmp_path)
    first, second = read_records(tmp_path)
    assert first == records[0]
    assert np.array_equal(second.world_from_camera, records[1].world_from_camera)
    assert picture(second.thumbnail).size == (96, 72) and second.reason == "No."
    assert read_records(tmp_path / "nowhere") == ()


def test_what_a_later_stage_finds_out_is_joined_to_the_photo_as_the_user_named_it():
    earlier = (
        PhotoRecord(
            "a b.jpg", "a_b.jpg", sharpness=0.7, points=99, mask_source="network", mask_confidence=0.9
        ),
        PhotoRecord("lost.jpg", None, "It fits nowhere."),
        PhotoRecord("bare.jpg", "bare.jpg", mask_confidence=0.0),
    )
    later = (
        PhotoRecord("a_b.jpg", "a_b.jpg", sharpness=0.2, mask_source="user", mask_confidence=1.0),
        PhotoRecord("bare.jpg", None, "bare.jpg has no mask.", thumbnail=b"jpeg"),
        PhotoRecord("new.jpg", "new.jpg"),
    )
    used, lost, bare, new = joined(earlier, later)
    assert used == earlier[0] and lost == earlier[1] and new == later[2]
    assert (bare.name, bare.view, bare.reason, bare.thumbnail) == (
        "bare.jpg", None, "bare.jpg has no mask.", b"jpeg"
    )  # fmt: skip


def test_a_camera_files_photos_have_records_and_a_dropped_one_its_place_and_picture(tmp_path):
    folder = write_capture(tmp_path)
    names = sorted(path.name for path in folder.rglob("*.png"))
    opaque = ball()
    opaque[..., 3] = 255
    next(folder.rglob(names[1])).write_bytes(png(opaque))
    next(folder.rglob(names[2])).write_bytes(b"no picture")
    capture = ingest(folder)
    records = {record.name: record for record in capture.photos}
    assert sorted(records) == names
    used, without_mask, broken = (records[name] for name in names[:3])
    assert used.view == used.name and used.mask_source == "user" and 0 < (used.sharpness or 0) < 1
    assert without_mask.view is None and "mask" in without_mask.reason
    assert picture(without_mask.thumbnail).size == (96, 72)
    assert broken.view is None and broken.reason and broken.thumbnail is None
    assert broken.world_from_camera is not None


def test_records_stay_with_an_ingested_folder(tmp_path):
    capture = ingest(write_capture(tmp_path / "in"))
    save_capture(capture, tmp_path / "out")
    assert load_capture(tmp_path / "out").photos == capture.photos
    (tmp_path / "out" / "photos.json").write_text('[{"name": 1}]')
    with pytest.raises(BadWorkspace, match="not a complete capture"):
        load_capture(tmp_path / "out")


def test_a_captures_own_test_photos_have_records_under_the_names_of_their_views(tmp_path):
    write_split(tmp_path, "train", 5)
    write_split(tmp_path, "test", 3)
    fit, held_out = hold_out(tmp_path, ingest(tmp_path))
    assert [record.name for record in held_out.photos] == [view.name for view in held_out.views]
    assert all(record.view == record.name and record.name.startswith("test/") for record in held_out.photos)
    assert len(fit.photos) == 5
