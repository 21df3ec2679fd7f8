"""Objectscan: photographs of an object in, a textured PBR mesh with honest evidence out.

Names are loaded when they are first used: importing the package takes no torch and a fraction of a second.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # so that type checkers and editors see what `__getattr__` gives
    from objectscan.capture import ingest
    from objectscan.errors import ObjectscanError
    from objectscan.pipeline import Asset, reconstruct
    from objectscan.recipes import PRESETS, Recipe, recipe_for
    from objectscan.settings import settings_from
    from objectscan.types import Camera, Capture, Reconstruction, View

_HOME = {
    "Asset": "pipeline",
    "Camera": "types",
    "Capture": "types",
    "ObjectscanError": "errors",
    "PRESETS": "recipes",
    "Recipe": "recipes",
    "Reconstruction": "types",
    "View": "types",
    "ingest": "capture",
    "recipe_for": "recipes",
    "reconstruct": "pipeline",
    "settings_from": "settings",
}
__all__ = [
    "PRESETS",
    "Asset",
    "Camera",
    "Capture",
    "ObjectscanError",
    "Recipe",
    "Reconstruction",
    "View",
    "ingest",
    "recipe_for",
    "reconstruct",
    "settings_from",
    "version",
]


def version() -> str:
    """The installed version, or 0+unknown in a plain source tree."""
    from importlib import metadata

    try:
        return metadata.version("objectscan")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'objectscan' has no attribute '{name}'")
    return getattr(importlib.import_module(f"objectscan.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
