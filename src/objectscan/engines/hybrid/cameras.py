"""Cameras of the photos against a finished surface: guesses are laid over the outlines, then descend on them.

With them a generated object can be compared with photos whose cameras nobody knows (evidence), and refined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from objectscan.engines.nvdiffrec.appearance import render_views
from objectscan.engines.nvdiffrec.cameras import ViewCameras
from objectscan.engines.nvdiffrec.guards import ensure_finite
from objectscan.engines.nvdiffrec.photo_loss import PhotoWeights, photo_loss
from objectscan.engines.nvdiffrec.photos import PhotoLevel, photo_level
from objectscan.engines.nvdiffrec.prior import material_at
from objectscan.errors import BadMasks
from objectscan.mesh.simplify import simplify
from objectscan.mesh.topology import weld_by_position
from objectscan.render import Hits, build_adjacency, interpolate_covered
from objectscan.types import Camera, Progress, ProgressFn, Reconstruction, View

STAGE = "cameras"
_FACES = 3000
_LEVELS: tuple[tuple[int, int, float], ...] = ((64, 80, 0.02), (128, 60, 0.006))
"""(longer image side in pixels, steps, first rate in radians and object distances a step), coarse to fine."""
_WEIGHTS = PhotoWeights(colour=0.5, outline=1.0)
"""Colour alone tells how a round object is turned."""
_FOCAL_PRIOR = 1.0
"""Weight of the squared log focal factor: outlines hardly tell focal length from distance."""
_LAID_TWICE = 2
"""A shift changes perspective, so that the second look corrects the first."""


@dataclass(frozen=True, slots=True)
class CameraFit:
    """Cameras in the frame of the surface, by photo name."""

    cameras: Mapping[str, Camera]
    overlaps: Mapping[str, float]
    """Intersection over union of the surface's outline with the mask, in [0, 1]; below 0.8 don't trust it."""


def estimate_cameras(surface: Reconstruction, views: Sequence[View], report: ProgressFn) -> CameraFit:
    """Refine guessed cameras of photos against a surface, by outlines and colours.

    Each view is on its own: its camera is first shifted so that the surface's box in the picture is the
    mask's, then turn, shift and focal length descend through the renderer. Guesses that were turned by 15
    degrees ended within 1 degree (docs/experiments.md). Cost: 8 views in 15 s on one core.

    Args:
        surface: With textures that show the object as the photos do, roughly.
        views: With masks; their cameras are the guesses, in the frame of the surface.
        report: Receives progress of the stage `cameras`.

    Raises:
        BadMasks: A view has no mask, or an empty one.
        OptimisationDiverged: A value became NaN or infinite.
    """
    model = _Model.of(surface)
    laid = tuple(_laid_over(view, model.vertices.numpy()) for view in views)
    done, total = 0, sum(steps for _, steps, _ in _LEVELS)
    centre, radius = model.ball()
    for edge_px, steps, rate in _LEVELS:
        photos = photo_level(laid, edge_px)
        cameras = ViewCameras(len(laid), centre, radius, learn=True)
        adam = torch.optim.Adam([cameras.delta], lr=rate, betas=(0.9, 0.99))
        for step in range(steps):
            adam.param_groups[0]["lr"] = rate * 0.1 ** (step / steps)
            adam.zero_grad()
            loss = _loss(model, photos, cameras)
            ensure_finite(STAGE, step, loss=loss)
            loss.backward()
            adam.step()
            done += 1
            report(Progress(STAGE, done / total))
        laid = _corrected(laid, cameras)
    overlaps = _overlaps(model, laid, centre, radius)
    names = [view.name for view in laid]
    return CameraFit({view.name: view.camera for view in laid}, dict(zip(names, overlaps, strict=True)))


def in_frame_of_surface(
    views: Sequence[View], world_from_surface: Float[np.ndarray, "4 4"]
) -> tuple[View, ...]:
    """The views with cameras in the frame of a surface that `registration.register` found in their world.

    Args:
        views: With cameras in a world of their own, e.g. from `reconviagen.predicted_cameras`.
        world_from_surface: A similarity.
    """
    scale = np.cbrt(np.linalg.det(world_from_surface[:3, :3]))
    moved = []
    for view in views:
        from_surface = np.linalg.inv(view.camera.world_from_camera) @ world_from_surface
        from_surface[:3] /= scale  # the picture does not tell the unit of length
        camera = replace(view.camera, world_from_camera=np.linalg.inv(from_surface))
        moved.append(replace(view, camera=camera))
    return tuple(moved)


@dataclass(frozen=True, slots=True)
class _Model:
    """A small version of the surface, ready to be drawn."""

    vertices: Tensor
    colours: Tensor
    faces: Tensor
    adjacency: Tensor

    @staticmethod
    def of(surface: Reconstruction) -> _Model:
        small = simplify(weld_by_position(surface.mesh), _FACES)
        faces = torch.from_numpy(small.faces)
        colours = material_at(small.vertices, surface)[:, :3].astype(np.float32)
        return _Model(
            torch.from_numpy(small.vertices), torch.from_numpy(colours), faces, build_adjacency(faces)
        )

    def ball(self) -> tuple[Float[np.ndarray, " 3"], float]:
        """(centre, radius) around it."""
        low, high = self.vertices.amin(dim=0).numpy(), self.vertices.amax(dim=0).numpy()
        return 0.5 * (low + high).astype(np.float64), 0.5 * float(np.linalg.norm(high - low))

    def drawn(self, photos: PhotoLevel, cameras: ViewCameras) -> Float[Tensor, "N H W 4"]:
        """Pictures of all views, unlit."""
        index = torch.arange(len(photos.pixels))
        clip = F.pad(self.vertices, (0, 1), value=1.0) @ cameras.clip_from_world(photos, index).mT

        def colour_of(hits: Hits) -> Tensor:
            return interpolate_covered(self.colours, self.faces, hits)

        return render_views(clip, self.faces, self.adjacency, photos.size, colour_of)


def _loss(model: _Model, photos: PhotoLevel, cameras: ViewCameras) -> Tensor:
    index = torch.arange(len(photos.pixels))
    pictures = model.drawn(photos, cameras)
    difference = photo_loss(pictures, photos.targets(index), _WEIGHTS).total
    return difference + _FOCAL_PRIOR * cameras.delta[:, 6].square().mean()


def _laid_over(view: View, vertices: np.ndarray) -> View:
    """The view with its camera shifted until the surface's box in the picture is that of the mask."""
    wanted = _box_of_mask(view)
    camera = view.camera
    for _ in range(_LAID_TWICE):
        camera_from_world = np.linalg.inv(camera.world_from_camera)
        points = vertices @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        depth = points[:, 2].mean()
        # A guess that stands inside or behind the object is first pulled back to where it shows all of it.
        back = max(0.0, 2.0 * np.ptp(points[:, 2]) - depth)
        points[:, 2] += back
        depth += back
        pixels = points @ camera.intrinsics.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        box = np.stack([pixels.min(axis=0), pixels.max(axis=0)])
        nearer = np.ptp(box, axis=0).max() / np.ptp(wanted, axis=0).max()
        lens = np.linalg.inv(camera.intrinsics)
        here, there = (lens @ np.append(middle.mean(axis=0), 1.0) for middle in (box, wanted))
        shift = depth * nearer * there - depth * here + np.array([0, 0, back])
        camera_from_world[:3, 3] += shift
        camera = replace(camera, world_from_camera=np.linalg.inv(camera_from_world))
    return replace(view, camera=camera)


def _box_of_mask(view: View) -> Float[np.ndarray, "2 2"]:
    """(x, y) of the first and last edge, in pixels."""
    if view.mask is None or not (view.mask > 127).any():
        raise BadMasks(f"{view.name} has no mask, or an empty one.", hint="Give a mask, or leave it out.")
    rows, columns = np.nonzero(view.mask > 127)
    return np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float64)


def _corrected(views: Sequence[View], cameras: ViewCameras) -> tuple[View, ...]:
    given = np.stack([np.linalg.inv(view.camera.world_from_camera) for view in views])
    corrected = []
    for view, matrix, zoom in zip(views, *cameras.corrected(given), strict=True):
        intrinsics = view.camera.intrinsics @ np.diag([zoom, zoom, 1.0])
        camera = replace(view.camera, intrinsics=intrinsics, world_from_camera=np.linalg.inv(matrix))
        corrected.append(replace(view, camera=camera))
    return tuple(corrected)


def _overlaps(model: _Model, views: Sequence[View], centre: np.ndarray, radius: float) -> list[float]:
    photos = photo_level(views, _LEVELS[-1][0])
    with torch.no_grad():
        drawn = model.drawn(photos, ViewCameras(len(views), centre, radius, learn=False))
    target = photos.targets(torch.arange(len(views)))
    known = target[..., 4] > 0.5  # an object that runs over the photo's edge is compared inside it
    ours, theirs = (drawn[..., 3] > 0.5) & known, (target[..., 3] > 0.5) & known
    both, either = (ours & theirs).sum(dim=(1, 2)), (ours | theirs).sum(dim=(1, 2))
    return [float(share) for share in both / either.clamp_min(1)]
