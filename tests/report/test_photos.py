"""What the report tells about each photo: rows, thumbnails, drawings, and the page that shows them."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from objectscan.capture.records import thumbnail_of
from objectscan.mesh.evidence import Evidence, ViewEvidence
from objectscan.mesh.metrics import ViewMetrics
from objectscan.mesh.verdict import PROFILE, judge
from objectscan.report import ReportPictures, Run, render_html, report_document, report_pictures
from objectscan.report.photos import photo_rows
from objectscan.report.plans import camera_plans
from objectscan.report.thumbnails import BUDGET_BYTES, outline_path, thumbnails
from objectscan.types import (
    Camera,
    Capture,
    Environment,
    Finding,
    Material,
    Mesh,
    PhotoRecord,
    Reconstruction,
    UvMap,
    View,
)

HOSTILE = '"><script>alert(1)</script>.jpg'
SIZE = (320, 240)
RUN = Run("0.1.0", "nvdiffrec", 7, {"preset": "preview"}, {"shape": 1.0}, "2026-11-24T00:00:00Z")
TURNED = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Y up from Z up."""


def noise(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)


def disc(size: tuple[int, int] = SIZE) -> np.ndarray:
    rows, columns = np.mgrid[: size[1], : size[0]]
    return np.uint8(np.hypot(columns - size[0] / 2, rows - size[1] / 2) < size[1] / 4) * 255


def camera(angle: float) -> Camera:
    """On a ring of radius 2 at height 1 of a world with Z up, looking at the origin."""
    centre = np.array([2 * np.cos(angle), 2 * np.sin(angle), 1.0])
    forward = -centre / np.linalg.norm(centre)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    world_from_camera = np.eye(4)
    world_from_camera[:3] = np.c_[right, np.cross(forward, right), forward, centre]
    return Camera(np.diag([300.0, 300.0, 1.0]), world_from_camera, SIZE)


def view(name: str, number: int, *, mask: bool = True, image: np.ndarray | None = None) -> View:
    picture = np.full((SIZE[1], SIZE[0], 3), 40 + number, np.uint8) if image is None else image
    return View(name, camera(0.4 * number), picture, disc() if mask else None)


def cube() -> Mesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32) / 2
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    return Mesh(corners, np.array(faces, np.int32))


def result(**changes) -> Reconstruction:
    made = Reconstruction(
        cube(),
        UvMap(np.zeros((3, 2), np.float32), np.zeros((12, 3), np.int32)),
        Material(np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 3), np.float32), None),
        Environment(np.ones((6, 4, 4, 3), np.float32)),
        (),
    )
    return replace(made, **changes)


def evidence(photos: tuple[str, ...], warnings: tuple[Finding, ...] = ()) -> Evidence:
    metrics = ViewMetrics(0.987, 0.4, 1.1, 29.5, 28.25, 0.93, 0.05, 0.7, 0.0, (1.0, 1.0, 1.0))
    names = ("iou", "contour_per_mille", "psnr_db", "psnr_white_db", "ssim", "gmsd", "sharpness")
    verdict = judge({rule.name: rule.best for rule in PROFILE.rules})
    views = tuple(ViewEvidence(photo, SIZE, metrics) for photo in photos)
    return Evidence("held-out", views, dict.fromkeys(names, 0.9), {}, 1.0, 0.9, {}, warnings, verdict)


def plain_captures() -> tuple[Capture, Capture]:
    """Five plain photos: used, with a bad mask, kept, without a place, not readable."""
    records = (
        PhotoRecord("a.jpg", "a.jpg", "", 0.6, 210, 0.71, "network", 0.93),
        PhotoRecord(HOSTILE, "_script_.jpg", "", 0.5, 180, 0.9, "network", 0.31),
        PhotoRecord("c.jpg", "c.jpg", "", 0.7, 190, 0.8, "network", 0.88),
        PhotoRecord("lost.jpg", None, "It fits nowhere.", 0.2, thumbnail=thumbnail_of(noise(3))),
        PhotoRecord("broken.jpg", None, "broken.jpg is cut off."),
    )
    findings = (
        Finding("unregistered_images", "warning", "lost.jpg was left out.", ("lost.jpg",)),
        Finding("blurry_images", "warning", "Less sharp than the others.", (HOSTILE,)),
    )
    fit = Capture((view("a.jpg", 0), view("_script_.jpg", 1)), TURNED, findings=findings, photos=records)
    return fit, replace(fit, views=(view("c.jpg", 2),))


def rows_of(fit: Capture, held_out: Capture, made: Reconstruction | None = None) -> dict:
    judged = evidence(tuple(one.name for one in held_out.views))
    rows = photo_rows(judged, made or result(), fit=fit, held_out=held_out, findings=fit.findings)
    return {row.name: row for row in rows}


def page_of(fit: Capture, held_out: Capture, made: Reconstruction | None = None) -> str:
    judged = evidence(tuple(one.name for one in held_out.views))
    captures = {"fit": fit, "held_out": held_out}
    pictures = report_pictures(judged, made or result(), strips={}, **captures)
    return render_html(report_document(judged, made or result(), run=RUN, **captures), pictures)


class Page(HTMLParser):
    """Tags with their attributes, and the visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.tags
            if name == tag
            and all(value in (attributes.get(key) or "").split() for key, value in wanted.items())
        ]


def test_each_photo_that_was_given_has_a_row_with_its_fate():
    rows = rows_of(*plain_captures())
    assert [row.number for row in rows.values()] == [1, 2, 3, 4, 5]
    statuses = {name: row.status for name, row in rows.items()}
    assert statuses == {
        "a.jpg": "used", HOSTILE: "weak", "c.jpg": "held_out", "lost.jpg": "left_out",
        "broken.jpg": "left_out",
    }  # fmt: skip
    assert rows["lost.jpg"].reason == "It fits nowhere."
    assert [note.code for note in rows["lost.jpg"].notes] == ["unregistered_images"]
    assert "0.31" in rows[HOSTILE].reason
    assert rows["a.jpg"].points == 210 and rows["a.jpg"].reprojection_error_px == 0.71
    assert rows["c.jpg"].evidence == {"iou": 0.987, "psnr_db": 29.5} and rows["a.jpg"].evidence is None


def test_a_finding_by_the_name_of_the_view_reaches_the_photo_too():
    fit, held_out = plain_captures()
    fit = replace(fit, findings=(Finding("mask_touches_border", "warning", "Cut off.", ("_script_.jpg",)),))
    assert [note.code for note in rows_of(fit, held_out)[HOSTILE].notes] == ["mask_touches_border"]


def test_a_camera_on_few_points_makes_a_photo_weak():
    fit, held_out = plain_captures()
    few = (replace(fit.photos[0], points=11), *fit.photos[1:])
    row = rows_of(replace(fit, photos=few), held_out)["a.jpg"]
    assert row.status == "weak" and "11 points" in row.reason


def test_what_is_said_of_one_photo_makes_it_weak_and_what_is_said_of_most_does_not():
    names = tuple(f"{k}.jpg" for k in range(6))
    one = Finding("blurry_images", "warning", "Less sharp.", names[:1])
    most = Finding("low_resolution", "warning", "Small.", names)
    note = Finding("photos_reduced", "info", "Reduced.", names[1:2])
    fit = Capture(tuple(view(n, k) for k, n in enumerate(names)), np.eye(4), findings=(one, most, note))
    rows = rows_of(fit, replace(fit, views=()))
    assert [row.status for row in rows.values()] == ["weak", *5 * ["used"]]
    assert "blurry_images" in rows["0.jpg"].reason
    assert [note.code for note in rows["1.jpg"].notes] == ["low_resolution", "photos_reduced"]


def test_cameras_are_told_in_the_frame_of_delivered_files_and_as_refined():
    fit, held_out = plain_captures()
    row = rows_of(fit, held_out)["a.jpg"]
    assert row.camera is not None
    np.testing.assert_allclose(row.camera.position, [2, 1, 0], atol=1e-9)  # Z up becomes Y up
    np.testing.assert_allclose(row.camera.forward, np.array([-2, -1, 0]) / np.sqrt(5), atol=1e-9)
    moved = result(cameras={"a.jpg": camera(np.pi / 2)})
    refined = rows_of(fit, held_out, moved)["a.jpg"].camera
    np.testing.assert_allclose(refined.position, [0, 1, -2], atol=1e-9)


def test_a_dropped_photo_of_a_camera_file_keeps_its_place():
    place = camera(1.0).world_from_camera
    record = PhotoRecord("no_mask.png", None, "no_mask.png has no mask.", world_from_camera=place)
    fit, held_out = plain_captures()
    row = rows_of(replace(fit, photos=(*fit.photos, record)), held_out)["no_mask.png"]
    assert row.status == "left_out" and row.camera is not None
    np.testing.assert_allclose(row.camera.position, (TURNED @ place)[:3, 3])


def test_views_without_a_record_get_a_row():
    fit = Capture((view("x.png", 0), view("y.png", 1, mask=False)), np.eye(4))
    rows = rows_of(fit, replace(fit, views=(view("test/x.png", 2),)))
    assert [(row.name, row.status) for row in rows.values()] == [
        ("x.png", "used"), ("y.png", "used"), ("test/x.png", "held_out")
    ]  # fmt: skip


@pytest.mark.parametrize("unplaced", ["not registered", "no cameras"])
def test_without_known_places_there_is_no_drawing_but_a_table(unplaced):
    fit, held_out = plain_captures()
    if unplaced == "no cameras":
        fit = replace(fit, cameras_known=False)
    made = result(is_registered=unplaced != "not registered")
    assert all(row.camera is None for row in rows_of(fit, held_out, made).values())
    text = Page(page_of(fit, held_out, made)).text
    assert "Cameras around the model" not in text and "Each photo" in text and "Masks" in text


def test_the_drawing_puts_cameras_around_the_model_and_in_the_frame():
    fit = Capture(tuple(view(f"{k}.jpg", k) for k in range(12)), TURNED)
    rows = list(rows_of(fit, replace(fit, views=())).values())
    above, front = camera_plans(rows, cube(), TURNED)
    assert [len(plan.marks) for plan in (above, front)] == [12, 12]
    for plan in (above, front):
        assert all(0 < mark.x < 100 and 0 < mark.y < plan.height for mark in plan.marks)
        shape = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", plan.shape), float)
        assert (shape.min(0) > 0).all() and (shape.max(0) < [100, plan.height]).all()
    middle = shape_middle(above.shape)
    mark = next(mark for mark in above.marks if mark.number == 1)  # on +x, level with the middle
    np.testing.assert_allclose(mark.y, middle[1], atol=1.0)
    assert mark.x > middle[0] and mark.look_x < mark.x
    # Cameras stand 1 above the middle of the cube, so that they are drawn above it from the front.
    assert all(mark.y < shape_middle(front.shape)[1] for mark in front.marks)


def shape_middle(path: str) -> np.ndarray:
    places = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path), float)
    return (places.min(0) + places.max(0)) / 2


def test_the_drawing_says_the_numbers_and_states_of_the_table():
    fit, held_out = plain_captures()
    page = Page(page_of(fit, held_out))
    marks = page.all("button", **{"class": "mark"})
    assert len(marks) == 2 * 3  # two drawings; two photos have no place
    assert {(one["class"] or "").split()[1] for one in marks} == {"used", "weak", "held_out"}
    assert any("used, but doubtful" in (one["aria-label"] or "") for one in marks)
    assert "Without a place: 4 lost.jpg, 5 broken.jpg" in " ".join(page.text.split())


def test_the_outline_of_a_mask_follows_it():
    path = outline_path(disc(), (160, 120))
    places = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path), float)
    np.testing.assert_allclose(np.hypot(*(places - (80, 60)).T), 30, atol=1.2)
    assert path.count("M") == 1
    ring = disc()
    ring[110:130, 150:170] = 0
    assert outline_path(ring, (160, 120)).count("M") == 2  # the hole has an outline of its own
    assert outline_path(np.zeros_like(ring), (160, 120)) == ""


def test_a_mask_of_specks_has_a_short_outline():
    specks = np.uint8(np.random.default_rng(0).random((480, 640)) > 0.5) * 255
    path = outline_path(cv2_large(specks), (240, 180))
    assert len(path) <= 4000 and (not path or path.endswith("Z"))


def cv2_large(mask: np.ndarray) -> np.ndarray:
    return mask.repeat(4, axis=0).repeat(4, axis=1)


def test_a_photo_left_out_shows_its_thumbnail_and_an_unreadable_one_none():
    fit, held_out = plain_captures()
    made = thumbnails(list(rows_of(fit, held_out).values()), fit=fit, held_out=held_out)
    assert sorted(made) == [1, 2, 3, 4]
    assert all(max(one.size) == 240 for one in made.values())
    assert [bool(made[number].outline) for number in (1, 2, 3, 4)] == [True, True, True, False]
    with Image.open(io.BytesIO(made[4].webp)) as picture:
        assert picture.format == "WEBP" and picture.size == made[4].size


def test_a_hundred_photos_of_noise_stay_below_six_megabytes():
    picture = noise(0, (960, 720))
    views = tuple(view(f"IMG_{k}.jpg", k, image=picture) for k in range(100))
    fit = Capture(views[:90], TURNED)
    held_out = replace(fit, views=views[90:])
    judged = evidence(tuple(one.name for one in held_out.views))
    strip = bytes(160_000)
    pictures = report_pictures(
        judged, result(), fit=fit, held_out=held_out, strips={one.name: strip for one in held_out.views},
        still=bytes(40_000), turntable=bytes(600_000),
    )  # fmt: skip
    assert sum(len(one.webp) for one in pictures.thumbnails.values()) <= BUDGET_BYTES
    assert len(pictures.thumbnails) == 100 and 0 < len(pictures.strips) < 10
    page = render_html(report_document(judged, result(), fit=fit, held_out=held_out, run=RUN), pictures)
    assert len(page.encode()) < 6_000_000


def test_masks_are_shown_with_the_least_certain_first():
    page = page_of(*plain_captures())
    sheet = page[page.index("<h2>Masks</h2>") :]
    order = re.findall(r"mask ([\d.]+)</span>", sheet)
    assert order == ["0.31", "0.88", "0.93"]
    assert sheet.count('class="outline"') == 2 * 3


def test_without_masks_there_is_no_sheet_of_masks():
    fit = Capture(tuple(view(f"{k}.jpg", k, mask=False) for k in range(3)), TURNED)
    text = Page(page_of(fit, replace(fit, views=()))).text
    assert "Masks" not in text and "Each photo" in text and "Cameras around the model" in text


def test_hostile_names_stay_text_everywhere():
    page = page_of(*plain_captures())
    tags = Page(page)
    assert "<script" not in page and not tags.all("script")
    assert HOSTILE in tags.text
    labels = [attributes.get("aria-label") or "" for _, attributes in tags.tags]
    assert sum(HOSTILE in label for label in labels) >= 4  # thumbnails, marks and the mask
    assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)


def test_every_reference_is_inside_the_page():
    tags = Page(page_of(*plain_captures()))
    identities = {attributes["id"] for _, attributes in tags.tags if "id" in attributes}
    for _, attributes in tags.tags:
        for name in ("href", "src", "xlink:href"):
            target = attributes.get(name)
            assert target is None or target.startswith("data:") or target.removeprefix("#") in identities
    policy = next(one["content"] for one in tags.all("meta") if one.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_pictures_have_words_and_tables_have_headers():
    tags = Page(page_of(*plain_captures()))
    pictures = tags.all("svg", **{"class": "photo"})
    assert pictures and all(one["role"] == "img" and one["aria-label"] for one in pictures)
    assert all(one.get("scope") == "col" for one in tags.all("th"))
    assert all(one["aria-label"] for one in tags.all("button"))


def test_rows_are_in_the_json_with_their_cameras():
    fit, held_out = plain_captures()
    judged = evidence(("c.jpg",))
    document = report_document(
        judged, result(), fit=fit, held_out=held_out, run=replace(RUN, peak_memory_bytes=5)
    )
    read = json.loads(json.dumps(document, allow_nan=False))
    first, hostile = read["photos"][0], read["photos"][1]
    assert first["camera"]["position"] == pytest.approx([2, 1, 0], abs=1e-6)
    assert (
        hostile["name"] == HOSTILE
        and hostile["view"] == "_script_.jpg"
        and hostile["mask_confidence"] == 0.31
    )
    assert read["photos"][4]["camera"] is None and read["photos"][4]["size"] is None
    assert read["peak_memory_bytes"] == 5 and read["delivered_from_world"] == TURNED.tolist()


def test_a_report_without_pictures_still_tells_of_each_photo():
    fit, held_out = plain_captures()
    document = report_document(evidence(("c.jpg",)), result(), fit=fit, held_out=held_out, run=RUN)
    tags = Page(render_html(document, ReportPictures()))
    assert "lost.jpg" in tags.text and not tags.all("svg", **{"class": "photo"})
