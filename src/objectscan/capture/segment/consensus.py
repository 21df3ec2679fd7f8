"""What all photos together say about each photo's mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
"""A mask whose IoU with the hull is below this loses its vote."""
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
    first = _agreed(masks, scene)
    if first is None:
        return None
    faithful = {
        name: small
        for name, small in masks.items()
        if name in scene.cameras and _agreement(first, small, name) >= _CONTRADICTS
    }
    if len(faithful) == len(first.voters) or len(faithful) < 3:
        return first
    return _agreed(faithful, scene) or first


def _agreed(masks: Mapping[str, SmallMask], scene: Scene) -> Consensus | None:
    voters = {name: small for name, small in masks.items() if name in scene.cameras}
    for outvoted in _OUTVOTED:
        grid = vote(voters, scene.cameras, scene.bounds, outvoted=outvoted, support_plane=scene.support_plane)
        if grid is not None and grid.inside(outvoted).any():
            return Consensus(grid, outvoted, voters, scene.cameras)
    return None


def _agreement(found: Consensus, small: SmallMask, name: str) -> float:
    return overlap(small.at_size(found.cameras[name].size), found.outline(name))
