"""The start: the volume inside all masks, as a field that is accurate to a fraction of a grid cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numba import njit
from scipy.ndimage import distance_transform_edt

from objectscan.errors import BadMasks, EmptyForeground
from objectscan.render.threads import run_jobs, split_range
from objectscan.types import View

_COARSE_POINTS = 48
_BORDER_CELLS = 3
_UNSEEN = np.float32(-1e30)


@dataclass(frozen=True, slots=True)
class HullField:
    """A field on the points `origin + spacing * (i, j, k)`, world units, negative inside."""

    values: Float32[np.ndarray, "X Y Z"]
    origin: Float[np.ndarray, "3"]
    spacing: float


@dataclass(frozen=True, slots=True)
class Silhouettes:
    """What carving needs of the photos; made once, used at every resolution."""

    distance_px: tuple[Float32[np.ndarray, "H W"], ...]
    """Signed distance to each mask's outline, positive outside."""
    projection: Float[np.ndarray, "N 3 4"]
    focal_px: Float[np.ndarray, "N"]
    names: tuple[str, ...]


def silhouettes(views: Sequence[View]) -> Silhouettes:
    """Measure the masks of all views.

    Raises:
        BadMasks: A view has no mask, or an empty one; names the photos.
    """
    lacking = [view.name for view in views if view.mask is None or view.mask.max() < 128]
    if lacking:
        raise BadMasks(
            f"{len(lacking)} photos have no foreground mask: {', '.join(lacking[:5])}.",
            hint="Add an alpha channel or a `masks` folder with one mask a photo.",
        )
    projection = np.stack(
        [view.camera.intrinsics @ np.linalg.inv(view.camera.world_from_camera)[:3] for view in views]
    )
    distances = run_jobs(lambda view: _outline_distance(view.mask), [(view,) for view in views])
    focal = np.array([view.camera.intrinsics[0, 0] for view in views])
    return Silhouettes(tuple(distances), projection, focal, tuple(view.name for view in views))


def object_bounds(
    outlines: Silhouettes, cameras: Float[np.ndarray, "N 3"], stated: Float[np.ndarray, "2 3"] | None
) -> Float[np.ndarray, "2 3"]:
    """A tight box around the hull: from the stated box or the space between the cameras, shrunk twice.

    Raises:
        EmptyForeground: No point is inside all masks.
    """
    box = _initial_box(outlines, cameras) if stated is None else np.asarray(stated, float)
    for _ in range(3):
        spacing = float((box[1] - box[0]).max()) / (_COARSE_POINTS - 1)
        field = carve(outlines, box, spacing)
        # A part thinner than the grid has no point inside: keep every point within a cell of the hull.
        near = np.argwhere(field.values < 0.9 * spacing)
        if not len(near):
            raise _nothing_inside(outlines, field)
        box = np.stack([near.min(axis=0) - 1, near.max(axis=0) + 1]) * spacing + field.origin
    return box


def carve(
    outlines: Silhouettes, box: Float[np.ndarray, "2 3"], spacing: float, *, outvoted_views: int = 0
) -> HullField:
    """The largest signed distance over the views to their mask's outline, in world units at the point's depth.

    A point outside a photo says nothing for that view; one that no photo shows counts as outside. The border of the
    grid is outside. Cost: 30 ns a point and view.

    Args:
        outlines: From `silhouettes`.
        box: Lower and upper corner; the grid reaches three cells beyond.
        spacing: Grid cell, world units.
        outvoted_views: How many masks may wrongly exclude a point before it is outside.
    """
    origin = box[0] - _BORDER_CELLS * spacing
    shape = tuple(int(n) for n in np.ceil((box[1] - box[0]) / spacing) + 1 + 2 * _BORDER_CELLS)
    votes = outvoted_views + 1
    worst = np.full((int(np.prod(shape)), votes), _UNSEEN, np.float32)
    for distance, projection, focal in zip(outlines.distance_px, outlines.projection, outlines.focal_px, strict=True):
        run_jobs(
            lambda a, b, d=distance, p=projection, f=focal: _carve_view(shape, origin, spacing, d, p, f, a, b, worst),
            split_range(len(worst)),
        )
    values = worst[:, -1].reshape(shape)
    values = np.where(values == _UNSEEN, spacing, values)
    for axis in range(3):
        for end in (0, -1):
            edge = np.moveaxis(values, axis, 0)[end]
            np.maximum(edge, 0.5 * spacing, out=edge)
    return HullField(values.astype(np.float32), origin, float(spacing))


def _outline_distance(mask: np.ndarray) -> Float32[np.ndarray, "H W"]:
    """Pixels to the outline, positive outside: a distance transform, and next to the outline the mask's own share."""
    inside = mask >= 128
    outward, inward = distance_transform_edt(~inside), distance_transform_edt(inside)
    distance = np.where(inside, 0.5 - inward, outward - 0.5)
    share = 0.5 - mask / 255.0
    return np.where(np.abs(distance) < 1.0, share, distance).astype(np.float32)


def _initial_box(outlines: Silhouettes, cameras: np.ndarray) -> np.ndarray:
    """A cube around the point nearest to all mask centres' rays, as large as the farthest camera is from it."""
    normal, target = np.zeros((3, 3)), np.zeros(3)
    for distance, projection, camera in zip(outlines.distance_px, outlines.projection, cameras, strict=True):
        rows, columns = np.nonzero(distance < 0)
        centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5, 1.0])
        ray = np.linalg.solve(projection[:, :3], centre)
        ray /= np.linalg.norm(ray)
        across = np.eye(3) - np.outer(ray, ray)
        normal += across
        target += across @ camera
    meeting = np.linalg.lstsq(normal, target, rcond=None)[0]
    reach = 0.8 * np.linalg.norm(cameras - meeting, axis=1).max()
    return np.stack([meeting - reach, meeting + reach])


def _nothing_inside(outlines: Silhouettes, field: HullField) -> EmptyForeground:
    points = np.stack(np.meshgrid(*[np.arange(n) for n in field.values.shape], indexing="ij"), axis=-1)
    points = points.reshape(-1, 3) * field.spacing + field.origin
    excluded = []
    for name, distance, projection in zip(outlines.names, outlines.distance_px, outlines.projection, strict=True):
        image = points @ projection[:, :3].T + projection[:, 3]
        column, row = (image[:, :2] / np.maximum(image[:, 2:], 1e-9)).T.astype(int)
        shown = (image[:, 2] > 0) & (column >= 0) & (row >= 0)
        shown &= (column < distance.shape[1]) & (row < distance.shape[0])
        inside = distance[row[shown], column[shown]] < 0
        excluded.append((float(inside.mean()) if shown.any() else 0.0, name))
    worst = ", ".join(name for _, name in sorted(excluded)[:3])
    return EmptyForeground(
        "No point of space is inside all masks.",
        hint=f"Check masks and cameras, first of {worst}: `objectscan inspect` shows them.",
    )


@njit(cache=True, nogil=True)
def _carve_view(shape, origin, spacing, distance, projection, focal_px, first, last, worst):
    height, width = distance.shape
    votes = worst.shape[1]
    for index in range(first, last):
        k = index % shape[2]
        j = (index // shape[2]) % shape[1]
        i = index // (shape[2] * shape[1])
        x, y, z = origin[0] + spacing * i, origin[1] + spacing * j, origin[2] + spacing * k
        depth = projection[2, 0] * x + projection[2, 1] * y + projection[2, 2] * z + projection[2, 3]
        if depth <= 1e-9:
            continue
        column = (projection[0, 0] * x + projection[0, 1] * y + projection[0, 2] * z + projection[0, 3]) / depth - 0.5
        row = (projection[1, 0] * x + projection[1, 1] * y + projection[1, 2] * z + projection[1, 3]) / depth - 0.5
        if column < -0.5 or row < -0.5 or column > width - 0.5 or row > height - 0.5:
            continue
        column, row = min(max(column, 0.0), width - 1.001), min(max(row, 0.0), height - 1.001)
        c, r = int(column), int(row)
        fc, fr = column - c, row - r
        top = distance[r, c] * (1 - fc) + distance[r, c + 1] * fc
        bottom = distance[r + 1, c] * (1 - fc) + distance[r + 1, c + 1] * fc
        value = np.float32((top * (1 - fr) + bottom * fr) * depth / focal_px)
        # The largest `votes` values so far, in falling order.
        for slot in range(votes):
            if value > worst[index, slot]:
                value, worst[index, slot] = worst[index, slot], value
