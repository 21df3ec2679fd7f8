"""Reads COLMAP models (cameras and images, text or binary) without COLMAP.

Source: COLMAP's documentation, "Output Format". Points are not needed and not read. A camera maps pixels with
centres at +0.5, world to camera, OpenCV axes; all as in this project.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from objectscan.capture.formats.paths import find_inside, missing_photo_findings, unique_names
from objectscan.capture.formats.posed import Lens, PosedPhoto, PosedPhotos
from objectscan.capture.limits import ImageLimits
from objectscan.capture.orientation import camera_up, delivered_from_up
from objectscan.errors import BadCameras
from objectscan.types import Finding

# Model number, name and number of parameters (COLMAP src/colmap/sensor/models.h lists them in this order).
_MODELS = (
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
)
_PARAMETERS = dict(_MODELS)
_ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_SUPPORTED = (
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "OPENCV_FISHEYE",
    "FULL_OPENCV",
)


@dataclass(frozen=True, slots=True)
class _Image:
    number: int
    quaternion: tuple[float, ...]
    """(w, x, y, z), camera from world."""
    shift: tuple[float, ...]
    camera: int
    name: str


def model_folder(folder: Path) -> Path | None:
    """Where `folder` keeps a COLMAP model: itself, `sparse/0`, `sparse`, `colmap/sparse/0`, or None."""
    places = (folder, folder / "sparse" / "0", folder / "sparse", folder / "colmap" / "sparse" / "0")
    for place in places:
        for suffix in (".bin", ".txt"):
            if (place / f"cameras{suffix}").is_file() and (place / f"images{suffix}").is_file():
                return place
    return None


def read_colmap(folder: Path, limits: ImageLimits, *, allow_missing: bool = False) -> PosedPhotos:
    """Read the COLMAP model of a capture folder and find its photos in `images/`.

    The delivered frame has the mean of the photos' up directions as +Y (smallest rotation), since COLMAP's
    own world has no up.

    Args:
        folder: The capture, or the folder of the model in it.
        limits: On views and bytes.
        allow_missing: Whether entries whose photo does not exist are left out with a finding.

    Raises:
        BadCameras: Whatever is wrong, naming the file and the photo.
    """
    model = model_folder(folder)
    if model is None:
        raise BadCameras(
            f"{folder.name} holds no COLMAP model.", hint="It needs cameras and images as .txt or .bin."
        )
    suffix = ".bin" if (model / "images.bin").is_file() and (model / "cameras.bin").is_file() else ".txt"
    cameras_file, images_file = model / f"cameras{suffix}", model / f"images{suffix}"
    for file in (cameras_file, images_file):
        if file.stat().st_size > limits.max_camera_file_bytes:
            raise BadCameras(
                f"{file.name} has more than {limits.max_camera_file_bytes / 1e6:.0f} MB.",
                hint="Is it a COLMAP file? If so, raise the limit on camera files.",
            )
    lenses = _read_safely(cameras_file, binary=_cameras_binary, text=_cameras_text)
    images = sorted(
        _read_safely(images_file, binary=_images_binary, text=_images_text), key=lambda image: image.name
    )
    if len(images) > limits.max_views:
        raise BadCameras(
            f"{images_file.name} lists {len(images)} photos; the limit is {limits.max_views}.",
            hint="Leave some out, or raise the limit on views.",
        )
    return _assemble(folder, images_file, lenses, images, allow_missing=allow_missing)


def _assemble(
    folder: Path, images_file: Path, lenses: dict[int, Lens], images: list[_Image], *, allow_missing: bool
) -> PosedPhotos:
    if not images:
        raise BadCameras(
            f"{images_file.name} lists no photos.", hint="Did the reconstruction of the cameras work?"
        )
    photo_folder = _photo_folder(folder)
    photos, missing = [], []
    for image in images:
        label = f"{images_file.name}, photo {image.number} ({image.name[:80]})"
        if image.camera not in lenses:
            raise BadCameras(f"{label}: there is no camera {image.camera}.", hint="Export the model again.")
        pose = _world_from_camera(image, label)
        path = find_inside(photo_folder, image.name, label)
        if path is None:
            missing.append(label)
        else:
            photos.append(PosedPhoto(path.name, label, path, lenses[image.camera], pose))
    missing_findings = missing_photo_findings(images_file.name, missing, len(images), allowed=allow_missing)
    names = unique_names(photo_folder, [photo.path for photo in photos], images_file.name)
    named = tuple(replace(photo, name=name) for name, photo in zip(names, photos, strict=True))
    delivered_from_world, findings = _delivered([photo.world_from_camera for photo in named])
    return PosedPhotos(
        images_file, named, delivered_from_world, "stored", None, (*missing_findings, *findings)
    )


def _photo_folder(folder: Path) -> Path:
    for place in (folder / "images", folder.parent / "images", folder.parent.parent / "images"):
        if place.is_dir() and (
            place.parent == folder or folder.name == "sparse" or folder.parent.name == "sparse"
        ):
            return place
    raise BadCameras(
        f"{folder.name} has no folder 'images' with the photos.", hint="Put it beside the model."
    )


def _world_from_camera(image: _Image, label: str) -> Float[np.ndarray, "4 4"]:
    quaternion, shift = np.array(image.quaternion), np.array(image.shift)
    length = float(np.linalg.norm(quaternion))
    if not np.isfinite([*quaternion, *shift]).all() or abs(length - 1) > 0.01:
        raise BadCameras(
            f"{label}: the pose is {image.quaternion} {image.shift}, not a unit quaternion and a shift.",
            hint="Leave this photo out, or solve it again.",
        )
    w, x, y, z = quaternion / length
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    result = np.eye(4)
    result[:3, :3] = rotation.T
    result[:3, 3] = -rotation.T @ shift
    return result


def _delivered(
    world_from_cameras: list[Float[np.ndarray, "4 4"]],
) -> tuple[Float[np.ndarray, "4 4"], tuple[Finding, ...]]:
    up = camera_up(world_from_cameras)
    if np.linalg.norm(up) < 0.1:
        words = (
            "The photos do not agree on which way is up, so the model keeps the axes of the cameras' world."
        )
        return np.eye(4), (Finding("up_unknown", "info", words),)
    return delivered_from_up(up), ()


def _lens(model: str, size: tuple[int, int], parameters: tuple[float, ...], label: str) -> Lens:
    if model not in _SUPPORTED:
        hint = f"Undistort the photos with COLMAP, or use one of {', '.join(_SUPPORTED)}."
        raise BadCameras(f"{label}: the camera model {model} is not supported.", hint=hint)
    if len(parameters) != _PARAMETERS[model] or not np.isfinite(parameters).all():
        raise BadCameras(
            f"{label}: {model} can't have the parameters {parameters}.", hint="Export the model again."
        )
    focal_count = 1 if model in _ONE_FOCAL else 2
    focal = parameters[:focal_count]
    if min(focal) <= 0 or min(size) <= 0:
        raise BadCameras(
            f"{label}: focal length {focal} or size {size} is not above 0.", hint="Solve it again."
        )
    column, row, *rest = parameters[focal_count:]
    distortion = tuple(rest) + (0.0,) * (4 - len(rest)) if any(rest) else ()
    kind = "fisheye" if model == "OPENCV_FISHEYE" else "brown"
    if kind == "fisheye":
        distortion = tuple(rest)
    return Lens((focal[0], focal[-1]), (None, None), (column, row), size, kind, distortion)  # type: ignore[arg-type]


def _read_safely(file: Path, *, binary, text):  # type: ignore[no-untyped-def]
    """What the reader for this kind of file returns; whatever goes wrong names the file."""
    try:
        return (
            binary(file, file.read_bytes()) if file.suffix == ".bin" else text(file, file.read_text("utf-8"))
        )
    except (struct.error, ValueError, IndexError, OverflowError, OSError) as error:
        raise BadCameras(f"{file.name} is damaged: {error}.", hint="Export the model again.") from error


def _cameras_text(file: Path, text: str) -> dict[int, Lens]:
    lenses = {}
    for line in _lines(text):
        number, model, width, height, *parameters = line.split()
        label = f"{file.name}, camera {number}"
        lenses[int(number)] = _lens(model, (int(width), int(height)), tuple(map(float, parameters)), label)
    return lenses


def _images_text(file: Path, text: str) -> list[_Image]:
    # Two lines each; the second one, the features, may be empty, so empty lines count.
    lines = [line for line in text.split("\n") if not line.startswith("#")]
    images = []
    for line in (line for line in lines[::2] if line.strip()):
        number, *numbers, camera, name = line.strip().split(maxsplit=9)
        values = tuple(map(float, numbers))
        if len(values) != 7:
            raise ValueError(f"the line of photo {number} has {len(values) + 3} entries instead of 10")
        images.append(_Image(int(number), values[:4], values[4:], int(camera), name))
    return images


def _cameras_binary(file: Path, data: bytes) -> dict[int, Lens]:
    (count,), at, lenses = struct.unpack_from("<Q", data), 8, {}
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<iiQQ", data, at)
        label = f"{file.name}, camera {number}"
        if not 0 <= model < len(_MODELS):
            raise BadCameras(
                f"{label}: the camera model number {model} is unknown.", hint="Undistort the photos."
            )
        name, parameter_count = _MODELS[model]
        parameters = struct.unpack_from(f"<{parameter_count}d", data, at + 24)
        lenses[number] = _lens(name, (width, height), parameters, label)
        at += 24 + 8 * parameter_count
    return lenses


def _images_binary(file: Path, data: bytes) -> list[_Image]:
    (count,), at, images = struct.unpack_from("<Q", data), 8, []
    for _ in range(count):
        number, *values, camera = struct.unpack_from("<i7di", data, at)
        end = data.index(b"\x00", at + 64)
        name = data[at + 64 : end].decode("utf-8")
        (features,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * features
        if at > len(data):
            raise ValueError(f"it is cut off in photo {number}")
        images.append(_Image(number, tuple(values[:4]), tuple(values[4:]), camera, name))
    return images


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
