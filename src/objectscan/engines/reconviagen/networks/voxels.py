"""Sets of occupied voxels: who neighbours whom, which window holds whom, coarser and finer sets.

A feature of the sparse networks is a plain tensor [T C] whose row t belongs to row t of `Voxels.coordinates`.
All index tables are made on first use and kept with the set, since several layers share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int, Int32, Int64
from torch import Tensor

from objectscan.engines.reconviagen.networks.windows import Windows
from objectscan.errors import InputError

OFFSETS = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]
"""The 27 kernel positions in the order of a kernel's memory: z fastest. Position 26 - k is opposite to k."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """For one kernel position: rows of the set and the rows of their neighbours there."""

    position: int
    rows: Int32[Tensor, " P"]
    neighbours: Int32[Tensor, " P"]


class Voxels:
    """Occupied voxels of a batch of grids: (item, x, y, z), the rows of one item contiguous."""

    def __init__(self, coordinates: Int32[Tensor, "T 4"]):
        """Keep the coordinates; not negative, each at most once.

        Raises:
            InputError: Rows of one item are not contiguous, or items are not numbered upwards from 0.
        """
        item = coordinates[:, 0]
        if len(item) and (int(item[0]) != 0 or bool(((item[1:] - item[:-1]) >> 1 != 0).any())):
            raise InputError("The voxels of a batch are not sorted by item 0, 1, 2, ....")
        self.coordinates = coordinates

    def __len__(self) -> int:
        return len(self.coordinates)

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """The rows of each batch item."""
        ends = torch.bincount(self.coordinates[:, 0].long()).cumsum(0).tolist()
        return tuple(slice(first, last) for first, last in zip([0, *ends[:-1]], ends, strict=True))

    def per_row(self, values: Float[Tensor, "B C"]) -> Float[Tensor, "R C"]:
        """Values of the items for each of their rows; one row, which broadcasts, if there is one item."""
        return values[:1] if len(self.spans) == 1 else values[self.coordinates[:, 0].long()]

    @cached_property
    def pairs(self) -> tuple[Pairs, ...]:
        """Neighbours at the 26 kernel positions around the centre. Cost: 13 searches of T in T."""
        size = self.coordinates.amax(dim=0).long() + 3
        keys, order = torch.sort(_keys(self.coordinates.long() + 1, size))
        found = []
        for position, offset in enumerate(OFFSETS[14:], start=14):
            step = _keys(torch.tensor([[0, *offset]], device=keys.device), size)
            place = torch.searchsorted(keys, keys + step).clamp_(max=len(keys) - 1)
            hit = (keys[place] == keys + step).nonzero().squeeze(1)
            rows, neighbours = order[hit].int(), order[place[hit]].int()
            found += [Pairs(position, rows, neighbours), Pairs(26 - position, neighbours, rows)]
        return tuple(found)

    @cached_property
    def neighbours(self) -> Int32[Tensor, "27 T"]:
        """The row of each voxel's neighbour at each kernel position, itself in the middle; -1 for none."""
        table = self.coordinates.new_full((27, len(self)), -1)
        table[13] = torch.arange(len(self), device=table.device, dtype=table.dtype)
        for pairs in self.pairs:
            table[pairs.position].index_copy_(0, pairs.rows.long(), pairs.neighbours)
        return table

    def windows(self, size: int, shift: int) -> Windows:
        """Rows grouped by cubic windows of `size`; `shift` is added to the coordinates first."""
        made = self._windows.get((size, shift))
        if made is None:
            cell = self.coordinates.long()
            cell[:, 1:] = (cell[:, 1:] + shift) // size
            made = self._windows[size, shift] = Windows(_keys(cell, cell.amax(dim=0) + 1))
        return made

    @cached_property
    def _windows(self) -> dict[tuple[int, int], Windows]:
        return {}

    @cached_property
    def halved(self) -> Coarser:
        """The voxels of half the resolution that hold these, sorted by (item, x, y, z)."""
        cell = self.coordinates.long()
        cell[:, 1:] //= 2
        size = cell.amax(dim=0) + 1
        keys, parent, count = torch.unique(_keys(cell, size), return_inverse=True, return_counts=True)
        coordinates = torch.zeros(len(keys), 4, dtype=torch.int32, device=keys.device)
        coordinates[parent] = cell.int()  # all children write the same values
        octant = ((self.coordinates[:, 1:] & 1) * self.coordinates.new_tensor([4, 2, 1])).sum(dim=1)
        return Coarser(Voxels(coordinates), parent, octant, count)

    @cached_property
    def subdivided(self) -> Voxels:
        """The eight children of each voxel, those of one parent contiguous, z fastest."""
        device = self.coordinates.device
        corner = torch.tensor([(0, x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], device=device)
        doubled = self.coordinates * torch.tensor([1, 2, 2, 2], device=device)
        return Voxels((doubled[:, None] + corner).flatten(0, 1).int())


@dataclass(frozen=True, slots=True)
class Coarser:
    """Voxels of half the resolution and how the finer ones lie in them."""

    voxels: Voxels
    parent: Int64[Tensor, " T"]
    """Row of each finer voxel's parent."""
    octant: Int64[Tensor, " T"]
    """Which of its parent's eight children a finer voxel is."""
    count: Int64[Tensor, " P"]
    """Children of each parent."""

    def pooled(self, features: Float[Tensor, "T C"]) -> Float[Tensor, "P C"]:
        """Sum of the children divided by their number **plus one**.

        The published networks were trained with this: their mean counts the zero it starts from.
        """
        # One place a child instead of sums in any order: a graphics card repeats the result to the bit.
        children = features.new_zeros((len(self.voxels), 8, features.shape[1]), dtype=torch.float32)
        children = children.index_put((self.parent, self.octant), features.float())
        return (children.sum(dim=1) / (self.count + 1)[:, None]).to(features.dtype)


def _keys(cells: Int[Tensor, "T 4"], size: Int[Tensor, " 4"]) -> Int64[Tensor, " T"]:
    """One number a cell, ordered like (item, x, y, z)."""
    keys = cells[:, 0]
    for axis in (1, 2, 3):
        keys = keys * size[axis] + cells[:, axis]
    return keys
