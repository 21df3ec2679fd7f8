"""Writes solved cameras where other programs and `capture.ingest` read them: transforms.json and COLMAP text.

Below the folder:
    transforms.json      instant-ngp, nerfstudio; intrinsics in each frame, k1, masks
    images/, masks/      photos, and NAME.png for each mask
    sparse/0/*.txt       COLMAP: cameras, images, points
    solve.json           grade, measures and findings (`write_report`)
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import PhotoSet, PlainPhoto, SolvedCameras
from objectscan.capture.solve.colmap_text import colmap_files
from objectscan.errors import BadWorkspace

_OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_PICTURES = (".jpg", ".jpeg", ".png")


def write_solved(
    photos: PhotoSet, solved: SolvedCameras, out: Path, *, masks: Mapping[str, Path] | None = None
) -> Path:
    """Write the photos that have a camera, their cameras and masks.

    Args:
        photos: The set that was solved.
        solved: Its cameras, of any grade but with at least one camera.
        out: Folder, made if missing. Files of an earlier call are replaced, others left alone.
        masks: Mask files by photo name; by default the users' own (`PlainPhoto.mask_path`).

    Returns:
        The transforms.json, written last: a folder that has it is complete.

    Raises:
        BadWorkspace: The folder can't be written.
    """
    placed = placed_photos(photos, solved)
    files = file_names(placed)
    given = {photo.name: photo.mask_path for photo in placed if photo.mask_path} if masks is None else masks
    transforms = out / "transforms.json"
    try:
        transforms.unlink(missing_ok=True)
        for photo in placed:
            _copy(photo.path, out / "images" / files[photo.name])
            if photo.name in given:
                _copy(given[photo.name], out / "masks" / f"{files[photo.name]}.png")
        for name, text in colmap_files(solved, files).items():
            _write(out / "sparse" / "0" / name, text)
        has_mask = {photo.name for photo in placed if photo.name in given}
        _write(transforms, json.dumps(_transforms(solved, files, has_mask), indent=1))
    except OSError as error:
        raise BadWorkspace(
            f"{out} can't be written: {error}.", hint="Free some space or choose another."
        ) from error
    return transforms


def placed_photos(photos: PhotoSet, solved: SolvedCameras) -> tuple[PlainPhoto, ...]:
    """Photos that have a camera; `file_names` of them is how they are called in the capture."""
    return tuple(photo for photo in photos.photos if photo.name in solved.world_from_camera)


def write_report(photos: PhotoSet, solved: SolvedCameras, out: Path) -> Path:
    """Write solve.json: grade, measures and findings, for a refused set too.

    Raises:
        BadWorkspace: The folder can't be written.
    """
    try:
        _write(out / "solve.json", json.dumps(solve_report(photos, solved), indent=1))
    except OSError as error:
        raise BadWorkspace(
            f"{out} can't be written: {error}.", hint="Free some space or choose another."
        ) from error
    return out / "solve.json"


def solve_report(photos: PhotoSet, solved: SolvedCameras) -> dict[str, Any]:
    """Grade, measures and findings as JSON values; measures that are unknown are null."""
    return {
        "grade": solved.grade,
        "photos": len(photos.photos),
        "registered": len(solved.photo_names),
        "left_out": [photo.name for photo in photos.photos if photo.name not in solved.world_from_camera],
        "is_turntable": solved.is_turntable,
        "scale_known": solved.scale_known,
        "measures": {name: value if np.isfinite(value) else None for name, value in solved.measures.items()},
        "findings": [asdict(finding) for finding in solved.findings],
    }


def _transforms(solved: SolvedCameras, files: Mapping[str, str], has_mask: set[str]) -> dict[str, Any]:
    frames = [
        {
            "file_path": f"images/{files[name]}",
            **({"mask_path": f"masks/{files[name]}.png"} if name in has_mask else {}),
            **_lens_values(solved.lenses[name]),
            "transform_matrix": (solved.world_from_camera[name] @ _OPENCV_FROM_OPENGL).tolist(),
        }
        for name in solved.photo_names
    ]
    lenses = [_lens_values(solved.lenses[name]) for name in solved.photo_names]
    shared = lenses[0] if lenses and all(lens == lenses[0] for lens in lenses) else {}
    return {
        "camera_model": "OPENCV",
        **shared,
        "objectscan": {"scale_known": solved.scale_known, "grade": solved.grade},
        "frames": frames,
    }


def _lens_values(lens: Lens) -> dict[str, float]:
    assert lens.focal_px and lens.centre_px and lens.size  # `solve_cameras` states all of them.
    k1 = lens.distortion[0] if lens.distortion else 0.0
    return {
        "fl_x": lens.focal_px[0], "fl_y": lens.focal_px[1], "cx": lens.centre_px[0], "cy": lens.centre_px[1],
        "w": lens.size[0], "h": lens.size[1], "k1": k1,
    }  # fmt: skip


def file_names(photos: Sequence[PlainPhoto]) -> dict[str, str]:
    """File names that any program can take, unique, as near to the users' names as that allows."""
    result: dict[str, str] = {}
    for photo in photos:
        stem = re.sub(r"[^\w .()+@-]", "_", photo.name).strip(" .") or "photo"
        suffix = photo.path.suffix.lower()
        name = stem if Path(stem).suffix.lower() in _PICTURES else f"{stem}{suffix}"
        taken = {other.lower() for other in result.values()}
        while name.lower() in taken:
            name = f"_{name}"
        result[photo.name] = name
    return result


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.new")
    shutil.copyfile(source, new)
    os.replace(new, target)


def _write(file: Path, text: str) -> None:
    """Write beside the file, then move over it: a reader sees all of it or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    new.write_text(text, "utf-8")
    os.replace(new, file)
