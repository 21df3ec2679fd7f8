"""Where pass 1 begins: the visual hull at any resolution, less the hollows that stereo shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from objectscan.engines.nvdiffrec.distance import resample
from objectscan.engines.nvdiffrec.hull import HullField, carve, object_bounds
from objectscan.engines.nvdiffrec.mesh_field import mesh_field
from objectscan.engines.nvdiffrec.silhouettes import Silhouettes, silhouettes
from objectscan.engines.nvdiffrec.stereo import StereoField, carved, stereo_field
from objectscan.recipes import Recipe
from objectscan.types import Capture, Checkpoints, Mesh, Progress, ProgressFn

STAGE = "hull"
_ROOM = 0.1
"""Of its longest side that a given surface may grow by on each side."""


@dataclass(frozen=True, slots=True)
class StartingSurface:
    """Call it with a number of cells along the longest side to get the starting field at that resolution."""

    outlines: Silhouettes
    box: Float[np.ndarray, "2 3"]
    """Tight bounds of the object, world units."""
    outvoted_views: int
    stereo: tuple[HullField, StereoField] | None
    """The hull that stereo worked on, and what it found."""
    given: Mesh | None = None
    """A surface to begin at in place of the hull; what lies outside the hull is cut off."""

    @property
    def longest_side(self) -> float:
        """Of the bounds, world units."""
        return float((self.box[1] - self.box[0]).max())

    def __call__(self, resolution: int) -> HullField:
        """The field with `resolution` cells along the longest side."""
        spacing = self.longest_side / resolution
        hull = carve(self.outlines, self.box, spacing, outvoted_views=self.outvoted_views)
        if self.given is not None:
            values = np.maximum(mesh_field(self.given, self.box, spacing).values, hull.values)
            return HullField(values, hull.origin, hull.spacing)
        if self.stereo is None:
            return hull
        grid, found = self.stereo
        place = grid.origin, grid.spacing, hull.values.shape, hull.origin, hull.spacing
        known = resample(found.known.astype(np.float32), *place) > 0.5
        return carved(hull, StereoField(resample(found.distance, *place), known, found.matt_share))


def starting_surface(
    capture: Capture, recipe: Recipe, *, seed: int, report: ProgressFn, checkpoints: Checkpoints,
    device: torch.device,
) -> StartingSurface:  # fmt: skip
    """Find the object's bounds, and match the views if the recipe wants stereo.

    Raises:
        EmptyForeground: No point is inside all masks.
        BadMasks: A view has no mask.
    """
    report(Progress(STAGE, 0.0, "outlines and bounds"))
    outlines = silhouettes(capture.views)
    cameras = np.stack([view.camera.world_from_camera[:3, 3] for view in capture.views])
    box = object_bounds(outlines, cameras, capture.bounds, outvoted_views=recipe.hull.outvoted_views)
    surface = StartingSurface(outlines, box, recipe.hull.outvoted_views, None)
    report(Progress(STAGE, 1.0))
    if not recipe.stereo.enabled:
        return surface
    hull = surface(recipe.shape.resolutions[-1])
    saved = checkpoints.load("stereo")
    if saved is None:
        saved = _as_arrays(stereo_field(capture.views, hull, recipe.stereo, report, seed=seed, device=device))
        checkpoints.save("stereo", saved)
    found = _from_arrays(saved)
    return (
        surface
        if found is None
        else StartingSurface(outlines, box, recipe.hull.outvoted_views, (hull, found))
    )


def given_surface(mesh: Mesh, capture: Capture, recipe: Recipe, report: ProgressFn) -> StartingSurface:
    """Begin at a surface that stands already, less what lies outside the visual hull.

    Args:
        mesh: World frame of the capture; it need not be closed.
        capture: Views with masks.
        recipe: For the hull.
        report: Receives progress of the stage `hull`.

    Raises:
        EmptyForeground: No point is inside all masks.
        BadMasks: A view has no mask.
    """
    report(Progress(STAGE, 0.0, "outlines"))
    outlines = silhouettes(capture.views)
    low, high = mesh.vertices.min(axis=0).astype(float), mesh.vertices.max(axis=0).astype(float)
    room = _ROOM * (high - low).max()
    box = np.stack([low - room, high + room])
    report(Progress(STAGE, 1.0))
    return StartingSurface(outlines, box, recipe.hull.outvoted_views, None, mesh)


def _as_arrays(found: StereoField | None) -> dict[str, np.ndarray]:
    if found is None:
        return {"matt_share": np.zeros(())}
    return {"distance": found.distance, "known": found.known, "matt_share": np.array(found.matt_share)}


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> StereoField | None:
    if "distance" not in arrays:
        return None
    return StereoField(arrays["distance"], arrays["known"], float(arrays["matt_share"]))
