"""`objectscan evaluate`: a finished model against photos that it was not made from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from objectscan.capture import ImageLimits, ingest_split
from objectscan.cli.output import Output
from objectscan.mesh.evidence import ViewEvidence
from objectscan.mesh.quality import evaluate
from objectscan.pipeline import read_capture
from objectscan.settings import Settings
from objectscan.types import ignore_progress
from objectscan.workspace import load_result, read_job

_SHOWN = (
    ("psnr_white_db", "PSNR on white {:.2f} dB"), ("psnr_db", "PSNR {:.2f} dB"), ("ssim", "SSIM {:.4f}"),
    ("iou", "outline overlap {:.4f}"), ("contour_px", "outline distance {:.2f} px"),
)  # fmt: skip


def run(out: Path, photos: Path, split: str, *, settings: Settings, output: Output) -> None:
    """Tell each photo's numbers, their means and the verdict.

    Args:
        out: Output folder of a finished reconstruction.
        photos: The capture to compare with.
        split: Its `transforms_SPLIT.json` is read; empty for the whole capture.
        settings: Limits of this machine.
        output: Where to tell it.
    """
    # Corrected cameras belong to the photos of the fit; another split may have photos of the same names.
    result = dataclasses.replace(load_result(out), cameras={})
    limits = ImageLimits(**settings.image_limits())
    compared = ingest_split(photos, split, limits) if split else read_capture(photos, settings)
    fit = read_capture(Path(read_job(out)["capture"]), settings)
    evidence = evaluate(result, compared, fit, ignore_progress)
    for view in evidence.views:
        output.event(
            "view", {"photo": view.photo, **_numbers(view)}, f"{view.photo}: {_in_words(_numbers(view))}"
        )
    means = {name: float(value) for name, value in evidence.means.items()}
    output.event(
        "means",
        {"photos": len(evidence.views), **means},
        f"Mean of {len(evidence.views)}: {_in_words(means)}",
    )
    verdict = evidence.verdict
    values = {"grade": verdict.grade, "score": verdict.score, "reason": verdict.reason}
    output.event("verdict", values, f"Quality {verdict.grade}: {verdict.reason}")


def _numbers(view: ViewEvidence) -> dict[str, float]:
    numbers = dataclasses.asdict(view.metrics)
    return {name: float(value) for name, value in numbers.items() if name != "gain"}


def _in_words(numbers: dict[str, float]) -> str:
    return ", ".join(pattern.format(numbers[name]) for name, pattern in _SHOWN)
