"""A capture as a folder that people and other programs can read: RGBA pictures, transforms.json,
findings.json, photos.json.

The transforms.json is the usual one (OpenGL axes, intrinsics per frame), so NeRF tools read the folder as it
is. A block `objectscan` adds what that format lacks; with it, loading gives back exactly what was saved.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from objectscan.capture.formats.numbers import matrix, read_json
from objectscan.capture.formats.paths import file_inside
from objectscan.capture.ingest import in_threads
from objectscan.capture.records import read_records, write_records
from objectscan.errors import BadCameras, BadWorkspace
from objectscan.types import Camera, Capture, Finding, View

_VERSION = 1
_OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_MAX_JSON_BYTES = 256_000_000
_FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def save_capture(capture: Capture, folder: Path) -> None:
    """Write a capture into a folder, without loss. transforms.json comes last: a folder that has it is
    complete.

    Raises:
        BadWorkspace: The folder can't be written.
    """
    paths = [f"images/{index:04d}_{_safe(view.name)}.png" for index, view in enumerate(capture.views)]
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "transforms.json").unlink(missing_ok=True)
        for old in (folder / "images").glob("*.png"):
            old.unlink()
        jobs = list(zip(capture.views, (folder / path for path in paths), strict=True))
        in_threads(lambda job: _write_picture(*job), jobs, lambda share: None)
        _write_json(folder / "findings.json", [asdict(finding) for finding in capture.findings])
        write_records(capture.photos, folder)
        _write_json(folder / "transforms.json", _transforms(capture, paths))
    except OSError as error:
        raise BadWorkspace(
            f"{folder} can't be written: {error}.", hint="Free some space or choose another."
        ) from error


def load_capture(folder: Path) -> Capture:
    """Read a capture that `save_capture` wrote.

    Raises:
        BadWorkspace: The folder is incomplete, damaged, or was not written by `save_capture`.
    """
    try:
        return _load(folder)
    except (BadCameras, KeyError, TypeError, ValueError, OSError) as error:
        raise BadWorkspace(
            f"{folder} is not a complete capture of Objectscan: {error}.",
            hint="Remove it and run the stage again.",
        ) from error


def _load(folder: Path) -> Capture:
    values = read_json(folder / "transforms.json", _MAX_JSON_BYTES)
    own = values["objectscan"]
    if own["version"] != _VERSION:
        raise ValueError(f"version {own['version']} is not {_VERSION}")
    views = in_threads(lambda frame: _view(folder, frame), values["frames"], lambda share: None)
    bounds = (
        None if values.get("aabb") is None else matrix(values["aabb"], ((2, 3),), "transforms.json", "aabb")
    )
    findings = json.loads((folder / "findings.json").read_text("utf-8"))
    return Capture(
        tuple(views),
        matrix(own["delivered_from_world"], ((4, 4),), "transforms.json", "delivered_from_world"),
        bool(own["scale_known"]),
        bounds,
        tuple(Finding(**{**finding, "photos": tuple(finding["photos"])}) for finding in findings),
        cameras_known=bool(own.get("cameras_known", True)),
        photos=read_records(folder),
    )


def _transforms(capture: Capture, paths: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "camera_model": "PINHOLE",
        "objectscan": {
            "version": _VERSION,
            "delivered_from_world": capture.delivered_from_world.tolist(),
            "scale_known": capture.scale_known,
            "cameras_known": capture.cameras_known,
        },
    }
    if capture.bounds is not None:
        values["aabb"] = capture.bounds.tolist()
    values["frames"] = [_frame(view, path) for view, path in zip(capture.views, paths, strict=True)]
    return values


def _frame(view: View, path: str) -> dict[str, Any]:
    (focal_x, _, column), (_, focal_y, row), _ = view.camera.intrinsics.tolist()
    return {
        "file_path": path,
        "name": view.name,
        "has_mask": view.mask is not None,
        "fl_x": focal_x,
        "fl_y": focal_y,
        "cx": column,
        "cy": row,
        "w": view.camera.size[0],
        "h": view.camera.size[1],
        "transform_matrix": (view.camera.world_from_camera @ _OPENCV_FROM_OPENGL).tolist(),
    }


def _view(folder: Path, frame: Mapping[str, Any]) -> View:
    path = file_inside(folder, frame["file_path"], "transforms.json")
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    size = (int(frame["w"]), int(frame["h"]))
    channels = 4 if frame["has_mask"] else 3
    if pixels is None or pixels.shape != (size[1], size[0], channels):
        raise ValueError(f"{path.name} is damaged or has another size than transforms.json says")
    mask = np.ascontiguousarray(pixels[..., 3]) if channels == 4 else None
    intrinsics = np.array(
        [[frame["fl_x"], 0, frame["cx"]], [0, frame["fl_y"], frame["cy"]], [0, 0, 1]], np.float64
    )
    pose = matrix(frame["transform_matrix"], ((4, 4),), path.name, "transform_matrix") @ _OPENCV_FROM_OPENGL
    image = np.ascontiguousarray(pixels[..., 2::-1])
    return View(frame["name"], Camera(intrinsics, pose, size), image, mask)


def _write_picture(view: View, path: Path) -> None:
    planes = [view.image_srgb[..., ::-1]] + ([view.mask[..., None]] if view.mask is not None else [])
    pixels = np.ascontiguousarray(np.concatenate(planes, axis=2))
    ok, encoded = cv2.imencode(".png", pixels, _FAST_PNG)
    if not ok:
        raise OSError(f"{path.name} could not be encoded")
    path.write_bytes(encoded.tobytes())


def _write_json(file: Path, values: object) -> None:
    """Write beside the file, then move over it: a reader sees all of it or nothing."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(values, indent=1), "utf-8")
    os.replace(new, file)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", Path(name).stem)[:60] or "photo"
