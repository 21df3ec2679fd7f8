"""Recipes: what to reconstruct and how finely, as frozen values. Presets are values, not files.

A job keeps its fully expanded recipe, so that any result can be repeated. Machine limits are settings.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from objectscan.errors import BadRecipe


@dataclass(frozen=True, slots=True)
class HullOptions:
    """The start: the volume inside all masks."""

    outvoted_views: int = 0
    """How many masks may wrongly exclude a point before it counts as outside."""


@dataclass(frozen=True, slots=True)
class StereoOptions:
    """Depth from photo-consistency between neighbouring views, which carves what silhouettes cannot show."""

    enabled: bool = True
    image_edge_px: int = 384
    """Longer image side at which views are matched."""
    neighbours: int = 4
    """Views that each view is matched with."""


@dataclass(frozen=True, slots=True)
class ShapeOptions:
    """Pass 1: free topology."""

    isosurface: Literal["flexicubes", "dmtet"] = "flexicubes"
    resolutions: tuple[int, ...] = (64, 112)
    """Grid cells along the longest side of the bounds, coarse to fine."""
    image_edges_px: tuple[int, ...] = (192, 384)
    """Longer image side at each level of `resolutions`."""
    steps: tuple[int, ...] = (350, 800)
    """Optimisation steps at each level."""
    views_per_step: int = 4


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """Pass 2: fixed topology; vertices, textures and light together."""

    image_edge_px: int = 512
    steps: int = 300
    views_per_step: int = 2


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """How the object is cut out of plain photos; of no effect on photos that come with cameras."""

    box: tuple[float, ...] = ()
    """Where the object is in every photo: left, top, right, bottom as shares of it. Empty: it is found."""
    make: bool = True
    """Whether masks are made for photos that bring none. If not, such photos are left out."""


@dataclass(frozen=True, slots=True)
class GenerativeOptions:
    """The engine `reconviagen`: what it generates from, and how. Defaults are the published application's."""

    conditions: Literal["reconviagen", "trellis"] = "reconviagen"
    """Which weights: `trellis` may be used commercially and knows no geometry; several photos agree less."""
    photos: int = 16
    """Most photos that are looked at; of more, evenly spaced ones."""
    structure_steps: int = 30
    structure_guidance: float = 7.5
    latent_steps: int = 12
    latent_guidance: float = 7.5
    """Guidance: how strictly the photos are followed; 1 is not at all stricter than learnt."""
    texture_from: Literal["gaussians", "vertices"] = "gaussians"
    """Colours of the decoded Gaussians, or those of the decoded mesh: softer, and one network less."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Size of the delivered asset."""

    faces: int = 20_000
    texture_size_px: int = 1024
    layout_timeout_s: int = 120
    """How long xatlas may lay out the texture; after that a simple layout with more seams is made."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a result, apart from the photos, the seed and the code version."""

    preset: str = "standard"
    engine: Literal["nvdiffrec", "reconviagen", "hybrid", "auto"] = "nvdiffrec"
    """`auto`: by what the photos support and which weights are here; a job keeps what was chosen."""
    masks: MaskOptions = field(default_factory=MaskOptions)
    hull: HullOptions = field(default_factory=HullOptions)
    stereo: StereoOptions = field(default_factory=StereoOptions)
    shape: ShapeOptions = field(default_factory=ShapeOptions)
    refine: RefineOptions = field(default_factory=RefineOptions)
    generative: GenerativeOptions = field(default_factory=GenerativeOptions)
    budget: Budget = field(default_factory=Budget)
    refine_cameras: bool = False
    """Also optimise each view's pose and focal length. Off for exact cameras."""
    hold_out_every: int = 10
    """Every n-th view is kept for evidence and never optimised against; 0 keeps none. Without effect on a
    capture that brings test photos of its own (`capture.hold_out`)."""


STANDARD = Recipe()
PREVIEW = replace(
    STANDARD,
    preset="preview",
    stereo=StereoOptions(image_edge_px=160, neighbours=3),
    shape=ShapeOptions(resolutions=(48, 80), image_edges_px=(128, 256), steps=(120, 200)),
    refine=RefineOptions(image_edge_px=384, steps=100),
    generative=GenerativeOptions(structure_steps=12, photos=8),
    budget=Budget(faces=12_000, texture_size_px=1024),
)
HIGH = replace(
    STANDARD,
    preset="high",
    stereo=StereoOptions(image_edge_px=512, neighbours=6),
    shape=ShapeOptions(resolutions=(64, 96, 144), image_edges_px=(192, 384, 768), steps=(400, 800, 800)),
    refine=RefineOptions(image_edge_px=2048, steps=3000),
    budget=Budget(faces=100_000, texture_size_px=2048),
)
PRESETS: Mapping[str, Recipe] = {recipe.preset: recipe for recipe in (PREVIEW, STANDARD, HIGH)}


def recipe_for(preset: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The preset with some values replaced.

    Args:
        preset: One of `PRESETS`.
        overrides: Dotted option names and values, e.g. `{"budget.faces": 5000}`; lists become tuples.

    Raises:
        BadRecipe: Unknown preset or option; the message names the nearest valid one.
    """
    if preset not in PRESETS:
        raise BadRecipe(f"There is no preset '{preset}'.", hint=_did_you_mean(preset, PRESETS))
    recipe = PRESETS[preset]
    for name, value in (overrides or {}).items():
        recipe = _replaced(recipe, name.split("."), value, name)
    _check_box(recipe.masks.box)
    _check_levels(recipe.shape)
    _check_generative(recipe.generative)
    return recipe


def expanded(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values, for the job record."""
    return dataclasses.asdict(recipe)


def _check_box(box: tuple[float, ...]) -> None:
    if not box:
        return
    if not all(isinstance(value, int | float) for value in box):
        raise BadRecipe(f"masks.box holds {box!r}.", hint="Give four numbers: [0.2, 0.1, 0.8, 0.95].")
    if len(box) == 4 and 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1:
        return
    stated = ",".join(f"{value:g}" for value in box)
    raise BadRecipe(
        f"masks.box is {stated}, not left,top,right,bottom within 0 to 1.",
        hint="Give shares of the photo: --box 0.2,0.1,0.8,0.95",
    )


def _check_levels(shape: ShapeOptions) -> None:
    """The lists of `shape` go together: one value a level in each, at least one level."""
    lists = {name: getattr(shape, name) for name in ("resolutions", "image_edges_px", "steps")}
    for name, values in lists.items():
        if any(not isinstance(value, int) or isinstance(value, bool) or value < 1 for value in values):
            raise BadRecipe(f"shape.{name} is {list(values)}.", hint="Give whole numbers from 1 up.")
    lengths = {len(values) for values in lists.values()}
    if len(lengths) > 1 or 0 in lengths:
        stated = ", ".join(f"shape.{name} {list(values)}" for name, values in lists.items())
        raise BadRecipe(f"The levels don't match: {stated}.", hint="Give each as many values, one a level.")


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """The inverse of `expanded`, for the job record.

    Raises:
        BadRecipe: An option of it is not known any more.
    """
    return recipe_for(STANDARD.preset, dict(_leaves(values)))


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _check_generative(options: GenerativeOptions) -> None:
    for name in ("photos", "structure_steps", "latent_steps"):
        if getattr(options, name) < 1:
            raise BadRecipe(f"generative.{name} is {getattr(options, name)}.", hint="Give at least 1.")
    for name, known in (
        ("conditions", ("reconviagen", "trellis")),
        ("texture_from", ("gaussians", "vertices")),
    ):
        value = getattr(options, name)
        if value not in known:
            raise BadRecipe(f"generative.{name} is '{value}'.", hint=_did_you_mean(value, known))


def _replaced(options: Any, path: list[str], value: Any, full_name: str) -> Any:
    names = [f.name for f in dataclasses.fields(options)]
    if path[0] not in names:
        raise BadRecipe(f"There is no option '{full_name}'.", hint=_did_you_mean(path[0], names))
    current = getattr(options, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(current):
            raise BadRecipe(f"Option '{full_name}' has no parts.", hint=f"Set '{path[0]}' itself.")
        return replace(options, **{path[0]: _replaced(current, path[1:], value, full_name)})
    if dataclasses.is_dataclass(current):
        raise BadRecipe(
            f"Option '{full_name}' is a group.", hint="Set one of its parts, such as 'budget.faces'."
        )
    return replace(options, **{path[0]: _checked(current, value, full_name)})


def _checked(current: Any, value: Any, full_name: str) -> Any:
    value = tuple(value) if isinstance(value, list) else value
    kind = type(current)
    fits = isinstance(value, kind) and isinstance(value, bool) == isinstance(current, bool)
    if not fits:
        raise BadRecipe(
            f"Option '{full_name}' takes {kind.__name__}, not {value!r}.", hint=f"Example: {current!r}."
        )
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        raise BadRecipe(f"Option '{full_name}' is {value}, below 0.", hint=f"Example: {current!r}.")
    return value


def _did_you_mean(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    listed = ", ".join(known)
    return f"Did you mean '{close[0]}'? Known: {listed}." if close else f"Known: {listed}."
