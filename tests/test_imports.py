"""Imports run in one direction, and importing the package costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
PACKAGE = SOURCE / "objectscan"

BASE = {"types", "errors"}
ALLOWED: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "settings": BASE,
    "recipes": BASE,
    "render": BASE,
    "mesh": BASE | {"render"},
    "capture": BASE | {"settings", "recipes"},
    "weights": BASE | {"settings"},
    "engines": BASE | {"settings", "recipes", "mesh", "render", "weights"},
    "report": BASE | {"mesh"},
    "memory": BASE,
    "archive": BASE,
    "stages": BASE,
    "workspace": BASE | {"archive"},
    "delivery": BASE | {"mesh", "render", "report", "recipes", "workspace", "stages"},
    "storage": BASE,
    "client": BASE,
    "jobs": BASE | {"settings", "recipes", "render", "capture", "engines", "stages", "pipeline", "storage"},
    "service": BASE | {"settings", "recipes", "capture", "jobs", "storage"},
    "selection": BASE | {"settings", "recipes", "capture", "engines", "weights"},
    "pipeline": BASE
    | {"settings", "recipes", "capture", "engines", "mesh", "render", "report", "memory", "archive", "stages"}
    | {"workspace", "delivery", "selection"},
}
"""What each part may import from the others. `cli` may import everything, nothing may import `cli`."""


def part_of(path: Path, package: Path) -> str:
    """The file's top-level part, such as `mesh` or `types`."""
    return path.relative_to(package).with_suffix("").parts[0]


def parts_imported(path: Path, package: Path) -> set[str]:
    """Parts of the package that a file imports anywhere in it, inside functions too."""
    inside = path.relative_to(package.parent).with_suffix("").parts
    folder = inside if path.stem == "__init__" else inside[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(folder[: len(folder) - node.level + 1]) if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{origin}.{alias.name}" for alias in node.names]
        for name in names:
            words = name.split(".")
            if words[0] == package.name and len(words) > 1:
                is_part = (package / words[1]).is_dir() or (package / f"{words[1]}.py").is_file()
                found |= {words[1]} if is_part else set()
    return found


def violations(package: Path) -> list[str]:
    """`file imports part` for each import against the direction."""
    wrong = []
    for path in sorted(package.rglob("*.py")):
        part = part_of(path, package)
        if part in ("cli", "__init__"):
            continue
        extra = parts_imported(path, package) - ALLOWED[part] - {part}
        wrong += [f"{path.relative_to(package)} imports {other}" for other in sorted(extra)]
    return wrong


def test_imports_run_in_one_direction():
    assert violations(PACKAGE) == []


def test_every_part_has_its_place_in_the_order():
    parts = {part_of(path, PACKAGE) for path in PACKAGE.rglob("*.py")} - {"__init__", "cli"}
    assert parts == set(ALLOWED)


@pytest.mark.parametrize(
    "line",
    [
        "import objectscan.settings",
        "from objectscan.settings import SETTINGS",
        "from objectscan import settings",
        "from ..settings import SETTINGS",
        "from .. import settings",
        "def later():\n    from objectscan import settings",
    ],
)
def test_an_import_against_the_direction_is_found(tmp_path: Path, line: str):
    package = tmp_path / "objectscan"
    (package / "mesh").mkdir(parents=True)
    (package / "settings.py").write_text("")
    (package / "mesh" / "bad.py").write_text(line + "\n")
    assert violations(package) == ["mesh/bad.py imports settings"]


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    env = {"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stdout


HEAVY = ["torch", "numba", "scipy", "cv2", "numpy", "trimesh", "rich", "typer"]


def test_importing_the_package_takes_less_than_0_3_s_and_loads_nothing_heavy():
    code = f"""
import sys, time
began = time.process_time()
import objectscan
print(time.process_time() - began, *[name for name in {HEAVY} if name in sys.modules])
"""
    answers = [run_python(code).split() for _ in range(3)]
    assert all(len(answer) == 1 for answer in answers), answers[0]
    assert min(float(answer[0]) for answer in answers) < 0.3


@pytest.mark.parametrize(
    "module",
    ["capture", "settings", "recipes", "errors", "types", "cli.main", "cli.model_verbs", "service.app"],
)
def test_a_part_that_computes_no_gradients_loads_no_torch(module: str):
    loaded = run_python(f"import sys, objectscan.{module}; print('torch' in sys.modules)")
    assert loaded.strip() == "False"
