"""What all photos together say about each photo's mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, UInt8

from objectscan.capture.segment.hull import SmallMask, VoteGrid, silhouette, vote
from objectscan.capture.segment.projection import PhotoCamera
from objectscan.capture.segment.refine import held_to_hull
from objectscan.capture.segment.scene import Scene
from objectscan.capture.segment.trust import overlap

_OUTVOTED = (0.15, 0.35)
"""Share of the photos that may be wrong about a cell; the second if nothing is inside by the first."""
_CONTRADICTS = 0.5
"""A mask whose agreement with the hull is below this loses its vote."""
_BAND_CELLS = 1.0
"""Within so many cells of the hull's outline the network decides: 1 gives IoU 0.990, 3 gives 0.989."""

Mask = UInt8[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True)
class Consensus:
    """The hull that most masks agree on."""

    grid: VoteGrid
    outvoted: float
    voters: Mapping[str, SmallMask]
    """The masks that voted, by photo name."""
    cameras: Mapping[str, PhotoCamera]
    agreement: Mapping[str, float] = field(default_factory=dict)
    """By photo, also for masks that lost their vote: IoU with the hull's outline, as a share of the set's
    median, at most 1. A share, because with few photos the hull is far larger than the object."""

    @property
    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Axis-aligned box of the hull, world frame."""
        inside = self.grid.points[self.grid.inside(self.outvoted)]
        half = self.grid.spacing / 2
        return np.stack([inside.min(axis=0) - half, inside.max(axis=0) + half])

    def outline(self, name: str) -> Mask:
        """Silhouette of the hull in a photo."""
        cells = self.grid.points[self.grid.inside(self.outvoted)]
        return silhouette(cells, self.grid.spacing, self.cameras[name])

    def held(self, mask: Mask, name: str) -> Mask:
        """A photo's mask without what most others exclude, filled where all others but one show object."""
        camera = self.cameras[name]
        surest = self._sure_outline(camera)
        return held_to_hull(mask, self.outline(name), surest, _BAND_CELLS * self._cell_px(camera))

    def _sure_outline(self, camera: PhotoCamera) -> Mask:
        own = self.voters.get(camera.name)
        sure = self.grid.against <= 1 if own is None else self.grid.inside_for_others(own, camera, most=1)
        return silhouette(self.grid.points[sure & self.grid.inside(self.outvoted)], self.grid.spacing, camera)

    def _cell_px(self, camera: PhotoCamera) -> float:
        middle = self.bounds.mean(axis=0)
        depth = float((middle - camera.world_from_camera[:3, 3]) @ camera.world_from_camera[:3, 2])
        return self.grid.spacing * float(camera.intrinsics[0, 0]) / max(depth, 1e-9)


def consensus(masks: Mapping[str, SmallMask], scene: Scene) -> Consensus | None:
    """The hull by votes; masks that contradict it lose theirs, once. None if the masks share no volume."""
    posed = {name: small for name, small in masks.items() if name in scene.cameras}
    first = _agreed(posed, scene)
    if first is None:
        return None
    first = _compared(first, posed)
    faithful = {name: small for name, small in posed.items() if first.agreement[name] >= _CONTRADICTS}
    if len(faithful) == len(posed) or len(faithful) < 3:
        return first
    second = _agreed(faithful, scene)
    return first if second is None else _compared(second, posed)


def _compared(found: Consensus, masks: Mapping[str, SmallMask]) -> Consensus:
    values = {
        name: overlap(small.at_size(found.cameras[name].size), found.outline(name))
        for name, small in masks.items()
    }
    usual = max(float(np.median(list(values.values()))), 1e-9)
    return replace(found, agreement={name: min(1.0, value / usual) for name, value in values.items()})


def _agreed(voters: Mapping[str, SmallMask], scene: Scene) -> Consensus | None:
    for outvoted in _OUTVOTED:
        grid = vote(voters, scene.cameras, scene.bounds, outvoted=outvoted, support_plane=scene.support_plane)
        if grid is not None and grid.inside(outvoted).any():
            return Consensus(grid, outvoted, voters, scene.cameras)
    return None
