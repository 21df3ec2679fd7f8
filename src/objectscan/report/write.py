"""Puts a report into the output folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectscan.errors import ExportError
from objectscan.report.html import render_html
from objectscan.report.pictures import ReportPictures


def write_report(
    folder: Path, document: Mapping[str, Any], pictures: ReportPictures, *, title: str = "Object scan"
) -> tuple[Path, Path]:
    """Write report.json and report.html, each whole or not at all.

    Returns:
        The paths of both files.

    Raises:
        ExportError: A file can't be written.
    """
    as_json, as_html = folder / "report.json", folder / "report.html"
    _write_atomically(as_json, json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    _write_atomically(as_html, render_html(document, pictures, title=title))
    return as_json, as_html


def _write_atomically(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise ExportError(
            f"The report {path} can't be written: {problem.strerror or problem}.",
            hint="Check the folder's rights and the free space on the disk.",
        ) from problem
