from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from objectscan.errors import ExportError
from objectscan.mesh.evidence import Evidence, ViewEvidence
from objectscan.mesh.metrics import ViewMetrics
from objectscan.mesh.verdict import PROFILE, judge
from objectscan.report import ReportPictures, Run, render_html, report_document, write_report
from objectscan.types import (
    Camera,
    Capture,
    Environment,
    Finding,
    Material,
    Mesh,
    PassReport,
    Reconstruction,
    UvMap,
    View,
)

HOSTILE = '<script>alert("1")</script>.jpg'


def capture(names: tuple[str, ...], findings: tuple[Finding, ...] = ()) -> Capture:
    camera = Camera(np.eye(3), np.eye(4), (4, 4))
    blank = np.zeros((4, 4, 3), np.uint8)
    return Capture(tuple(View(n, camera, blank, blank[..., 0]) for n in names), np.eye(4), findings=findings)


def reconstruction(findings: tuple[Finding, ...] = ()) -> Reconstruction:
    return Reconstruction(
        Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32)),
        UvMap(np.zeros((3, 2), np.float32), np.array([[0, 1, 2]], np.int32)),
        Material(np.zeros((64, 64, 3), np.float32), np.zeros((64, 64, 3), np.float32), None),
        Environment(np.ones((6, 4, 4, 3), np.float32)),
        (PassReport("shape", 700, 61.25, {"loss": np.float32(0.5), "nan": float("nan")}),),
        findings=findings,
    )


def evidence(grade_value: float = 0.7, photos: tuple[str, ...] = ("IMG_7.jpg", HOSTILE)) -> Evidence:
    metrics = ViewMetrics(0.99, 0.4, 1.1, 29.5, 28.25, 0.93, 0.05, grade_value, 0.0, (1.0, 0.98, 1.02))
    values = {rule.name: rule.best for rule in PROFILE.rules} | {"sharpness": grade_value}
    means = {"iou": 0.99, "contour_per_mille": 1.1, "psnr_db": 29.5, "psnr_white_db": 28.25, "ssim": 0.93}
    soft = Finding("texture_soft", "warning", "Texture is softer than the photos.", photos)
    return Evidence(
        "held-out",
        tuple(ViewEvidence(photo, (512, 384), metrics) for photo in photos),
        means | {"gmsd": 0.05, "sharpness": grade_value},
        {"iou": photos[0]},
        0.97,
        0.93,
        {"components": 1, "boundary_edges": 0},
        (soft,),
        judge(values),
    )


def document(**changes) -> dict:
    run = Run(
        "0.1.0",
        "nvdiffrec",
        7,
        {"preset": "standard"},
        {"shape": 61.0, "refine": 20.0},
        "2026-11-23T12:00:00Z",
    )
    arguments = {"fit": capture(("a.jpg", "b.jpg")), "held_out": capture(("IMG_7.jpg", HOSTILE)), "run": run}
    return report_document(evidence(), reconstruction(), **(arguments | changes))


def webp(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "webp")
    return buffer.getvalue()


class Tags(HTMLParser):
    """Collects every tag, its attributes, and the visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_document_is_strict_json_with_every_documented_field() -> None:
    import objectscan.report.model as model

    text = json.dumps(document(), allow_nan=False)
    read = json.loads(text)
    promised = {
        n for line in re.findall(r"^    (\w[\w, ]*?)  +\S", model.__doc__, re.M) for n in line.split(", ")
    }
    assert set(read) == promised
    assert read["schema_version"] == "1"
    assert read["verdict"]["grade"] == "high" and read["verdict"]["profile"] == "2026-11"
    assert read["passes"][0]["facts"] == {"loss": 0.5, "nan": None}
    assert [stage["share"] for stage in read["stages"]] == pytest.approx([61 / 81, 20 / 81], abs=1e-5)
    assert read["capture"]["held_out"] == ["IMG_7.jpg", HOSTILE]
    assert read["evidence"]["views"][0]["metrics"]["psnr_db"] == 29.5


def test_warnings_of_photos_engine_and_evidence_are_merged_most_severe_first() -> None:
    few = Finding("few_views", "warning", "Only 4 photos.")
    bad = Finding("bad_mask", "error", "Mask of a.jpg is odd.", ("a.jpg",))
    note = Finding("scale_unknown", "info", "Size is arbitrary.")
    both = document(fit=capture(("a.jpg",), (note, few)), held_out=capture(("b.jpg",), (few, bad)))
    codes = [finding["code"] for finding in both["warnings"]]
    assert codes == ["bad_mask", "texture_soft", "few_views", "scale_unknown"]
    soft = Finding("texture_soft", "warning", "What the evidence says anyway.", ("a.jpg",))
    again = document(fit=capture(("a.jpg",), (soft,)))
    assert [finding["code"] for finding in again["warnings"]] == ["texture_soft"]


def test_page_shows_verdict_reason_every_view_every_row_and_every_warning() -> None:
    report = document()
    tags = parsed(render_html(report, ReportPictures()))
    flat = " ".join(tags.text.split())
    assert "high" in flat and report["verdict"]["reason"] in flat
    assert all(view["photo"] in flat for view in report["evidence"]["views"])
    assert all(row["label"] in flat for row in report["verdict"]["rows"])
    assert all(finding["message"] in flat for finding in report["warnings"])
    assert "700 steps" in flat and "1 min 01 s" in flat and "seed 7" in flat


def test_page_holds_its_pictures_and_asks_nothing_of_a_network() -> None:
    pictures = ReportPictures(webp((9, 9, 9)), webp((1, 2, 3)), {"IMG_7.jpg": webp((4, 5, 6))})
    tags = parsed(render_html(document(), pictures))
    images = [attributes["src"] or "" for tag, attributes in tags.tags if tag == "img"]
    assert len(images) == 2 and all(source.startswith("data:image/webp;base64,") for source in images)
    links = [
        v for _, attributes in tags.tags for k, v in attributes.items() if k in ("src", "href", "srcset")
    ]
    assert all((link or "").startswith("data:") for link in links)
    assert not any(tag in ("script", "link", "iframe") for tag, _ in tags.tags)
    assert any(a.get("name") == "viewport" for tag, a in tags.tags if tag == "meta")


def test_photo_names_cannot_inject_markup() -> None:
    page = render_html(document(), ReportPictures(strips={HOSTILE: webp((0, 0, 0))}), title="<b>x</b>")
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>x</b>" not in page


def test_the_page_says_when_no_photo_was_kept_and_when_no_pass_ran() -> None:
    report = document()
    report["evidence"]["source"] = "training-views"
    report["passes"] = []
    text = parsed(render_html(report, ReportPictures())).text
    assert "No photo was kept" in text and "no optimisation pass ran" in text


def test_both_files_are_written_whole(tmp_path: Path) -> None:
    as_json, as_html = write_report(tmp_path, document(), ReportPictures(), title="Kettle")
    assert json.loads(as_json.read_text("utf-8"))["seed"] == 7
    assert "<title>Kettle: high</title>" in as_html.read_text("utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_an_unwritable_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"report\.json can't be written"):
        write_report(tmp_path / "missing", document(), ReportPictures())
