"""`objectscan check`: may this mesh file be delivered?"""

from __future__ import annotations

from pathlib import Path

from objectscan.cli.output import Output
from objectscan.errors import BadMesh
from objectscan.mesh.check import check_mesh_file

_WORDS = {"pass": "nothing to report", "warn": "usable, with reservations", "fail": "should not be delivered"}


def run(path: Path, *, output: Output) -> None:
    """Tell every finding and the verdict.

    Raises:
        BadMesh: The verdict is `fail`.
    """
    if not path.is_file():
        raise BadMesh(f"There is no file {path}.", hint="Give a GLB, glTF, OBJ, PLY or STL file.")
    judged = check_mesh_file(path)
    for finding in judged.findings:
        output.finding(finding)
    values = {"verdict": judged.verdict, "reasons": list(judged.reasons), "facts": dict(judged.facts)}
    output.event("verdict", values, f"{judged.verdict}: {_WORDS[judged.verdict]}")
    if judged.verdict == "fail":
        reasons = ", ".join(judged.reasons)
        raise BadMesh(
            f"{path.name} should not be delivered: {reasons}.", hint="docs/findings.md explains the codes."
        )
