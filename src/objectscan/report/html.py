"""report.html: one file with everything in it, pictures included; it needs no network and runs no script."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from objectscan.report.pictures import ReportPictures

VIEW_COLUMNS = (
    ("iou", "Outline overlap", "{:.3f}"),
    ("contour_per_mille", "Outline distance ‰", "{:.1f}"),
    ("psnr_db", "PSNR dB", "{:.1f}"),
    ("psnr_white_db", "PSNR on white dB", "{:.1f}"),
    ("ssim", "SSIM", "{:.3f}"),
    ("gmsd", "GMSD", "{:.3f}"),
    ("sharpness", "Detail", "{:.2f}"),
)
"""(name in the report, heading, format) of the numbers shown for each view."""


STATUSES = {
    "used": "used",
    "weak": "used, but doubtful",
    "held_out": "kept as evidence",
    "left_out": "left out",
}
"""How the page names what became of a photo."""


def render_html(document: Mapping[str, Any], pictures: ReportPictures, *, title: str = "Object scan") -> str:
    """The page for a `report_document`. Everything in the document is escaped: photo names are user input."""
    environment = Environment(
        loader=PackageLoader("objectscan.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        data_uri=_data_uri, duration=_duration, size=_size, value=_value, plain_json=_plain_json
    )
    rows = document["photos"]
    template = environment.get_template("report.html")
    return template.render(
        report=document,
        pictures=pictures,
        columns=VIEW_COLUMNS,
        title=title,
        rows={row["number"]: row for row in rows},
        masks=_doubtful_first(rows, pictures),
        statuses=STATUSES,
    )


def _doubtful_first(rows: Sequence[Mapping[str, Any]], pictures: ReportPictures) -> list[Mapping[str, Any]]:
    """Rows for the sheet of masks, the least trusted first; none if no photo has a mask."""
    shown = [
        row for row in rows if row["number"] in pictures.thumbnails and row["mask_confidence"] is not None
    ]
    return sorted(shown, key=lambda row: row["mask_confidence"])


def _data_uri(webp: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")


def _duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{round(seconds) // 60} min {round(seconds) % 60:02d} s"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"


def _value(number: float | None, pattern: str = "{:.4g}") -> str:
    """A number for people; a dash for one that is missing."""
    return "–" if number is None else pattern.format(number)


def _plain_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
