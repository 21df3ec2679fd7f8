"""Where a generated surface stands among the photos: turned, moved and scaled until outlines agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from objectscan.engines.nvdiffrec.appearance import render_views
from objectscan.engines.nvdiffrec.cameras import ViewCameras
from objectscan.engines.nvdiffrec.hull import carve, object_bounds
from objectscan.engines.nvdiffrec.photo_loss import PhotoWeights, photo_loss
from objectscan.engines.nvdiffrec.photos import PhotoLevel, photo_level
from objectscan.engines.nvdiffrec.prior import material_at
from objectscan.engines.nvdiffrec.silhouettes import silhouettes
from objectscan.errors import NotRegistered
from objectscan.mesh.simplify import simplify
from objectscan.mesh.topology import weld_by_position
from objectscan.render import Hits, build_adjacency, interpolate_covered
from objectscan.types import Capture, Mesh, Progress, ProgressFn, Reconstruction

STAGE = "register"
_EDGE_PX = 96
_FACES = 3000
_MOST_VIEWS = 12
_TURNS = 12
"""First guesses around the vertical: 30 degrees apart, half of which the descent bridges."""
_FOLLOWED = 3
"""Guesses that are followed to the end."""
_STEPS = 80
_RATE = 0.02
_WEIGHTS = PhotoWeights(colour=0.5, outline=1.0)
"""Colour alone tells how a round object is turned."""
_SMALLEST_OVERLAP = 0.8
_HULL_CELLS = 48


@dataclass(frozen=True, slots=True)
class Registration:
    """A similarity and how well it fits."""

    world_from_surface: Float[np.ndarray, "4 4"]
    """Rotation times scale, and a shift."""
    overlap: float
    """Mean over the views of the outlines' intersection over union, in [0, 1]."""


def register(surface: Reconstruction, capture: Capture, report: ProgressFn) -> Registration:
    """Find the similarity that lays a surface over the photos.

    The surface must stand upright in the capture's world; how it is turned, where it stands and its size may
    be anything. First guesses have the visual hull's height and middle; the best are followed by descent on
    outlines and colours of at most 12 views.

    Args:
        surface: With textures that show it as the photos do, roughly.
        capture: Views with masks and known cameras.
        report: Receives progress of the stage `register`.

    Raises:
        NotRegistered: The outlines overlap by less than 0.8 at the best place: the surface is of something
            else, or the cameras are wrong.
        EmptyForeground: No point is inside all masks.
        BadMasks: A view has no mask.
    """
    scene = _Scene.of(surface, capture)
    guesses = list(_guesses(scene, capture))
    losses = [float(scene.loss(torch.from_numpy(guess), torch.zeros(7))) for guess in guesses]
    best: tuple[float, np.ndarray] | None = None
    for number, k in enumerate(np.argsort(losses, kind="stable")[:_FOLLOWED]):
        report(Progress(STAGE, number / _FOLLOWED, "laying the surface over the photos"))
        loss, matrix = _descended(scene, guesses[k])
        if best is None or loss < best[0]:
            best = loss, matrix
    assert best is not None
    overlap = scene.overlap(best[1])
    report(Progress(STAGE, 1.0, f"outlines overlap by {overlap:.2f}"))
    if overlap < _SMALLEST_OVERLAP:
        raise NotRegistered(
            f"The generated object covers the photos' outlines by {overlap:.2f} at best; {_SMALLEST_OVERLAP} "
            "is needed to go on from it.",
            hint="Try another seed, or use --engine reconviagen for the generated object as it is.",
            details={"overlap": overlap},
        )
    return Registration(best[1], overlap)


def moved(surface: Reconstruction, world_from_surface: Float[np.ndarray, "4 4"]) -> Reconstruction:
    """The surface in the world, registered with the photos."""
    vertices = surface.mesh.vertices @ world_from_surface[:3, :3].T + world_from_surface[:3, 3]
    mesh = Mesh(vertices.astype(np.float32), surface.mesh.faces)
    return replace(surface, mesh=mesh, is_registered=True)


@dataclass(frozen=True, slots=True)
class _Scene:
    """A small version of surface and photos, ready to be drawn."""

    vertices: Tensor
    colours: Tensor
    faces: Tensor
    adjacency: Tensor
    photos: PhotoLevel
    cameras: ViewCameras
    box: Float[np.ndarray, "2 3"]
    """Of the visual hull."""

    @staticmethod
    def of(surface: Reconstruction, capture: Capture) -> _Scene:
        views = capture.views[:: -(-len(capture.views) // _MOST_VIEWS)]
        outlines = silhouettes(views)
        places = np.stack([view.camera.world_from_camera[:3, 3] for view in views])
        box = object_bounds(outlines, places, capture.bounds)
        field = carve(outlines, box, float((box[1] - box[0]).max()) / _HULL_CELLS)
        inside = np.argwhere(field.values < 0) * field.spacing + field.origin
        box = np.stack([inside.min(axis=0), inside.max(axis=0)])
        small = simplify(weld_by_position(surface.mesh), _FACES)
        faces = torch.from_numpy(small.faces)
        return _Scene(
            vertices=torch.from_numpy(small.vertices),
            colours=torch.from_numpy(material_at(small.vertices, surface)[:, :3].astype(np.float32)),
            faces=faces,
            adjacency=build_adjacency(faces),
            photos=photo_level(views, _EDGE_PX),
            cameras=ViewCameras(
                len(views), box.mean(axis=0), float(np.linalg.norm(box[1] - box[0])), learn=False
            ),
            box=box,
        )

    def pictures(self, guess: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """(drawn [N H W 4], photos [N H W 5]) with the surface at `change` after `guess`."""
        placed = self.vertices @ guess[:3, :3].T.float() + guess[:3, 3].float()
        middle, size = (torch.from_numpy(part).float() for part in (self.box.mean(0), np.ptp(self.box, 0)))
        turned = (placed - middle) @ _turn(change[:3]).T * change[3].exp()
        vertices = turned + middle + change[4:] * size.max()
        index = torch.arange(len(self.photos.pixels))
        clip = F.pad(vertices, (0, 1), value=1.0) @ self.cameras.clip_from_world(self.photos, index).mT

        def colour_of(hits: Hits) -> Tensor:
            return interpolate_covered(self.colours, self.faces, hits)

        drawn = render_views(clip, self.faces, self.adjacency, self.photos.size, colour_of)
        return drawn, self.photos.targets(index)

    def loss(self, guess: Tensor, change: Tensor) -> Tensor:
        """Outline and colour difference."""
        return photo_loss(*self.pictures(guess, change), _WEIGHTS).total

    def overlap(self, world_from_surface: np.ndarray) -> float:
        """See `Registration.overlap`."""
        with torch.no_grad():
            drawn, photos = self.pictures(torch.from_numpy(world_from_surface), torch.zeros(7))
        ours, theirs = drawn[..., 3] > 0.5, photos[..., 3] > 0.5
        both, either = (ours & theirs).sum(dim=(1, 2)), (ours | theirs).sum(dim=(1, 2))
        return float((both / either.clamp_min(1)).mean())


def _guesses(scene: _Scene, capture: Capture) -> Iterator[Float[np.ndarray, "4 4"]]:
    """The hull's height and middle, turned about the vertical."""
    up = capture.delivered_from_world[1, :3]
    corners = np.stack(np.meshgrid(*scene.box.T, indexing="ij"), axis=-1).reshape(-1, 3)
    points = scene.vertices.numpy().astype(np.float64)
    scale = np.ptp(corners @ up) / max(np.ptp(points @ up), 1e-12)
    for turn in range(_TURNS):
        linear = scale * Rotation.from_rotvec(2 * np.pi * turn / _TURNS * up).as_matrix()
        turned = points @ linear.T
        guess = np.eye(4)
        guess[:3, :3] = linear
        guess[:3, 3] = scene.box.mean(axis=0) - 0.5 * (turned.min(axis=0) + turned.max(axis=0))
        yield guess


def _descended(scene: _Scene, guess: np.ndarray) -> tuple[float, Float[np.ndarray, "4 4"]]:
    """(loss, matrix) after Adam on turn, log scale and shift."""
    change = torch.zeros(7, requires_grad=True)
    adam = torch.optim.Adam([change], lr=_RATE)
    start = torch.from_numpy(guess)
    for step in range(_STEPS):
        adam.param_groups[0]["lr"] = _RATE * 0.1 ** (step / _STEPS)
        adam.zero_grad()
        scene.loss(start, change).backward()
        adam.step()
    with torch.no_grad():
        loss = float(scene.loss(start, change))
    middle, size = scene.box.mean(axis=0), np.ptp(scene.box, axis=0).max()
    values = change.detach().double()
    linear = _turn(values[:3]).numpy() * float(values[3].exp())
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = middle - linear @ middle + values[4:].numpy() * size
    return loss, matrix @ guess


def _turn(vector: Tensor) -> Float[Tensor, "3 3"]:
    x, y, z = vector
    zero = torch.zeros_like(x)
    return torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3))
