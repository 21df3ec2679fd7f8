"""`objectscan models accept`: does the generative engine work here, with the real weights?

First whatever needs no engine: files, sums, tensors, memory, the sample. Then one capture, end to end. The
verdict is `accepted` only if all of it holds.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path

import objectscan
from objectscan import pipeline
from objectscan.cli.display import Display
from objectscan.cli.doctor import Fact
from objectscan.cli.interrupt import StopRequest
from objectscan.cli.machine import use_threads
from objectscan.cli.model_verbs import verdicts
from objectscan.cli.output import Output
from objectscan.delivery import Asset
from objectscan.engines.base import engine_named
from objectscan.engines.reconviagen.catalogue import CATALOGUE
from objectscan.errors import BadRecipe, BadWeights, MissingWeights, ObjectscanError, ResourceError
from objectscan.memory import free_memory_bytes
from objectscan.recipes import recipe_for
from objectscan.settings import Settings
from objectscan.weights.folder import ModelFolder, models_folder

ENGINE = "reconviagen"
_PRESET = "preview"
_NEEDED_GPU_BYTES = 12e9
"""What the engine may take for 8 photos."""
_NEEDED_HOST_BYTES = 8e9
"""The largest network on its way to the device (5.0 GB), and the mesh steps."""


def run(collection: str, sample: Path | None, out: Path, *, settings: Settings, output: Output) -> None:
    """Check, run, tell the verdict.

    Raises:
        InputError: There is no such collection.
        MissingWeights, BadWeights: The weights are not all there and right.
        ResourceError: The machine or the program lacks something, or the result is not acceptable.
    """
    folders = _folders(collection, settings)
    photos = sample or Path(objectscan.__file__).parents[2] / "samples" / "rocket"
    problems = [*_weight_problems(collection, folders, output), *_machine_problems(photos, output)]
    if problems:
        _tell_verdict([problem.message.rstrip(".") for problem in problems], output)
        raise problems[0]
    asset, facts = _tried(collection, photos, out, settings, output)
    reasons = _reasons(asset)
    for fact in facts:
        _tell(fact, output)
    _tell_verdict(reasons, output)
    if reasons:
        raise ResourceError(
            f"Not accepted: {'; '.join(reasons)}.", hint=f"Look at {asset.report.with_suffix('.html')}."
        )


def _folders(collection: str, settings: Settings) -> list[ModelFolder]:
    root = models_folder(settings, os.environ)
    return [ModelFolder(root, model) for model in CATALOGUE.collection(collection).models]


def _weight_problems(collection: str, folders: list[ModelFolder], output: Output) -> list[ObjectscanError]:
    """All files there, else nothing is read; then every byte."""
    lacking = [folder for folder in folders if folder.missing()]
    for folder in lacking:
        words = f"{len(folder.missing())} of {len(folder.model.files)} files are not in {folder.path}"
        advice = f"Get them: `objectscan models pull {folder.model.name}`."
        _tell(Fact(f"weights {folder.model.name}", words, False, advice), output)
    if lacking:
        names = ", ".join(folder.model.name for folder in lacking)
        return [
            MissingWeights(
                f"Weights are missing: {names}.",
                hint=f"Get them with `objectscan models pull {collection}`, or set OBJECTSCAN_MODELS to the "
                "folder that has them.",
            )
        ]
    wrong = [verdict for verdict in verdicts(folders, output) if verdict.state != "right"]
    return [
        BadWeights(
            f"{verdict.model}/{verdict.path}: {verdict.words}.",
            hint=f"Pull it again: `objectscan models pull {verdict.model}`.",
        )
        for verdict in wrong
    ]


def _machine_problems(photos: Path, output: Output) -> list[ObjectscanError]:
    facts = (_gpu(), _memory(), _sample(photos), _engine())
    for fact in facts:
        _tell(fact, output)
    return [ResourceError(f"{f.name}: {f.value}.", hint=f.advice) for f in facts if not f.ok]


def _gpu() -> Fact:
    import torch

    if not torch.cuda.is_available():
        return Fact("gpu", "none that torch can use; the processor computes, which is slow")
    free_bytes, _ = torch.cuda.mem_get_info()
    name, needed = torch.cuda.get_device_name(), f"{_NEEDED_GPU_BYTES / 1e9:.0f} GB are needed for 8 photos"
    return Fact(
        "gpu", f"{name}, {free_bytes / 1e9:.1f} GB free", free_bytes >= _NEEDED_GPU_BYTES,
        f"{needed}: close what else runs on it.",
    )  # fmt: skip


def _memory() -> Fact:
    free_bytes = free_memory_bytes()
    advice = f"{_NEEDED_HOST_BYTES / 1e9:.0f} GB are needed: close programs."
    return Fact("memory", f"{free_bytes / 1e9:.1f} GB free", free_bytes >= _NEEDED_HOST_BYTES, advice)


def _sample(photos: Path) -> Fact:
    advice = "Give a capture: --sample FOLDER. The shipped one is in samples/ of the source tree."
    return Fact("sample", str(photos) if photos.exists() else f"nothing at {photos}", photos.exists(), advice)


def _engine() -> Fact:
    try:
        return Fact("engine", engine_named(ENGINE).name)
    except BadRecipe as problem:
        advice = f"This version of Objectscan has no engine '{ENGINE}' yet: install a newer one."
        return Fact("engine", problem.message.rstrip("."), False, advice)


def _tried(
    collection: str, photos: Path, out: Path, settings: Settings, output: Output
) -> tuple[Asset, list[Fact]]:
    conditions = "trellis" if collection == "trellis" else "reconviagen"
    recipe = recipe_for(_PRESET, {"engine": ENGINE, "generative.conditions": conditions})
    use_threads(settings)
    began = time.perf_counter()
    with Display(pipeline.stage_shares(recipe), output) as display, StopRequest() as stop:
        asset = pipeline.reconstruct(
            photos, recipe, out, settings=settings, overwrite=True, report=display.report,
            cancelled=stop.is_made,
        )  # fmt: skip
    facts = [Fact("time", f"{time.perf_counter() - began:.0f} s"), *_gpu_peak()]
    return asset, [*facts, Fact("model", str(asset.model)), Fact("quality", asset.evidence.verdict.grade)]


def _gpu_peak() -> list[Fact]:
    import torch

    if not torch.cuda.is_available():
        return []
    return [Fact("gpu peak", f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB")]


def _reasons(asset: Asset) -> list[str]:
    """Why a finished result is not acceptable."""
    verdict = asset.evidence.verdict
    return [f"the quality of the sample is low: {verdict.reason}"] if verdict.grade == "low" else []


def _tell(fact: Fact, output: Output) -> None:
    text = f"{'ok ' if fact.ok else '!! '} {fact.name:<20} {fact.value}"
    output.event("fact", asdict(fact), text if fact.ok else f"{text}\n    {fact.advice}")


def _tell_verdict(reasons: list[str], output: Output) -> None:
    verdict = "not accepted" if reasons else "accepted"
    text = (
        f"{verdict}: {'; '.join(reasons)}" if reasons else f"{verdict}: the engine works with these weights"
    )
    output.event("verdict", {"verdict": verdict, "reasons": reasons}, text)
