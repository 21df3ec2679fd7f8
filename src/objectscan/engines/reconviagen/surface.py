"""From the mesh decoder's features to a coloured mesh. Read `surface`."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from objectscan.engines.reconviagen.dual_contouring import (
    Contour,
    CrossedCubes,
    contour,
    cube_cells,
    places_in,
)
from objectscan.errors import EmptyForeground

CORNERS = [(k & 1, k >> 1 & 1, k >> 2) for k in range(8)]
"""Offsets (x, y, z) of a cube's corners, in the order of their features."""
_DEFORM = 1 - 1e-8
"""Corners move by less than half a voxel."""


def surface(features: Float[Tensor, "S D"], coordinates: Int[Tensor, "S 3"], *, resolution: int) -> Contour:
    """The surface in [-0.5, 0.5]^3 or up to half a voxel outside, z up.

    Attributes are red, green, blue (sRGB) and an encoded normal, all in [0, 1], if the features hold colours.

    Args:
        features: 8 field values, 8 x 3 shifts and 21 weights of each voxel, then 8 x 6 colours or nothing.
        coordinates: (x, y, z) of the voxels, each at most once.
        resolution: Voxels along an axis.

    Raises:
        EmptyForeground: The field has one sign.
    """
    features = features.float()
    corners = torch.tensor(CORNERS, device=features.device)
    cells = coordinates.long()
    grid = ((cells[:, None] + corners) * _strides(resolution + 1, features.device)).sum(dim=2)
    points, point_of_corner = torch.unique(grid, return_inverse=True)
    rows = _mean_of_corners(features, point_of_corner, len(points), resolution)
    cubes = _crossed_cubes(points, rows, resolution)
    order = torch.argsort(keys := (cells * _strides(resolution, features.device)).sum(dim=1))
    place = places_in(keys[order], cubes)
    weights = torch.cat([features[order, 32:53], features.new_zeros(1, 21)])[place]
    return contour(_with_corners(points, rows, cubes, weights, resolution))


def _strides(size: int, device: torch.device) -> Int64[Tensor, " 3"]:
    return torch.tensor([size * size, size, 1], device=device)


def _mean_of_corners(
    features: Float[Tensor, "S D"], point_of_corner: Int64[Tensor, "S 8"], points: int, resolution: int
) -> Float[Tensor, "U1 K"]:
    """Field, shifts and colours of each grid point: the mean of all voxels that touch it.

    The last row is that of a point which no voxel touches: outside, not shifted, grey.
    """
    has_colour = features.shape[1] > 53
    total = features.new_zeros(points + 1, 10 if has_colour else 4)
    for corner in range(8):
        own = [features[:, corner, None] - 1 / resolution, features[:, 8 + 3 * corner :][:, :3]]
        if has_colour:
            own.append(features[:, 53 + 6 * corner :][:, :6])
        total.index_add_(0, point_of_corner[:, corner], torch.cat(own, dim=1))
    count = torch.bincount(point_of_corner.flatten(), minlength=points + 1).clamp_(min=1)
    mean = total / count[:, None]
    mean[points, 0] = 1.0
    mean[:, 1:4] = _DEFORM / (2 * resolution) * mean[:, 1:4].tanh()
    mean[:, 4:] = mean[:, 4:].sigmoid()
    return mean


def _crossed_cubes(
    points: Int64[Tensor, " U"], rows: Float[Tensor, "U1 K"], resolution: int
) -> Int64[Tensor, " C"]:
    """Keys of the cubes with a corner inside and one outside, also of cubes that hold no voxel.

    Raises:
        EmptyForeground: There are none.
    """
    device = points.device
    corners = torch.tensor(CORNERS, device=device)
    inside = cube_cells(points[rows[:-1, 0] < 0], resolution + 1)
    cells = (inside[:, None] - corners).flatten(0, 1)
    cells = cells[((cells >= 0) & (cells < resolution)).all(dim=1)]
    keys = torch.unique((cells * _strides(resolution, device)).sum(dim=1))
    places = _corner_places(points, keys, resolution)
    crossed = keys[(rows[places, 0] >= 0).any(dim=1)]
    if not len(crossed):
        raise EmptyForeground(
            "The generated surface is empty: the decoder's field has one sign everywhere.",
            hint="Check that the photos show one object on a removed background, or try another seed.",
        )
    return crossed


def _with_corners(
    points: Int64[Tensor, " U"],
    rows: Float[Tensor, "U1 K"],
    cubes: Int64[Tensor, " C"],
    weights: Float[Tensor, "C 21"],
    resolution: int,
) -> CrossedCubes:
    corner_rows = rows[_corner_places(points, cubes, resolution)]
    corners = torch.tensor(CORNERS, device=cubes.device)
    grid = (cube_cells(cubes, resolution)[:, None] + corners) / resolution - 0.5
    return CrossedCubes(
        keys=cubes,
        resolution=resolution,
        values=corner_rows[:, :, 0],
        positions=grid + corner_rows[:, :, 1:4],
        attributes=corner_rows[:, :, 4:],
        weights=weights,
    )


def _corner_places(
    points: Int64[Tensor, " U"], cubes: Int64[Tensor, " C"], resolution: int
) -> Int64[Tensor, "C 8"]:
    corners = torch.tensor(CORNERS, device=cubes.device)
    cells = cube_cells(cubes, resolution)[:, None] + corners
    return places_in(points, (cells * _strides(resolution + 1, cubes.device)).sum(dim=2))
