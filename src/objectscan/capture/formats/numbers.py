"""Checked numbers out of JSON: each error names the entry, the key and the value."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from objectscan.errors import BadCameras

_RIGID_TOLERANCE = 0.01
"""Largest deviation of R R^T from the identity: files written with 3 decimals pass, scaled ones do not."""


def read_json(file: Path, max_bytes: int) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        BadCameras: Not readable, too large, not JSON, nested too deeply, or no object at the top.
    """
    try:
        if file.stat().st_size > max_bytes:
            raise BadCameras(
                f"{file.name} has more than {max_bytes / 1e6:.0f} MB.", hint="Is it a camera file?"
            )
        values = json.loads(file.read_bytes().decode("utf-8-sig"))
    except RecursionError as error:
        raise BadCameras(f"{file.name} is nested too deeply.", hint="Is it a camera file?") from error
    except (OSError, ValueError) as error:
        raise BadCameras(f"{file.name} is not valid JSON: {error}.", hint="Export it again.") from error
    if not isinstance(values, dict):
        raise BadCameras(
            f"{file.name} holds a {type(values).__name__}, not an object.", hint="Is it a camera file?"
        )
    return values


def optional_number(values: Mapping[str, Any], key: str, label: str) -> float | None:
    """A finite number, or None if the key is missing.

    Raises:
        BadCameras: The value is no finite number.
    """
    value = values.get(key)
    if value is None:
        return None
    if not _is_number(value) or not math.isfinite(value):
        raise BadCameras(f"{label}: {key} is {value!r}, not a finite number.", hint="Correct it.")
    return float(value)


def _is_number(value: object) -> bool:
    """Whether it is an int or a float that fits a float64."""
    return isinstance(value, float) or (type(value) is int and abs(value) < 10**300)


def matrix(
    value: object, shapes: tuple[tuple[int, int], ...], label: str, key: str
) -> Float[np.ndarray, "R C"]:
    """A matrix of finite numbers with one of the shapes.

    Raises:
        BadCameras: Another shape, text among the numbers, NaN or infinity.
    """
    try:
        rows = np.array(value, dtype=object)
    except ValueError:
        rows = np.zeros(0)
    if rows.shape not in shapes:
        wanted = " or ".join(f"{rows_}x{columns}" for rows_, columns in shapes)
        found = "x".join(map(str, rows.shape)) or type(value).__name__
        raise BadCameras(
            f"{label}: {key} has the shape {found}, not {wanted}.", hint="Export the cameras again."
        )
    for entry in rows.flat:
        if not _is_number(entry):
            raise BadCameras(
                f"{label}: {key} holds {entry!r}, not a number.", hint="Export the cameras again."
            )
    numbers = rows.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise BadCameras(
            f"{label}: {key} holds NaN or infinity.", hint="Leave this photo out, or solve it again."
        )
    return numbers


def rigid(transform: Float[np.ndarray, "R 4"], label: str) -> Float[np.ndarray, "4 4"]:
    """The nearest rigid transform, if the given one (3x4 or 4x4) is rigid but for rounding.

    Raises:
        BadCameras: It scales, shears or mirrors.
    """
    rotation = transform[:3, :3]
    deviation = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    bottom_row_ok = len(transform) == 3 or np.allclose(transform[3], [0, 0, 0, 1], atol=1e-6)
    if deviation > _RIGID_TOLERANCE or not bottom_row_ok:
        raise BadCameras(
            f"{label}: the pose is not a rotation and a shift (off by {deviation:.3g}).",
            hint="Poses must be camera-to-world matrices without scale or shear.",
        )
    if np.linalg.det(rotation) < 0:
        raise BadCameras(
            f"{label}: the pose mirrors the world (its determinant is -1).",
            hint="An axis was flipped alone; flip two, or none.",
        )
    left, _, right = np.linalg.svd(rotation)
    result = np.eye(4)
    result[:3, :3] = left @ right
    result[:3, 3] = transform[:3, 3]
    return result
