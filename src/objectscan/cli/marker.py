"""`objectscan marker`: a sheet to print, so that the model gets its true size."""

from __future__ import annotations

from pathlib import Path

from objectscan.capture.solve.marker_sheet import sheet_for, write_sheet
from objectscan.cli.output import Output
from objectscan.errors import InputError


def run(out: Path, paper: str, *, output: Output) -> None:
    """Write the sheet as a PDF."""
    sheet = sheet_for(paper)
    if out.suffix.lower() != ".pdf":
        raise InputError(f"{out} does not end in .pdf.", hint="The sheet is a PDF file.")
    write_sheet(sheet, out)
    text = (
        f"{out}: print it at 100 %, check its 100 mm line, put the object in its middle and photograph both."
    )
    output.event("done", {"file": str(out), "paper": paper}, text)
