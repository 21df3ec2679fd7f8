"""The output folder of one job: what it was made from, which stages are done, and their results.

    OUT/job.json             recipe, seed, version, capture; a run resumes only if they are the same
    OUT/model.glb report.json report.html previews/
    OUT/progress.webp        the model while it grows
    OUT/stages/NAME.npz      arrays of a finished stage or checkpoint, with the job's key inside
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from objectscan.errors import BadWorkspace
from objectscan.types import (
    Camera,
    Environment,
    Finding,
    Material,
    Mesh,
    PassReport,
    Reconstruction,
    UvMap,
)

JOB_FILE = "job.json"
_OWN_NAMES = {
    JOB_FILE, "stages", "previews", "model.glb", "report.json", "report.html", "progress.webp", "error.log", ".lock",
}  # fmt: skip


def content_hash(path: Path) -> str:
    """Fingerprint of a file or of all files in a folder: names, sizes and times of change."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    facts = [(str(p.relative_to(path.parent)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


class Workspace:
    """An output folder that belongs to one job. Nothing is written outside it."""

    def __init__(self, folder: Path, key: str):
        """Use `open_workspace`."""
        self.folder, self._key = folder, key
        self.stages = folder / "stages"

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Arrays of a finished stage of this very job, or None."""
        try:
            with np.load(self.stages / f"{name}.npz", allow_pickle=False) as arrays:
                found = dict(arrays)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None
        return found if str(found.pop("job_key", "")) == self._key else None

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under a name, whole or not at all."""
        self.stages.mkdir(exist_ok=True)
        part = self.stages / f"{name}.part"
        with part.open("wb") as file:
            np.savez(file, job_key=np.array(self._key), **arrays)  # type: ignore[arg-type]
        os.replace(part, self.stages / f"{name}.npz")

    def write(self, name: str, content: bytes) -> Path:
        """Put a file into the folder, whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_bytes(content)
        os.replace(part, path)
        return path


@contextlib.contextmanager
def open_workspace(folder: Path, job: Mapping[str, Any]) -> Iterator[Workspace]:
    """Make or reopen the output folder of a job, alone.

    If it holds an earlier run of the same job, finished stages are used again; another job's are replaced.

    Raises:
        BadWorkspace: The folder holds something else, is in use, or can't be written.
    """
    foreign = sorted(p.name for p in folder.iterdir() if p.name not in _OWN_NAMES) if folder.is_dir() else []
    if foreign or (folder.exists() and not folder.is_dir()):
        raise BadWorkspace(
            f"{folder} holds other files, such as '{(foreign or [folder.name])[0]}'.",
            hint="Choose a new folder, or one of an earlier run.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as problem:
        raise BadWorkspace(f"{folder} can't be written: {problem.strerror}.", hint="Choose another.") from problem
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise BadWorkspace(f"Another run is using {folder}.", hint="Wait for it, or choose another.") from problem
        text = json.dumps(job, indent=1, sort_keys=True)
        workspace = Workspace(folder, hashlib.sha256(text.encode()).hexdigest())
        workspace.write(JOB_FILE, (text + "\n").encode())
        yield workspace


def reconstruction_arrays(result: Reconstruction) -> dict[str, np.ndarray]:
    """A reconstruction as arrays; lossless."""
    material = result.material
    cameras = {name: _camera_values(camera) for name, camera in result.cameras.items()}
    text = {
        "passes": [asdict(p) | {"facts": dict(p.facts)} for p in result.passes],
        "findings": [asdict(finding) for finding in result.findings],
        "cameras": cameras,
    }
    arrays = {
        "vertices": result.mesh.vertices, "faces": result.mesh.faces, "uv": result.uv.coordinates,
        "uv_faces": result.uv.faces, "base_color_srgb": material.base_color_srgb,
        "occlusion_roughness_metallic": material.occlusion_roughness_metallic,
        "radiance_linear": result.environment.radiance_linear, "invented_faces": result.invented_faces,
        "text": np.array(json.dumps(text)),
    }  # fmt: skip
    return arrays if material.normal is None else {**arrays, "normal": material.normal}


def reconstruction_from(arrays: Mapping[str, np.ndarray]) -> Reconstruction:
    """The inverse of `reconstruction_arrays`."""
    text = json.loads(str(arrays["text"]))
    return Reconstruction(
        mesh=Mesh(arrays["vertices"], arrays["faces"]),
        uv=UvMap(arrays["uv"], arrays["uv_faces"]),
        material=Material(
            arrays["base_color_srgb"], arrays["occlusion_roughness_metallic"], arrays.get("normal")
        ),
        environment=Environment(arrays["radiance_linear"]),
        passes=tuple(PassReport(**values) for values in text["passes"]),
        cameras={name: _camera_from(values) for name, values in text["cameras"].items()},
        invented_faces=arrays["invented_faces"],
        findings=tuple(Finding(**{**f, "photos": tuple(f["photos"])}) for f in text["findings"]),
    )


def load_result(folder: Path) -> Reconstruction:
    """The reconstruction of a finished output folder.

    Raises:
        BadWorkspace: There is none.
    """
    path = folder / "stages" / "result.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return reconstruction_from(dict(arrays))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as problem:
        raise BadWorkspace(
            f"{folder} holds no finished reconstruction.", hint="Run `objectscan reconstruct CAPTURE -o` into it first."
        ) from problem


def _camera_values(camera: Camera) -> dict[str, Any]:
    return {
        "intrinsics": camera.intrinsics.tolist(),
        "world_from_camera": camera.world_from_camera.tolist(),
        "size": list(camera.size),
    }


def _camera_from(values: Mapping[str, Any]) -> Camera:
    width, height = values["size"]
    return Camera(np.array(values["intrinsics"]), np.array(values["world_from_camera"]), (width, height))
