"""`objectscan reconstruct`: photos in, model and report out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from objectscan import pipeline
from objectscan.capture.plain import is_plain
from objectscan.cli.display import Display
from objectscan.cli.interrupt import StopRequest
from objectscan.cli.machine import use_threads
from objectscan.cli.mask import parse_box
from objectscan.cli.output import Output
from objectscan.errors import BadRecipe
from objectscan.recipes import Recipe, recipe_for
from objectscan.settings import Settings


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command's options ask for."""

    preset: str
    engine: str
    """A name, or `auto`."""
    changes: tuple[str, ...]
    """NAME=VALUE, values as JSON."""
    seed: int
    overwrite: bool
    threads: int | None

    def recipe(self) -> Recipe:
        """The preset with what `--engine` and `--set` change.

        Raises:
            BadRecipe: There is no such preset, engine or option, or a value does not fit.
        """
        overrides = dict(_change(text) for text in self.changes)
        if self.engine != "auto" or "engine" not in overrides:
            overrides["engine"] = self.engine
        recipe = recipe_for(self.preset, overrides)
        pipeline.stage_shares(recipe)  # refuses an unknown engine before any photo is read
        return recipe


def mask_changes(box: str | None, *, no_mask: bool) -> tuple[str, ...]:
    """`--box` and `--no-mask` as changes of the recipe.

    Raises:
        InputError: The box is not four numbers.
    """
    changes = [] if box is None else [f"masks.box={json.dumps(parse_box(box))}"]
    return (*changes, *(["masks.make=false"] if no_mask else []))


def run(photos: Path, out: Path, choice: Choice, *, settings: Settings, output: Output) -> None:
    """Run the whole pipeline."""
    recipe = choice.recipe()
    use_threads(settings, choice.threads)
    shares = pipeline.stage_shares(recipe, plain=is_plain(photos))
    with Display(shares, output) as display, StopRequest() as stop:
        asset = pipeline.reconstruct(
            photos, recipe, out, settings=settings, seed=choice.seed, overwrite=choice.overwrite,
            report=display.report, cancelled=stop.is_made,
        )  # fmt: skip
    tell(asset, output)


def tell(asset: pipeline.Asset, output: Output) -> None:
    """Tell what was delivered."""
    for finding in asset.evidence.warnings:
        output.finding(finding)
    verdict = asset.evidence.verdict
    page = asset.report.with_suffix(".html")
    values = {
        "grade": verdict.grade, "score": verdict.score, "reason": verdict.reason, "folder": str(asset.folder),
        "model": str(asset.model), "report": str(asset.report), "page": str(page),
    }  # fmt: skip
    text = f"Quality {verdict.grade}: {verdict.reason}\nModel   {asset.model}\nReport  {page}"
    output.event("done", values, text)


def _change(text: str) -> tuple[str, Any]:
    name, found, value = text.partition("=")
    if not found:
        hint = "Write --set NAME=VALUE, e.g. budget.faces=5000."
        raise BadRecipe(f"'--set {text}' has no value.", hint=hint)
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
