"""All that a job may ask for, read off the recipes themselves: names, kinds, defaults, words, limits."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from objectscan import recipes
from objectscan.service import schemas

_PRESETS = {
    "preview": ("Preview", "A first look: coarse shape, small texture.", 60.0),
    "standard": ("Standard", "20,000 triangles and a 1024 pixel texture: fit for the web.", 180.0),
    "high": ("High", "100,000 triangles and a 2048 pixel texture, for close looks.", 1800.0),
}
"""(title, description, seconds with 40 photos): the first two on two processor cores, the third on a GPU."""
_NAMES = {bool: "bool", int: "int", float: "float", str: "str", tuple: "list"}
_LEAST = {"generative.photos": 1.0, "generative.structure_steps": 1.0, "generative.latent_steps": 1.0}


@functools.cache
def option_table() -> schemas.Options:
    """Presets and options. Defaults are those of `standard`."""
    presets = {
        name: schemas.Preset(title=title, description=words, typical_s=seconds)
        for name, (title, words, seconds) in _PRESETS.items()
    }
    return schemas.Options(presets=presets, options=list(_options(recipes.STANDARD)))


def _options(group: Any, path: str = "") -> Iterator[schemas.Option]:
    hints = typing.get_type_hints(type(group))
    words = _field_words(type(group))
    for field in dataclasses.fields(group):
        name, value = f"{path}{field.name}", getattr(group, field.name)
        if dataclasses.is_dataclass(value):
            yield from _options(value, f"{name}.")
        elif name != "preset":
            yield _option(name, value, hints[field.name], words.get(field.name, ""))


def _option(name: str, value: Any, hint: Any, words: str) -> schemas.Option:
    kind = _NAMES[type(value)]
    is_choice = typing.get_origin(hint) is Literal
    is_number = kind in ("int", "float")
    return schemas.Option(
        name=name, type=kind, default=list(value) if kind == "list" else value,  # type: ignore[arg-type]
        help=words or name.rpartition(".")[2].replace("_", " ").capitalize() + ".",
        least=_LEAST.get(name, 0.0) if is_number else None,
        choices=list(typing.get_args(hint)) if is_choice else None,
    )  # fmt: skip


def _field_words(kind: type[Any]) -> Mapping[str, str]:
    """The texts that stand below a class's fields in its source."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for line, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and isinstance(after, ast.Expr)
        ):
            value = after.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[line.target.id] = " ".join(value.value.split())
    return found
