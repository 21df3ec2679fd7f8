"""From a generated mesh to a textured one: clean and simplify, lay out, bake colours texel by texel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial import cKDTree

from objectscan.errors import EmptyForeground
from objectscan.mesh.bake import fill_gutters, surface_points, texel_coverage
from objectscan.mesh.simplify import simplify
from objectscan.mesh.topology import drop_floaters, weld_by_position
from objectscan.mesh.uv import Layout, lay_out
from objectscan.recipes import Budget
from objectscan.types import Material, Mesh, UvMap

ROUGHNESS, METALLIC = 1.0, 0.0
"""Published results are matt; without `METALLIC` glTF's default would make them dark metal."""
_NEIGHBOURS = 16
_CHUNK_TEXELS = 1 << 16
_SMALLEST_WEIGHT = 1e-30

Colouring = Callable[[Float32[np.ndarray, "P 3"]], Float32[np.ndarray, "P 3"]]
"""Colours (sRGB, in [0, 1]) at points of the surface."""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """The mesh that is delivered, and its atlas."""

    mesh: Mesh
    layout: Layout


def laid_out(mesh: Mesh, budget: Budget, while_waiting: Callable[[], None]) -> LaidOut:
    """Drop loose pieces and cavities, simplify, lay out an atlas.

    Raises:
        EmptyForeground: Nothing is left.
        UvFailed: No atlas could be made.
    """
    whole = drop_floaters(weld_by_position(mesh))
    if not len(whole.faces):
        raise EmptyForeground(
            "No surface is left of what was generated after loose pieces were dropped.",
            hint="Try another seed, or check that the photos show one object on a removed background.",
        )
    small = simplify(whole, budget.faces)
    layout = lay_out(
        small, texture_size_px=budget.texture_size_px, timeout_s=budget.layout_timeout_s,
        while_waiting=while_waiting,
    )  # fmt: skip
    return LaidOut(small, layout)


def baked(
    mesh: Mesh, uv: UvMap, colours_at: Colouring, *, size_px: int, done: Callable[[float], None]
) -> Material:
    """A matt material with the colour at each texel's point of the surface, spread over the gutters.

    1024 x 1024 texels with 16 neighbours each take about 5 s on one core.

    Args:
        mesh: Same frame as `colours_at`.
        uv: Its atlas.
        colours_at: Where the colours come from.
        size_px: Edge of the textures.
        done: Receives the share of texels that is done; may raise `Cancelled`.
    """
    texels = texel_coverage(mesh, uv, size_px)
    points = surface_points(mesh, texels)
    image = np.zeros((size_px * size_px, 3), np.float32)
    for span in _spans(len(points)):
        image[texels.index[span]] = colours_at(points[span])
        done(span.stop / len(points))
    covered = np.zeros(size_px * size_px, bool)
    covered[texels.index] = True
    colour = fill_gutters(image.reshape(size_px, size_px, 3), covered.reshape(size_px, size_px))
    rest = np.tile(np.array([1.0, ROUGHNESS, METALLIC], np.float32), (size_px, size_px, 1))
    return Material(np.clip(colour, 0.0, 1.0), rest, None)


def from_vertices(
    vertices: Float32[np.ndarray, "V 3"], colours_srgb: Float32[np.ndarray, "V 3"], *, spacing: float
) -> Colouring:
    """Colours of the nearest vertices, weighted by exp(-d^2 / 2 s^2) with s = half of their `spacing`."""
    tree = cKDTree(vertices)

    def colours_at(points: Float32[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]:
        distance, nearest = _nearest(tree, points)
        return _mean(-0.5 * (distance / (0.5 * spacing)) ** 2, colours_srgb[nearest])

    return colours_at


def from_gaussians(
    positions: Float32[np.ndarray, "G 3"],
    colours_srgb: Float32[np.ndarray, "G 3"],
    opacities: Float32[np.ndarray, " G"],
    covariances: Float32[np.ndarray, "G 3 3"],
) -> Colouring:
    """Colours of the nearest Gaussians, each weighted by its opacity times its density at the point."""
    tree = cKDTree(positions)
    precision = np.linalg.inv(covariances.astype(np.float64)).astype(np.float32)
    log_opacity = np.log(np.maximum(opacities, _SMALLEST_WEIGHT))

    def colours_at(points: Float32[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]:
        _, nearest = _nearest(tree, points)
        offset = points[:, None] - positions[nearest]
        exponent = np.einsum("pki,pkij,pkj->pk", offset, precision[nearest], offset, optimize=True)
        return _mean(log_opacity[nearest] - 0.5 * exponent, colours_srgb[nearest])

    return colours_at


def placed(
    mesh: Mesh, delivered_from_world: Float[np.ndarray, "4 4"], delivered_from_generated: np.ndarray
) -> Mesh:
    """The mesh in the capture's world: upright when delivered, standing on the origin. Its size is kept."""
    world_from_generated = delivered_from_world[:3, :3].T @ delivered_from_generated[:3, :3]
    upright = mesh.vertices @ delivered_from_generated[:3, :3].T
    low, high = upright.min(axis=0), upright.max(axis=0)
    foot = np.array([0.5 * (low[0] + high[0]), low[1], 0.5 * (low[2] + high[2])])
    shift = delivered_from_world[:3, :3].T @ foot
    return Mesh((mesh.vertices @ world_from_generated.T - shift).astype(np.float32), mesh.faces)


def _nearest(tree: cKDTree, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(distances, indices), both [P K] with K at most `_NEIGHBOURS`."""
    wanted = list(range(1, min(_NEIGHBOURS, tree.n) + 1))
    distance, index = tree.query(points, k=wanted)
    return distance, index


def _mean(log_weights: np.ndarray, colours: np.ndarray) -> Float32[np.ndarray, "P 3"]:
    """Weighted mean over the neighbours; far from all of them the likeliest one alone counts."""
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("pk,pkc->pc", weights, colours).astype(np.float32)


def _spans(count: int) -> Iterator[slice]:
    for first in range(0, count, _CHUNK_TEXELS):
        yield slice(first, min(first + _CHUNK_TEXELS, count))
