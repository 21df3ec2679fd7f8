"""Khronos' glTF validator for tests, and a look into GLB files that shares no code with the library."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

_FOLDER = Path(__file__).resolve().parents[1] / "validator"
_COUNTS = ("errors", "warnings", "infos", "hints")


def validator_report(path: Path) -> dict[str, Any]:
    """What the validator says about one file: counts of errors, warnings, infos, hints, and messages."""
    _install()
    command = ["node", "validate.mjs", str(Path(path).resolve())]
    run = subprocess.run(command, cwd=_FOLDER, capture_output=True, text=True, timeout=60, check=True)
    (report,) = json.loads(run.stdout).values()
    return report


def validate_glb(path: Path) -> None:
    """Fail the test unless the validator finds nothing at all, not even a hint."""
    report = validator_report(path)
    assert all(report[name] == 0 for name in _COUNTS), "\n".join(report["messages"])


def read_chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    """(JSON document, binary chunk) of a GLB."""
    length = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + length]), data[28 + length :]


def with_document(data: bytes, document: dict[str, Any]) -> bytes:
    """The GLB with another JSON document."""
    binary = read_chunks(data)[1]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    header = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(binary), len(text), 0x4E4F534A)
    return header + text + struct.pack("<II", len(binary), 0x004E4942) + binary


def _install() -> None:
    """`npm ci` once. Without node or network the test is skipped, in CI it fails."""
    if (_FOLDER / "node_modules" / "gltf-validator").is_dir():
        return
    problem = "node or npm is not installed"
    if shutil.which("node") and shutil.which("npm"):
        command = ["npm", "ci", "--no-audit", "--no-fund"]
        run = subprocess.run(command, cwd=_FOLDER, capture_output=True, text=True, timeout=300)
        if run.returncode == 0:
            return
        problem = run.stderr.strip()[-500:]
    unavailable = pytest.fail if os.environ.get("CI") else pytest.skip
    unavailable(f"Khronos' validator is not available: {problem}")
