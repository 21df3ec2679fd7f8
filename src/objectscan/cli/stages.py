"""Verbs that run one stage alone: `inspect`, `ingest`, `evaluate`, `check`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from objectscan.cli.output import Output
from objectscan.cli.setup import machine_settings
from objectscan.errors import InputError


def inspect_photos(capture_path: Path, output: Output) -> None:
    """Findings and facts of a capture; masks may be missing."""
    from objectscan.capture import ingest, inspect_capture
    from objectscan.mesh.evidence import as_plain

    capture = ingest(capture_path, machine_settings().image_limits(), require_masks=False)
    for finding in capture.findings:
        output.finding(finding)
    summary = as_plain(inspect_capture(capture))
    text = "\n".join(f"{name}: {value}" for name, value in summary.items() if name != "findings")
    output.event("summary", summary, text)


def ingest_photos(capture_path: Path, out: Path, output: Output) -> None:
    """A capture as a plain folder of undistorted pictures and cameras."""
    from objectscan.capture import ingest, save_capture

    capture = ingest(capture_path, machine_settings().image_limits())
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty.", hint="Choose a new folder.")
    save_capture(capture, out)
    for finding in capture.findings:
        output.finding(finding)
    output.event("done", {"views": len(capture.views), "folder": str(out)}, f"{len(capture.views)} views in {out}")


def evaluate_result(result: Path, capture_path: Path, split: str, output: Output) -> None:
    """Means over the photos of a split, after the model's own light."""
    import torch

    from objectscan.capture import ingest, ingest_split
    from objectscan.mesh.quality import evaluate
    from objectscan.types import ignore_progress
    from objectscan.workspace import load_result

    torch.set_num_threads(1)
    limits = machine_settings().image_limits()
    held_out = ingest_split(capture_path, split, limits)
    evidence = evaluate(load_result(result), held_out, ingest(capture_path, limits), ignore_progress)
    for view in evidence.views:
        values = {"photo": view.photo, **{k: float(v) for k, v in dataclasses.asdict(view.metrics).items() if k != "gain"}}
        text = f"{view.photo}: PSNR {view.metrics.psnr_white_db:.2f} dB on white, mask IoU {view.metrics.iou:.4f}"
        output.event("view", values, text)
    means = {name: float(value) for name, value in evidence.means.items()}
    text = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
    output.event("means", means, f"mean of {len(evidence.views)} photos: {text}")
    verdict = evidence.verdict
    output.event("verdict", {"grade": verdict.grade, "reason": verdict.reason}, f"{verdict.grade}: {verdict.reason}")


def check_mesh(mesh: Path, output: Output) -> None:
    """Verdict of a mesh file; exit code 2 if it fails."""
    from objectscan.errors import BadMesh
    from objectscan.mesh.check import check_mesh_file

    verdict = check_mesh_file(mesh)
    reasons = list(verdict.reasons)
    output.event("verdict", {"verdict": verdict.verdict, "reasons": reasons}, f"{verdict.verdict}: {', '.join(reasons) or 'nothing to report'}")
    if verdict.verdict == "fail":
        raise BadMesh(f"{mesh.name} should not be delivered: {', '.join(reasons)}.", hint="See docs/findings.md.")
