"""The unknown surface of pass 1: a signed field on a grid, offsets and FlexiCubes weights, learnt where it
is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32
from scipy.ndimage import binary_dilation
from torch import Tensor

from objectscan.engines.nvdiffrec import dmtet, flexicubes
from objectscan.engines.nvdiffrec.distance import redistance, resample
from objectscan.engines.nvdiffrec.hull import HullField
from objectscan.engines.nvdiffrec.sparse_adam import SparseRows, gather_rows
from objectscan.recipes import ShapeOptions
from objectscan.types import Mesh

_OFFSET_REACH = 0.4
"""Largest offset of a grid point, in cells: below one half, cubes can't turn inside out."""
_OFFSET_SHARE = 0.3
_WEIGHT_SHARE = 0.3
"""Learning rates of offsets and weights relative to that of the field."""
_FREE_CELLS = 2
_DEVIATION = 0.3
"""Weight of L_dev, measured in cells; 0.25 to 0.5 in the publications."""


@dataclass(frozen=True, slots=True)
class Surface:
    """The surface of one step."""

    vertices: Float[Tensor, "V 3"]
    """World units; differentiable in the grid's parameters."""
    faces: Int32[Tensor, "F 3"]
    edge_values: Float[Tensor, "E 2"]
    """Field at the two ends of every grid edge that the surface crosses, in cells."""
    regularisation: Float[Tensor, ""]
    """Pull of FlexiCubes weights and of offsets towards none."""


class SurfaceGrid:
    """A grid that starts at a hull and may be refined; `surface`, `step` and `redistance` are one optimiser
    step.
    """

    def __init__(
        self, start_at: Callable[[int], HullField], options: ShapeOptions, *, device: torch.device
    ):  # fmt: skip
        """`start_at(resolution)` gives the starting field with that many cells along its longest side."""
        self._device = device
        self._start_at, self._isosurface = start_at, options.isosurface
        self._held: Tensor | None = None
        self._held_cubes: Tensor | None = None
        self._load(start_at(options.resolutions[0]))

    def refine(self, resolution: int) -> None:
        """Go to a grid with `resolution` cells: its own start plus what was learnt beyond the old one."""
        old_field, old_start, old_origin, old_spacing = self.field(), self._start, self.origin, self.spacing
        start = self._start_at(resolution)
        if np.array_equal(start.values.shape, old_field.shape):
            return
        learnt = resample(
            old_field - old_start, old_origin, old_spacing, start.values.shape, start.origin, start.spacing
        )
        self._load(start, learnt)

    def field(self) -> Float32[np.ndarray, "X Y Z"]:
        """The signed field, world units, negative inside."""
        signed: np.ndarray = self._rows.values[:, 0].cpu().numpy().reshape(self._shape)
        return signed * np.float32(self.spacing)

    def redistance(self) -> None:
        """Make the field a distance again without moving the surface."""
        distance = redistance(self.field(), self.spacing)
        self._rows.values[:, 0] = torch.from_numpy(distance / np.float32(self.spacing)).ravel()

    def move_only_near(self, points: Float[np.ndarray, "P 3"]) -> None:
        """From now on `step` leaves all grid points alone that are more than two cells from all `points`.

        Args:
            points: World units; of the surface where it may move.
        """
        cells = np.rint((points - self.origin) / self.spacing).astype(int)
        cells = np.clip(cells, 0, np.array(self._shape) - 1)
        near = np.zeros(self._shape, bool)
        near[tuple(cells.T)] = True
        near = binary_dilation(near, np.ones((3, 3, 3), bool), iterations=_FREE_CELLS)
        self._held = torch.from_numpy(~near.ravel()).to(self._device)
        if len(self._weights.values):
            self._held_cubes = torch.from_numpy(~near[:-1, :-1, :-1].ravel()).to(self._device)

    def surface(self) -> Surface:
        """Extract the surface; gradients of what is made of it go to the grid.

        Raises:
            EmptyForeground: The surface has vanished.
        """
        signed = self._rows.values[:, 0].reshape(self._shape).contiguous()
        if self._isosurface == "dmtet":
            return self._tetrahedral(dmtet.extract_topology(signed.cpu().numpy()))
        return self._dual(flexicubes.extract_topology(signed))

    def step(self, rate: float) -> None:
        """Move the field by up to `rate` cells where the last surface had a gradient."""
        if self._held is not None:
            self._rows.forget(self._held)
            if self._held_cubes is not None:
                self._weights.forget(self._held_cubes)
        offset_rate = rate * _OFFSET_SHARE
        self._rows.step(np.array([rate, offset_rate, offset_rate, offset_rate], np.float32))
        self._weights.step(rate * _WEIGHT_SHARE)
        # Borders stay outside, so that the surface stays closed.
        field = self._rows.values[:, 0].view(self._shape)
        for axis in range(3):
            for end in (0, -1):
                field.select(axis, end).clamp_min_(0.5)

    def mesh(self) -> Mesh:
        """The surface as it is now, world units."""
        with torch.no_grad():
            surface = self.surface()
        return Mesh(surface.vertices.cpu().numpy(), surface.faces.cpu().numpy())

    def _load(self, start: HullField, learnt: np.ndarray | None = None) -> None:
        self._held = self._held_cubes = None
        self.origin, self.spacing, self._shape = start.origin, start.spacing, start.values.shape
        self._start = redistance(start.values, start.spacing)
        field = self._start if learnt is None else redistance(self._start + learnt, start.spacing)
        rows = np.zeros((field.size, 4), np.float32)
        rows[:, 0] = field.ravel() / start.spacing
        cubes = int(np.prod([n - 1 for n in self._shape])) if self._isosurface == "flexicubes" else 0
        self._rows = SparseRows(torch.from_numpy(rows).to(self._device), betas=(0.9, 0.95))
        weights = torch.zeros(cubes, flexicubes.WEIGHTS, device=self._device)
        self._weights = SparseRows(weights, betas=(0.9, 0.95))
        self._places = torch.from_numpy(np.stack([self.origin, np.full(3, self.spacing)])).to(self._device)

    def _points(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(positions, field, offsets) of some grid points."""
        values = gather_rows(self._rows, indices)
        _, across, deep = self._shape
        steps = torch.stack([indices // (across * deep), indices // deep % across, indices % deep], dim=1)
        base = (self._places[0] + self._places[1] * steps).float()
        offsets = torch.tanh(values[:, 1:])
        return base + (_OFFSET_REACH * self.spacing) * offsets, values[:, 0], offsets

    def _dual(self, topology: flexicubes.Topology) -> Surface:
        points, field, offsets = self._points(topology.points)
        raw = gather_rows(self._weights, topology.cubes)
        vertices = flexicubes.place_vertices(points, field, 1.0 + 0.99 * torch.tanh(raw), topology)
        ends = torch.stack([topology.first, topology.second], dim=1).long()
        uneven = flexicubes.deviation(points, field, vertices, topology) / self.spacing
        pull = _DEVIATION * uneven + 0.01 * raw.square().mean() + 0.01 * offsets.square().mean()
        return Surface(vertices, flexicubes.triangles(topology, vertices), _at(field, ends), pull)

    def _tetrahedral(self, topology: dmtet.TetTopology) -> Surface:
        points, field, offsets = self._points(torch.from_numpy(topology.points).to(self._device))
        vertices = dmtet.place_vertices(points, field, topology)
        ends = torch.from_numpy(np.stack([topology.first, topology.second], axis=1)).long().to(self._device)
        faces = torch.from_numpy(topology.faces).to(self._device)
        return Surface(vertices, faces, _at(field, ends), 0.01 * offsets.square().mean())


def _at(field: Float[Tensor, " U"], ends: Tensor) -> Float[Tensor, "E 2"]:
    """`field[ends]`, whose way back on a GPU would sort the indices."""
    return field.index_select(0, ends.reshape(-1)).reshape(ends.shape)
