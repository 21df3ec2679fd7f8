"""Whether a mesh file may be delivered, and if not without reservations, why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from objectscan.errors import BadMesh
from objectscan.mesh.check_look import check_look
from objectscan.mesh.check_surface import check_surface
from objectscan.mesh.load import LoadedMesh, load_mesh
from objectscan.types import Finding


@dataclass(frozen=True, slots=True)
class MeshVerdict:
    """What is wrong with a mesh file, as findings whose codes docs/findings.md explains."""

    findings: tuple[Finding, ...]
    facts: Mapping[str, float]
    """Measured numbers by name."""

    @property
    def verdict(self) -> Literal["pass", "warn", "fail"]:
        """`pass`: deliver; `warn`: deliver and list the reasons; `fail`: don't deliver, or repair first."""
        severities = {finding.severity for finding in self.findings}
        return "fail" if "error" in severities else "warn" if "warning" in severities else "pass"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Codes of the findings: file, surface, texture layout, texture, material."""
        return tuple(finding.code for finding in self.findings)


def check_mesh_file(path: Path) -> MeshVerdict:
    """Load a file and judge it without photos: container, surface, texture layout, texture, material.

    Never raises for a bad file. 100,000 faces take a few seconds.
    """
    try:
        loaded = load_mesh(path)
    except BadMesh as error:
        return MeshVerdict((Finding(str(error.details["reason"]), "error", str(error)),), {})
    return check_mesh(loaded)


def check_mesh(loaded: LoadedMesh) -> MeshVerdict:
    """Judge a mesh that is in memory."""
    mesh = loaded.mesh
    if not len(mesh.faces):
        message = f"The file has {len(mesh.vertices)} points and no faces: it is no surface."
        return MeshVerdict((Finding("no_faces", "error", message),), {"vertices": float(len(mesh.vertices))})
    broken = int((~np.isfinite(mesh.vertices)).any(axis=1).sum())
    if broken:
        message = f"{broken} of {len(mesh.vertices)} vertices are not finite. Check the step that made them."
        return MeshVerdict((Finding("non_finite", "error", message),), {"non_finite_vertices": float(broken)})
    surface = check_surface(mesh, is_mirrored=loaded.is_mirrored)
    look = check_look(loaded, surface.is_kept)
    return MeshVerdict((*surface.findings, *look.findings), {**surface.facts, **look.facts})
