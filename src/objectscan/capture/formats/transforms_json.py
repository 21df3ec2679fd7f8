"""Reads transforms.json as NeRF-synthetic, instant-ngp, nerfstudio and Blender exporters write it.

Poses are camera-to-world with OpenGL camera axes (x right, y up, looking along -z) unless the file says
`"camera_axes": "opencv"`. Keys that only place the scene in a viewer's unit cube (`scale`, `offset`,
`aabb_scale`, `render_aabb`) are left alone: results keep the frame and scale of the given cameras.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from objectscan.capture.formats.numbers import matrix, optional_number, read_json, rigid
from objectscan.capture.formats.paths import file_inside, find_inside, missing_photo_findings, unique_names
from objectscan.capture.formats.posed import Lens, PosedPhoto, PosedPhotos
from objectscan.capture.limits import ImageLimits
from objectscan.capture.orientation import Z_UP_TO_Y_UP, camera_up, delivered_from_up
from objectscan.errors import BadCameras
from objectscan.types import Finding

_OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_BROWN_MODELS = (
    "OPENCV",
    "PINHOLE",
    "SIMPLE_PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "FULL_OPENCV",
    "PERSPECTIVE",
)
_DISTORTION_KEYS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")


def read_transforms(file: Path, limits: ImageLimits, *, allow_missing: bool = False) -> PosedPhotos:
    """Read a transforms.json.

    The delivered frame takes +z for up, as this format's tools do, unless the cameras' own up is more than 60
    degrees from it.

    Args:
        file: Photos are looked for in its folder.
        limits: On views and bytes.
        allow_missing: Whether entries whose photo does not exist are left out with a finding.

    Raises:
        BadCameras: Whatever is wrong, naming the file and the frame.
    """
    values = read_json(file, limits.max_camera_file_bytes)
    frames = values.get("frames")
    if not isinstance(frames, list) or not frames:
        raise BadCameras(
            f"{file.name} lists no frames.", hint="It needs a list 'frames' with one entry per photo."
        )
    if len(frames) > limits.max_views:
        raise BadCameras(
            f"{file.name} lists {len(frames)} photos; the limit is {limits.max_views}.",
            hint="Leave some out, or raise the limit on views.",
        )
    labels = [_label(file, number, frame) for number, frame in enumerate(frames)]
    read = [_frame(file, values, frame, label) for frame, label in zip(frames, labels, strict=True)]
    missing = [label for label, frame in zip(labels, read, strict=True) if frame is None]
    missing_findings = missing_photo_findings(file.name, missing, len(frames), allowed=allow_missing)
    photos = tuple(photo for photo in read if photo is not None)
    names = unique_names(file.parent, [photo.path for photo in photos], file.name)
    photos = tuple(replace(photo, name=name) for name, photo in zip(names, photos, strict=True))
    delivered_from_world, findings = _delivered([photo.world_from_camera for photo in photos])
    findings = (*missing_findings, *findings)
    bounds = _bounds(values, file)
    return PosedPhotos(file, photos, delivered_from_world, "upright", bounds, findings, _scale_known(values))


def _label(file: Path, number: int, frame: object) -> str:
    path = frame.get("file_path") if isinstance(frame, dict) else None
    return f"{file.name}, frame {number}" + (f" ({path[:80]})" if isinstance(path, str) else "")


def _frame(file: Path, shared: Mapping[str, Any], frame: object, label: str) -> PosedPhoto | None:
    """One entry, or None if its photo does not exist."""
    if not isinstance(frame, dict):
        raise BadCameras(f"{label} is {frame!r}, not an object.", hint="Export the cameras again.")
    if "transform_matrix" not in frame:
        raise BadCameras(
            f"{label}: transform_matrix is missing.", hint="Each frame needs its camera-to-world matrix."
        )
    stated = matrix(frame["transform_matrix"], ((4, 4), (3, 4)), label, "transform_matrix")
    pose = rigid(stated, label) @ _axes({**shared, **frame}, label)
    lens = _lens({**shared, **frame}, label)
    path = find_inside(file.parent, frame.get("file_path"), label)
    if path is None:
        return None
    mask = frame.get("mask_path")
    mask_path = None if mask is None else file_inside(file.parent, mask, label)
    return PosedPhoto(path.name, label, path, lens, pose, mask_path)


def _axes(values: Mapping[str, Any], label: str) -> Float[np.ndarray, "4 4"]:
    axes = values.get("camera_axes", "opengl")
    if axes not in ("opengl", "opencv"):
        raise BadCameras(f"{label}: camera_axes is {axes!r}.", hint="Known: opengl (the default), opencv.")
    return np.eye(4) if axes == "opencv" else _OPENCV_FROM_OPENGL


def _lens(values: Mapping[str, Any], label: str) -> Lens:
    """Intrinsics of a frame; its own keys have already replaced the file's."""
    number = {
        key: optional_number(values, key, label)
        for key in ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y")
    }
    for key in ("fl_x", "fl_y", "w", "h", "camera_angle_x", "camera_angle_y"):
        value = number[key]
        if value is not None and value <= 0:
            raise BadCameras(f"{label}: {key} is {value:g}, but must be above 0.", hint="Correct it.")
    for key in ("camera_angle_x", "camera_angle_y"):
        angle = number[key]
        if angle is not None and angle >= np.pi:
            hint = "The angle is in radians; this looks like degrees."
            raise BadCameras(f"{label}: {key} is {angle:g}, more than half a circle.", hint=hint)
    focal_x, focal_y = number["fl_x"] or number["fl_y"], number["fl_y"] or number["fl_x"]
    if focal_x is None and number["camera_angle_x"] is None and number["camera_angle_y"] is None:
        raise BadCameras(
            f"{label}: no focal length is given.", hint="Give camera_angle_x (radians) or fl_x (pixels)."
        )
    model, distortion = _distortion(values, label)
    width, height, column, row = number["w"], number["h"], number["cx"], number["cy"]
    return Lens(
        None if focal_x is None or focal_y is None else (focal_x, focal_y),
        (number["camera_angle_x"], number["camera_angle_y"]),
        None if column is None or row is None else (column, row),
        None if width is None or height is None else (round(width), round(height)),
        "fisheye" if model == "fisheye" else "brown",
        distortion,
    )


def _distortion(values: Mapping[str, Any], label: str) -> tuple[str, tuple[float, ...]]:
    """Lens model and coefficients in OpenCV's order."""
    named = str(values.get("camera_model", "OPENCV")).upper()
    fisheye = named in ("OPENCV_FISHEYE", "FISHEYE") or bool(values.get("is_fisheye"))
    if not fisheye and named not in _BROWN_MODELS:
        raise BadCameras(
            f"{label}: the camera model {named} is not supported.",
            hint=f"Undistort the photos, or use one of {', '.join(_BROWN_MODELS)}, OPENCV_FISHEYE.",
        )
    k = {key: optional_number(values, key, label) or 0.0 for key in _DISTORTION_KEYS}
    if fisheye:
        return "fisheye", (k["k1"], k["k2"], k["k3"], k["k4"])
    full = named == "FULL_OPENCV"
    if not full and (k["k4"] or k["k5"] or k["k6"]):
        raise BadCameras(
            f"{label}: k4, k5 or k6 is given, which the camera model {named} does not have.",
            hint="Name the model: FULL_OPENCV (rational) or OPENCV_FISHEYE.",
        )
    kept = _DISTORTION_KEYS if full else _DISTORTION_KEYS[:5]
    coefficients = tuple(k[key] for key in kept)
    return "brown", coefficients if any(coefficients) else ()


def _scale_known(values: Mapping[str, Any]) -> bool:
    """What our own files say; others never do."""
    own = values.get("objectscan")
    return isinstance(own, dict) and own.get("scale_known") is True


def _bounds(values: Mapping[str, Any], file: Path) -> Float[np.ndarray, "2 3"] | None:
    if values.get("aabb") is None:
        return None
    box = matrix(values["aabb"], ((2, 3),), file.name, "aabb")
    if (box[0] >= box[1]).any():
        raise BadCameras(
            f"{file.name}: aabb is {box.tolist()}, an empty box.", hint="Give its [minimum, maximum]."
        )
    return box


def _delivered(
    world_from_cameras: list[Float[np.ndarray, "4 4"]],
) -> tuple[Float[np.ndarray, "4 4"], tuple[Finding, ...]]:
    up = camera_up(world_from_cameras)
    if up[2] >= 0.5 * np.linalg.norm(up) or np.linalg.norm(up) < 0.1:
        return Z_UP_TO_Y_UP, ()
    direction = np.round(up / np.linalg.norm(up), 2).tolist()
    words = f"The photos' up is {direction} in the cameras' world, far from +z."
    finding = Finding(
        "up_estimated", "info", f"{words} The model is turned so that the photos' up becomes +y."
    )
    return delivered_from_up(up), (finding,)
