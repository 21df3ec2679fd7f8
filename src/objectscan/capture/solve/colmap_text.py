"""Solved cameras as a COLMAP text model (COLMAP's documentation, "Output Format")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import SolvedCameras


def colmap_files(solved: SolvedCameras, files: Mapping[str, str]) -> dict[str, str]:
    """Texts of cameras.txt, images.txt and points3D.txt.

    Args:
        solved: The cameras.
        files: Picture file names by photo name, as images.txt shall name them.
    """
    lenses = list(dict.fromkeys(solved.lenses[name] for name in solved.photo_names))
    numbers = {lens: number for number, lens in enumerate(lenses, start=1)}
    own = np.zeros(len(solved.observations), np.int64)  # Number of an observation within its photo.
    for photo in range(len(solved.photo_names)):
        chosen = solved.observations[:, 1] == photo
        own[chosen] = np.arange(chosen.sum())
    return {
        "cameras.txt": "".join(_camera(numbers[lens], lens) for lens in lenses),
        "images.txt": "".join(
            _image(solved, photo, name, numbers[solved.lenses[name]], files[name])
            for photo, name in enumerate(solved.photo_names)
        ),
        "points3D.txt": _points(solved, own),
    }


def quaternion(rotation: Float[np.ndarray, "3 3"]) -> tuple[float, float, float, float]:
    """(w, x, y, z) of a rotation, w >= 0: the largest eigenvector of Bar-Itzhack's matrix (2000)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.tolist()
    symmetric = np.array(
        [
            [xx - yy - zz, 0, 0, 0],
            [yx + xy, yy - xx - zz, 0, 0],
            [zx + xz, zy + yz, zz - xx - yy, 0],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    x, y, z, w = np.linalg.eigh(symmetric)[1][:, 3].tolist()
    return (w, x, y, z) if w >= 0 else (-w, -x, -y, -z)


def _camera(number: int, lens: Lens) -> str:
    assert lens.focal_px and lens.centre_px and lens.size
    k1 = lens.distortion[0] if lens.distortion else 0.0
    is_simple = abs(lens.focal_px[0] - lens.focal_px[1]) < 1e-9
    focal = lens.focal_px[:1] if is_simple else lens.focal_px
    values = (*focal, *lens.centre_px, k1) if is_simple else (*focal, *lens.centre_px, k1, 0.0, 0.0, 0.0)
    model = "SIMPLE_RADIAL" if is_simple else "OPENCV"
    return f"{number} {model} {lens.size[0]} {lens.size[1]} {_joined(values)}\n"


def _image(solved: SolvedCameras, photo: int, name: str, camera: int, file: str) -> str:
    camera_from_world = np.linalg.inv(solved.world_from_camera[name])
    pose = (*quaternion(camera_from_world[:3, :3]), *camera_from_world[:3, 3].tolist())
    chosen = solved.observations[:, 1] == photo
    places = solved.places_px[chosen] if len(solved.places_px) else np.zeros((0, 2))
    features = " ".join(
        f"{column:.3f} {row:.3f} {point + 1}"
        for (column, row), point in zip(
            places.tolist(), solved.observations[chosen, 0].tolist(), strict=False
        )
    )
    return f"{photo + 1} {_joined(pose)} {camera} {file}\n{features}\n"


def _points(solved: SolvedCameras, own: np.ndarray) -> str:
    tracks = defaultdict(list)
    for (point, photo), number in zip(solved.observations.tolist(), own.tolist(), strict=True):
        tracks[point].append(f"{photo + 1} {number}")
    errors = solved.point_errors_px if len(solved.point_errors_px) else np.full(len(solved.points), -1.0)
    return "".join(
        f"{number + 1} {_joined(place)} {red} {green} {blue} {error:.4g} {' '.join(tracks[number])}\n"
        for number, (place, (red, green, blue), error) in enumerate(
            zip(solved.points.tolist(), solved.point_colors_srgb.tolist(), errors.tolist(), strict=True)
        )
    )


def _joined(values: tuple[float, ...] | list[float]) -> str:
    return " ".join(f"{value:.17g}" for value in values)
