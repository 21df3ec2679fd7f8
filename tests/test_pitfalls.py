"""docs/pitfalls.md promises nothing without a test that exists or the word `open`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "objectscan"
PAGE = ROOT / "docs" / "pitfalls.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
COMPILERS = ("nvcc", "cpp_extension", "/usr/local/cuda", "CUDA_HOME", "setup.py build_ext")
SHARED_MEMORY = ("multiprocessing", "torch.multiprocessing", "torch.utils.data", "joblib")


def table() -> list[tuple[list[int], str]]:
    """(numbers, whole row) of each row."""
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if re.match(r"\| \d", line)]
    return [([int(number) for number in row.split("|")[1].split(",")], row) for row in rows]


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def missing_tests(page: str) -> list[str]:
    """Tests that a page names and that are not there."""
    missing = []
    for path, name in NAMED.findall(page):
        file = ROOT / path
        if not file.is_file() or name not in functions_of(file):
            missing.append(f"{path}::{name}")
    return missing


def imports_of(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def strings_of(file: Path) -> list[str]:
    """Text that a program can act on: not comments, not docstrings."""
    tree = ast.parse(file.read_text("utf-8"))
    words = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in words
    ]


def test_each_of_the_fifteen_has_a_row():
    numbers = [number for numbers, _ in table() for number in numbers]
    assert sorted(numbers) == list(range(1, 16))


def test_each_row_names_a_test_or_is_open():
    for numbers, row in table():
        assert NAMED.search(row) or "**Open**" in row, numbers


def test_each_named_test_exists():
    assert missing_tests(PAGE.read_text("utf-8")) == []


@pytest.mark.parametrize("name", ["tests/test_docs.py::test_nowhere", "tests/nowhere.py::test_x"])
def test_a_test_that_is_not_there_is_found(name: str):
    assert missing_tests(f"| 1 | x | y | `{name}` |") == [name]


def test_nothing_here_calls_a_compiler_or_a_fixed_path():
    files = sorted(SOURCE.rglob("*.py"))
    found = [
        (file.name, word) for file in files for text in strings_of(file) for word in COMPILERS if word in text
    ]
    assert found == []
    assert not [file.name for file in files if any("cpp_extension" in name for name in imports_of(file))]


def test_there_are_no_submodules():
    assert not (ROOT / ".gitmodules").exists()


def test_nothing_here_needs_shared_memory():
    found = [
        (file.name, name)
        for file in sorted(SOURCE.rglob("*.py"))
        for name in imports_of(file)
        if name.startswith(SHARED_MEMORY)
    ]
    assert found == []
