"""What `engine = auto` stands for: the facts about photos and weights here, put before `engines.choice`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

from objectscan.capture.plain import solve_summary
from objectscan.engines.choice import EngineChoice, PhotoSupport, choose_engine, largest_gap_deg
from objectscan.engines.reconviagen.catalogue import collections_here
from objectscan.errors import CamerasNotFound, InputError, MissingWeights, ReconstructionError, TooFewViews
from objectscan.recipes import Recipe
from objectscan.settings import Settings
from objectscan.types import Capture, Finding, Progress, ProgressFn
from objectscan.weights.folder import models_folder
from objectscan.weights.model import Collection

AUTO = "auto"
STAGE = "engine"
"""Of the one message that tells the choice: `ENGINE: REASON`."""
UNREGISTRABLE = (CamerasNotFound, TooFewViews)
"""Why plain photos have no cameras, though their pixels may be good enough to generate from."""


def decided(
    recipe: Recipe, capture: Capture, photos: Path, settings: Settings, report: ProgressFn
) -> tuple[Recipe, Capture]:
    """The recipe with an engine, and the capture with a finding that tells why it is this one.

    Args:
        recipe: Returned as it is unless its engine is `auto`.
        capture: What was read from `photos`.
        photos: Folder or file of the capture; if cameras were solved there, their grade counts.
        settings: Where the weights are.
        report: Told the choice before the engine begins.

    Raises:
        MissingWeights: Neither engine can do it; says what to install and how to photograph.
    """
    if recipe.engine != AUTO:
        return recipe, capture
    choice = choose_engine(
        _support(capture, photos), _weights(recipe, settings), commercial=_is_commercial(recipe)
    )
    report(Progress(STAGE, 1.0, f"{choice.engine}: {choice.reason}"))
    words = f"The engine '{choice.engine}' was chosen: {choice.reason}."
    finding = Finding("engine_chosen", "info", words)
    return _with(recipe, choice), replace(capture, findings=(*capture.findings, finding))


def require_generator(recipe: Recipe, problem: InputError | ReconstructionError, settings: Settings) -> None:
    """Let plain photos without cameras pass if `auto` can generate from them.

    Raises:
        CamerasNotFound, TooFewViews: `problem`, with a hint on weights if `auto` was asked for.
    """
    if recipe.engine != AUTO:
        raise problem
    try:
        choose_engine(
            PhotoSupport(photos=0, registered=0, cameras="none"), _weights(recipe, settings),
            commercial=_is_commercial(recipe),
        )  # fmt: skip
    except MissingWeights as missing:
        wanted = missing.details["wanted"]
        hint = f"{problem.hint} Or let the object be generated, which needs no cameras: install weights with "
        hint += f"`objectscan models pull {wanted}` (docs/generative-weights.md)."
        raise type(problem)(problem.message, hint=hint.strip(), details=problem.details) from problem


def _support(capture: Capture, photos: Path) -> PhotoSupport:
    count = len(capture.views)
    if not capture.cameras_known:
        return PhotoSupport(photos=count, registered=0, cameras="none")
    given, grade = solve_summary(photos) or (count, "given")
    return PhotoSupport(given, count, grade, largest_gap_deg(capture))


def _weights(recipe: Recipe, settings: Settings) -> tuple[Collection, ...]:
    return collections_here(models_folder(settings, os.environ))


def _is_commercial(recipe: Recipe) -> bool:
    """Who asks for the permissive weights by name does not want others."""
    return recipe.generative.conditions == "trellis"


def _with(recipe: Recipe, choice: EngineChoice) -> Recipe:
    if choice.collection is None:
        return replace(recipe, engine=choice.engine)
    conditions: Literal["reconviagen", "trellis"]
    conditions = "trellis" if choice.collection == "trellis" else "reconviagen"
    generative = replace(recipe.generative, conditions=conditions)
    return replace(recipe, engine=choice.engine, generative=generative)
