"""What the documentation says is there, and what is there is documented."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import typer

import objectscan
from objectscan import errors, recipes
from objectscan.cli.main import app
from objectscan.errors import ObjectscanError
from objectscan.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "objectscan"
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]


def rows(page: str) -> dict[str, list[str]]:
    """Table rows by the code in their first cell."""
    found = {}
    for line in (ROOT / "docs" / page).read_text("utf-8").splitlines():
        # A bar inside code does not end a cell.
        protected = re.sub(r"`[^`]*`", lambda code: code.group().replace("|", "\0"), line)
        cells = [cell.strip().replace("\0", "|") for cell in protected.strip().strip("|").split("|")]
        if line.startswith("| `"):
            found[cells[0].strip("`")] = cells
    return found


def error_classes() -> list[type[ObjectscanError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, ObjectscanError)
    ]


def make_targets() -> dict[str, str]:
    """Recipe lines by target."""
    found: dict[str, str] = {}
    target = ""
    for line in (ROOT / "Makefile").read_text().splitlines():
        head = re.match(r"([a-z][a-z.-]*):(?!=)", line)
        if head:
            target = head.group(1)
            found[target] = ""
        elif line.startswith("\t") and target:
            found[target] += line.strip() + "\n"
    return found


def test_each_setting_is_documented_as_it_is():
    documented = rows("settings.md")
    assert list(documented) == [setting.name for setting in SETTINGS]
    for setting in SETTINGS:
        _, variable, default, unit, words = documented[setting.name]
        assert variable == f"`{setting.variable}`"
        assert default == str(setting.default)
        assert (unit, words) == (setting.unit, setting.help)


def test_each_error_is_documented_with_its_exit_code():
    documented = rows("errors.md")
    classes = {kind.code: kind for kind in error_classes()}
    assert set(documented) == set(classes)
    for code, (_, exit_code, name, *_) in documented.items():
        assert int(exit_code) == classes[code].exit_code
        assert name == f"`{classes[code].__name__}`"


def test_error_codes_are_unique():
    codes = [kind.code for kind in error_classes()]
    assert len(codes) == len(set(codes))


def test_the_tree_on_top_of_the_errors_shows_each_below_its_base():
    drawn: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([ │├└]*)([A-Z][A-Za-z]+)  ", line)
        if match:
            depth = len(match.group(1))
            above[depth] = match.group(2)
            base = max((column for column in above if column < depth), default=None)
            drawn[match.group(2)] = "" if base is None else above[base]
    bases = {kind.__name__: kind.__bases__[0].__name__ for kind in error_classes()}
    assert drawn == {**bases, "ObjectscanError": ""}


def test_the_tree_states_the_exit_codes():
    text = errors.__doc__ or ""
    stated = dict(re.findall(r"([A-Z][A-Za-z]+) .*exit (\d+)", text))
    assert stated == {name: str(getattr(errors, name).exit_code) for name in stated}
    assert {kind.exit_code for kind in error_classes()} - {1} == {int(code) for code in stated.values()}


def verbs() -> dict[str, object]:
    command = typer.main.get_command(app)
    return dict(command.commands)  # type: ignore[attr-defined]


def test_each_verb_is_documented_and_each_documented_verb_exists():
    assert {name.split()[0] for name in rows("cli.md") if name.split()[0].islower() and "." not in name} - {
        "previews/",
        "capture/",
        "stages/",
    } == set(verbs())
    for group, verb in verbs().items():
        named = {name.split()[1] for name in rows("cli.md") if name.split()[0] == group and " " in name}
        assert not hasattr(verb, "commands") or named == set(verb.commands)


def test_options_that_the_page_names_belong_to_their_verb():
    for title, (_, words) in rows("cli.md").items():
        verb = verbs().get(title.split()[0])
        if verb is None:
            continue
        verb = verb.commands[title.split()[1]] if hasattr(verb, "commands") else verb
        known = {option for parameter in verb.params for option in parameter.opts}  # type: ignore[attr-defined]
        named = set(re.findall(r"(?<![\w-])--?[a-z]+(?:-[a-z]+)*", f"{title} {words}"))
        assert named <= known, title


def finding_codes() -> set[str]:
    """Codes that the library gives as literals: `Finding("code", ...)` and functions that end in one."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            values = [*node.args[:1], *[word.value for word in node.keywords if word.arg == "code"]]
            if name in ("Finding", "photo_finding", "_warning", "_error", "_finding"):
                found |= {v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)}
    return found


def test_each_finding_is_documented():
    codes = finding_codes()
    assert {"photo_dropped", "surface_unseen", "simple_layout"} <= codes  # the search finds some
    assert codes - set(rows("findings.md")) == set()


def test_the_two_commands_of_the_readme_are_verbs_of_the_makefile():
    readme = (ROOT / "README.md").read_text("utf-8")
    section = readme.split("## From nothing to a model")[1].split("\n## ")[0]
    commands = re.findall(r"^    (\S.*?)(?:  +#.*)?$", section, flags=re.M)
    assert commands == ["make run", "make test"]
    assert {"run", "test"} <= set(make_targets())


def test_make_run_reconstructs_a_sample_that_is_there():
    recipe = make_targets()["run"]
    assert "objectscan reconstruct $(SAMPLE) -o $(OUT)" in recipe
    sample = re.search(r"^SAMPLE := (\S+)$", (ROOT / "Makefile").read_text(), flags=re.M)
    assert sample and (ROOT / sample.group(1)).is_dir()
    preset = re.search(r"^PRESET \?= (\S+)$", (ROOT / "Makefile").read_text(), flags=re.M)
    assert preset and preset.group(1) in recipes.PRESETS


def test_continuous_integration_calls_the_test_command_of_the_readme():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "make test" in lines
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_make_verb_that_a_page_names_exists(page: Path):
    text = page.read_text("utf-8")
    named = set(re.findall(r"^    make ([a-z]+)", text, flags=re.M)) | set(
        re.findall(r"`make ([a-z]+)", text)
    )
    assert named <= set(make_targets())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path):
    text = page.read_text("utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []
    named = re.findall(r"(?<![\w/])((?:benchmarks|samples|src/objectscan|tests)/[\w./-]+\.\w+)", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_each_verb_of_the_makefile_is_phony_or_a_file():
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.M)
    assert phony and set(phony.group(1).split()) == {name for name in make_targets() if name.islower()}


def test_architecture_pages_are_numbered_without_gaps_and_have_a_diagram():
    pages = sorted((ROOT / "docs" / "architecture").glob("*.md"))
    assert [int(page.name[:2]) for page in pages] == list(range(len(pages)))
    for page in pages:
        assert re.search(r"^(    |```).*", page.read_text("utf-8"), flags=re.M), page.name


def test_decisions_are_numbered_dated_and_short():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text("utf-8")
        assert re.match(r"# .*\(20\d\d-\d\d-\d\d\)", text), page.name
        assert len(text) < 4000, page.name


def test_the_library_example_of_the_readme_uses_public_names():
    readme = (ROOT / "README.md").read_text("utf-8")
    code = "\n".join(
        line[4:] for line in readme.splitlines() if re.match(r"    (from|import|asset|print)\b", line)
    )
    tree = ast.parse(code)
    imported = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "objectscan"
        for alias in node.names
    ]
    assert imported and set(imported) <= set(objectscan.__all__)


def pins(name: str) -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines)
    return dict(line.split("==") for line in lines)


def test_locks_pin_every_dependency_and_no_cuda_build():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run, develop = pins("requirements.txt"), pins("requirements-dev.txt")

    def names(lines: list[str]) -> set[str]:
        return {re.split(r"[<>=\[ ;]", line)[0].lower().replace("_", "-") for line in lines}

    assert names(project["dependencies"]) <= set(run)
    assert names(project["optional-dependencies"]["dev"]) <= set(develop)
    assert run.items() <= develop.items()
    ours = {"nvidia-cuda-nvrtc", "nvidia-ml-py"}  # a compiler for tests; a reader of a GPU's state
    assert not [name for name in {*develop} - ours if name.startswith(("nvidia", "triton", "cuda"))]


def test_the_changelog_has_a_section_for_what_comes_next():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "## [Unreleased]" in text
    kinds = set(re.findall(r"^### (\w+)", text, flags=re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
