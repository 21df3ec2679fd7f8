from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from objectscan.capture import ImageLimits
from objectscan.errors import InputError
from objectscan.settings import DEFAULT_SETTINGS, FILE_VARIABLE, SETTINGS, settings_from

_PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def test_the_page_lists_every_setting_with_its_default_unit_and_words():
    text = _PAGE.read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[7:]]
    declared = [
        [f"`{setting.name}`", f"`{setting.variable}`", str(setting.default), setting.unit, setting.help]
        for setting in SETTINGS
    ]
    assert rows == declared
    assert FILE_VARIABLE in text


def test_nothing_set_gives_the_defaults_and_those_of_the_capture_stage():
    settings = settings_from({"PATH": "/bin"})
    assert settings.values == DEFAULT_SETTINGS.values
    assert settings.image_limits() == asdict(ImageLimits())
    assert settings.threads >= 1


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("max_views = 50\nmax_aspect = 5\nthreads = 3\n")
    settings = settings_from({FILE_VARIABLE: str(file), "OBJECTSCAN_MAX_VIEWS": "20"})
    assert (settings["max_views"], settings["max_aspect"], settings.threads) == (20, 5.0, 3)
    assert settings["max_pixels"] == 60_000_000


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("OBJECTSCAN_MAX_VIEWS", "many", "OBJECTSCAN_MAX_VIEWS is 'many', not a whole number"),
        ("OBJECTSCAN_MAX_VIEWS", "0", "from 1 up"),
        ("OBJECTSCAN_MEMORY_SHARE", "1.5", "between 0 and 1"),
        ("OBJECTSCAN_MEMORY_SHARE", "nan", "between 0 and 1"),
        ("OBJECTSCAN_THREAD", "2", "Did you mean 'OBJECTSCAN_THREADS'"),
    ],
)
def test_a_wrong_variable_is_named_with_what_would_be_right(variable, text, words):
    with pytest.raises(InputError, match=re.escape(words)):
        settings_from({variable: text})


@pytest.mark.parametrize(
    "text", ["max_views = ", "max_view = 3", "max_views = true", "max_views = 'x'", "[a]\nb=1"]
)
def test_a_wrong_file_is_refused(tmp_path, text):
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(InputError):
        settings_from({FILE_VARIABLE: str(file)})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        settings_from({FILE_VARIABLE: str(tmp_path / "nowhere.toml")})
