"""Metres from a printed marker sheet in the photos: tags are found, placed in the world and measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float

from objectscan.capture.photoset import PhotoSet, SolvedCameras
from objectscan.capture.solve.agreement import fit_similarity
from objectscan.capture.solve.consistency import rays
from objectscan.capture.solve.marker_sheet import DICTIONARY, SHEETS, MarkerSheet

_LEAST_CORNERS = 8
"""Two tags: one alone may be a false find."""
_MOST_RESIDUAL = 0.02
"""Deviation of the corners from the sheet, over its diagonal: more is a bent sheet or wrong cameras."""
_MOST_PIXELS = 3.0
"""Between a corner and where the photo shows it, over the longer side in thousands of pixels."""

Corners = dict[tuple[int, int], list[tuple[str, np.ndarray]]]
"""By (tag, corner): photos that show it, and where."""


@dataclass(frozen=True, slots=True)
class MarkerScale:
    """What the sheet says."""

    metres_per_unit: float
    corners: int
    """Corners that it rests on."""
    photos: tuple[str, ...]
    residual_mm: float
    """Root mean square deviation of the corners from the sheet."""


def find_marker_scale(
    photos: PhotoSet, solved: SolvedCameras, sheet: MarkerSheet = SHEETS["a4"]
) -> MarkerScale | None:
    """The size of a world unit from the tags of a marker sheet that lay with the object.

    Args:
        photos: The photos that were solved.
        solved: Their cameras.
        sheet: What was printed; tags have the same size on all sheets but other places.

    Returns:
        None without at least two tags that two photos show, or if they contradict the sheet by more than 2 %
        of its diagonal.
    """
    found = _find_corners(photos, solved, sheet)
    placed = {key: place for key, seen in found.items() if (place := _placed(solved, seen)) is not None}
    if len(placed) < _LEAST_CORNERS:
        return None
    world = np.array(list(placed.values()))
    flat = np.array([sheet.corners_mm(tag)[corner] for tag, corner in placed])
    # On the sheet down is +y: seen from above, x right, y down, z into the paper.
    on_sheet = np.c_[flat, np.zeros(len(flat))]
    fitted = fit_similarity(on_sheet, world)
    residual = float(np.sqrt(((fitted.apply(on_sheet) - world) ** 2).sum(1).mean())) / fitted.scale
    if not fitted.scale > 0 or residual > _MOST_RESIDUAL * float(np.hypot(*sheet.size_mm)):
        return None
    names = {name for key in placed for name, _ in found[key]}
    ordered = tuple(name for name in solved.photo_names if name in names)
    return MarkerScale(0.001 / fitted.scale, len(placed), ordered, residual)


def in_metres(solved: SolvedCameras, scale: MarkerScale) -> SolvedCameras:
    """The same cameras, points and plane with one metre a unit."""
    factor = scale.metres_per_unit
    cameras = {name: _scaled(transform, factor) for name, transform in solved.world_from_camera.items()}
    plane = solved.support_plane
    return replace(
        solved,
        world_from_camera=cameras,
        points=solved.points * factor,
        support_plane=None if plane is None else np.r_[plane[:3], plane[3] * factor],
        scale_known=True,
        measures={
            **solved.measures,
            "marker_corners": scale.corners,
            "marker_residual_mm": scale.residual_mm,
        },
    )


def _scaled(transform: Float[np.ndarray, "4 4"], factor: float) -> Float[np.ndarray, "4 4"]:
    result = transform.copy()
    result[:3, 3] *= factor
    return result


def _find_corners(photos: PhotoSet, solved: SolvedCameras, sheet: MarkerSheet) -> Corners:
    options = cv2.aruco.DetectorParameters()
    options.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(DICTIONARY), options)
    found: Corners = defaultdict(list)
    for photo in photos.photos:
        if photo.name not in solved.world_from_camera:
            continue
        image = cv2.imread(str(photo.path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None:
            continue
        quads, tags, _ = detector.detectMarkers(image)
        for quad, tag in zip(quads, [] if tags is None else tags.ravel(), strict=True):
            if tag < len(sheet.centres_mm):
                for corner, place in enumerate(quad.reshape(4, 2) + 0.5):  # OpenCV: centres at whole numbers
                    found[int(tag), corner].append((photo.name, place))
    return found


def _placed(solved: SolvedCameras, seen: Sequence[tuple[str, np.ndarray]]) -> Float[np.ndarray, " 3"] | None:
    """The point nearest to all rays; None if fewer than two photos show it or they contradict it."""
    if len({name for name, _ in seen}) < 2:
        return None
    lines = [_ray(solved, name, place) for name, place in seen]
    across = [np.eye(3) - np.outer(direction, direction) for _, direction in lines]
    matrix, target = sum(across), sum(a @ centre for a, (centre, _) in zip(across, lines, strict=True))
    if np.linalg.cond(matrix) > 1e6:
        return None
    point = np.linalg.solve(matrix, target)
    errors = [
        np.linalg.norm(across_ray @ (point - centre)) / np.linalg.norm(point - centre) * _focal(solved, name)
        for across_ray, (centre, _), (name, _) in zip(across, lines, seen, strict=True)
    ]
    longest = max(max(solved.lenses[name].size or (1000, 1000)) for name, _ in seen)
    return np.asarray(point) if np.median(errors) < _MOST_PIXELS * max(1.0, longest / 1000) else None


def _ray(solved: SolvedCameras, name: str, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Camera centre and unit direction, world frame."""
    lens, camera = solved.lenses[name], solved.world_from_camera[name]
    assert lens.centre_px  # `solve_cameras` states it
    k1 = lens.distortion[0] if lens.distortion else 0.0
    values = np.array([_focal(solved, name), *lens.centre_px, k1])
    direction = camera[:3, :3] @ (*rays(place[None], values)[0], 1.0)
    return camera[:3, 3], direction / np.linalg.norm(direction)


def _focal(solved: SolvedCameras, name: str) -> float:
    focal = solved.lenses[name].focal_px
    assert focal  # `solve_cameras` states it
    return (focal[0] + focal[1]) / 2
