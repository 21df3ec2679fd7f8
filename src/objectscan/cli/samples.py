"""`objectscan samples` and `objectscan capture-guide`: how to photograph, in words and by example."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from objectscan.capture.samples.sets import write_samples
from objectscan.cli.output import Output


def run(out: Path, *, output: Output) -> None:
    """Write the sample sets and tell what should come of each."""
    expected = write_samples(out)
    for row in json.loads(expected.read_text("utf-8")):
        verdict = row["verdict"] if row["reason"] is None else f"{row['verdict']}: {row['reason']}"
        output.event("sample", row, f"{row['folder']:<20} {verdict:<30} {row['what']}")
    text = f"Sets in {out}. Try `objectscan inspect {out / 'out_of_focus'}` or `objectscan solve`."
    output.event("done", {"folder": str(out), "expected": str(expected)}, text)


def tell_guide(*, output: Output) -> None:
    """Print how to photograph an object."""
    text = files("objectscan.capture").joinpath("guide.md").read_text("utf-8").rstrip()
    output.event("guide", {"text": text}, text)
