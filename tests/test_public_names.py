"""The public names: few, listed, loaded on first use."""

from __future__ import annotations

import importlib

import pytest

import objectscan

PUBLIC = {
    "Asset",
    "Camera",
    "Capture",
    "ObjectscanError",
    "PRESETS",
    "Recipe",
    "Reconstruction",
    "View",
    "ingest",
    "recipe_for",
    "reconstruct",
    "settings_from",
    "version",
}
"""A change here is a change for users: it belongs into CHANGELOG.md."""


def test_the_public_names_are_these():
    assert set(objectscan.__all__) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_public_name_is_there_and_says_what_it_is(name: str):
    value = getattr(objectscan, name)
    if name != "PRESETS":  # a value
        assert value.__doc__ and value.__doc__.strip()
        assert value.__name__ == name


def test_dir_lists_the_public_names():
    assert set(objectscan.__all__) <= set(dir(objectscan))


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = objectscan.no_such_name


def test_star_import_gives_the_public_names():
    names: dict[str, object] = {}
    exec("from objectscan import *", names)
    assert set(names) - {"__builtins__"} == PUBLIC


@pytest.mark.parametrize("package", ["capture", "render", "report"])
def test_names_that_packages_export_exist(package: str):
    module = importlib.import_module(f"objectscan.{package}")
    assert all(hasattr(module, name) for name in module.__all__)


def test_the_version_is_that_of_the_project_file():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert objectscan.version() == project["version"]
