"""Finds the camera file of a capture and reads it with the right reader."""

from __future__ import annotations

from pathlib import Path

from objectscan.capture.formats.colmap import model_folder, read_colmap
from objectscan.capture.formats.posed import PosedPhotos
from objectscan.capture.formats.transforms_json import read_transforms
from objectscan.capture.limits import ImageLimits
from objectscan.errors import BadCameras


def has_cameras(path: Path) -> bool:
    """Whether `read_cameras` would find a camera file for training photos."""
    named = ("transforms.json", "transforms_train.json")
    return path.is_file() or (
        path.is_dir() and (any((path / name).is_file() for name in named) or model_folder(path) is not None)
    )


def read_cameras(
    path: Path, limits: ImageLimits, *, split: str = "train", allow_missing: bool = False
) -> PosedPhotos:
    """Read the cameras of a capture.

    Args:
        path: A transforms.json, or a folder with `transforms_SPLIT.json`, `transforms.json` or a COLMAP
            model.
        limits: On views and file sizes.
        split: Which of NeRF-synthetic's files to take where there are several: train, test or val. For
            `train` a plain transforms.json or a COLMAP model will do as well.
        allow_missing: Whether entries whose photo does not exist are left out with a finding.

    Raises:
        BadCameras: There is no camera file, or it can't be used.
    """
    if path.is_file():
        return read_transforms(path, limits, allow_missing=allow_missing)
    if not path.is_dir():
        raise BadCameras(
            f"{path} does not exist.", hint="Give a folder of photos with cameras, or a transforms.json."
        )
    named = path / f"transforms_{split}.json"
    plain = path / "transforms.json"
    candidates = (plain, named) if split == "train" else (named,)
    for file in candidates:
        if file.is_file():
            return read_transforms(file, limits, allow_missing=allow_missing)
    if split == "train" and model_folder(path) is not None:
        return read_colmap(path, limits, allow_missing=allow_missing)
    wanted = "transforms.json, transforms_train.json or a COLMAP model" if split == "train" else named.name
    raise BadCameras(
        f"{path.name or path} has no camera file ({wanted}).",
        hint="Solve the cameras first, for example with COLMAP.",
    )
