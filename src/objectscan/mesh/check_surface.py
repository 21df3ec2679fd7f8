"""Faults of a surface that geometry alone shows, each as a finding with the number that decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from objectscan.mesh.bends import folded_bands, rough_vertices, spike_vertices
from objectscan.mesh.check_body import LOOSE_SHARE, Body, faces_in, main_pieces, prepare
from objectscan.mesh.holes import close_holes
from objectscan.mesh.intersections import intersecting_faces
from objectscan.mesh.topology import (
    TopologyFacts,
    connected_components,
    edge_table,
    face_areas,
    non_manifold_vertices,
    topology_facts,
    weld_by_position,
)
from objectscan.types import Finding, Mesh

_FEWEST_FACES = 80
"""An icosahedron divided once: below it no scanned shape is recognisable."""
_FEWEST_FACES_OF_A_BODY = 4
_FLAT = 1e-4
"""Thickness per length. A sheet of paper has 3e-4."""
_LOST_DIGITS = (1e-5, 1e-3)
"""float32 step at the farthest coordinate per diagonal: texture-sized steps, visible destruction."""
_USUAL_SIZE = (1e-3, 1e3)
"""Metres; glTF's unit."""
_DEGENERATE_SHARE = 1e-3
_MANY_HOLES = 20
_INCOMPLETE_SHARE = 0.15
"""Of the closed surface: a missing standing area is below 0.05, a missing half above 0.25."""
_MANY_LOOSE = 10
_ROUGH_SHARE = 0.12
"""Of the vertices. Scanned and modelled objects have up to 0.04, noise of 0.6 % of the diagonal 0.19."""
_FEWEST_FACES_FOR_ROUGHNESS = 500
"""Below, corners are the shape."""
_MANY_BLOCKS = 20
_INTERSECTING_SHARE = 1e-3
_MANY_SPIKES = 5


@dataclass(frozen=True, slots=True)
class SurfaceCheck:
    """What the geometry alone says."""

    findings: tuple[Finding, ...]
    facts: Mapping[str, float]
    is_kept: Bool[np.ndarray, " F"]
    """Faces that stay if what was found loose, doubled, standing off or without area is removed."""


def check_surface(mesh: Mesh, *, is_mirrored: bool) -> SurfaceCheck:
    """Judge a finite mesh with faces, as stored in its file.

    Where the positions are destroyed or the shape is flat, finer tests say nothing and are left out.
    """
    facts: dict[str, float] = {"faces": float(len(mesh.faces))}
    size = list(_size(mesh, facts)) or list(_flatness(mesh, facts))
    if any(finding.severity == "error" for finding in size):
        return SurfaceCheck(tuple(size), facts, np.ones(len(mesh.faces), bool))
    body = prepare(mesh)
    topology = topology_facts(body.body)
    facts |= {"components": float(topology.components), "genus": float(topology.genus or 0)}
    findings = [
        *size,
        *_count(mesh),
        *_faces(body, facts),
        *_borders(body, topology, facts),
        *_orientation(body, topology, is_mirrored, facts),
        *_pieces(body, facts),
        *_form(body, topology, facts),
    ]
    return SurfaceCheck(tuple(findings), facts, faces_in(mesh, main_pieces(body.body)))


def _size(mesh: Mesh, facts: dict[str, float]) -> Iterator[Finding]:
    used = mesh.vertices[mesh.faces].reshape(-1, 3).astype(np.float64)
    diagonal = float(np.linalg.norm(np.ptp(used, axis=0)))
    longest = float(np.ptp(used, axis=0).max())
    step = float(np.abs(used).max()) * float(np.finfo(np.float32).eps)
    facts |= {"longest_side": longest, "coordinate_step": step}
    if step > _LOST_DIGITS[0] * diagonal:
        is_destroyed = step > _LOST_DIGITS[1] * diagonal
        yield Finding(
            "bad_scale",
            _severity(is_destroyed),
            f"The object is {longest:.3g} long but {np.abs(used).max():.3g} from the origin: 32-bit numbers "
            f"there have steps of {step:.2g}. Move it to the origin before export.",
        )
    elif not _USUAL_SIZE[0] <= longest <= _USUAL_SIZE[1]:
        yield Finding(
            "bad_scale",
            "warning",
            f"The longest side is {longest:.3g}, in metres as glTF has it. Check the unit.",
        )


def _flatness(mesh: Mesh, facts: dict[str, float]) -> Iterator[Finding]:
    used = mesh.vertices[np.unique(mesh.faces)].astype(np.float64)
    axes = np.linalg.svd((used - used.mean(axis=0)).T @ (used - used.mean(axis=0)))[0]
    extents = np.ptp(used @ axes, axis=0)
    facts["thickness_per_length"] = float(extents.min() / max(extents.max(), 1e-30))
    if len(mesh.faces) >= _FEWEST_FACES_OF_A_BODY and facts["thickness_per_length"] < _FLAT:
        yield Finding(
            "degenerate_shape",
            "error",
            f"The shape is flat: {extents.min():.2g} thick and {extents.max():.3g} long.",
        )


def _count(mesh: Mesh) -> Iterator[Finding]:
    count = len(mesh.faces)
    if count < _FEWEST_FACES:
        yield Finding(
            "too_few_faces",
            _severity(count < _FEWEST_FACES_OF_A_BODY),
            f"{count} faces can't show an object's shape.",
        )


def _faces(body: Body, facts: dict[str, float]) -> Iterator[Finding]:
    """Faces without area, faces that occur twice, edges and points where more than one surface meets."""
    degenerate = len(body.raw.faces) - int((face_areas(body.raw) > 0).sum())
    doubles = _same_way_doubles(body.welded)
    crowded = topology_facts(body.welded).non_manifold_edges
    pinched = _pinched(body.single)
    facts |= {
        "degenerate_faces": float(degenerate),
        "duplicate_faces": float(doubles),
        "non_manifold_edges": float(crowded),
        "non_manifold_vertices": float(pinched),
    }
    if degenerate > _DEGENERATE_SHARE * len(body.raw.faces):
        yield Finding("degenerate_faces", "warning", f"{degenerate} faces have no area. Remove them.")
    if doubles:
        yield Finding("duplicate_faces", "warning", f"{doubles} faces occur more than once. Remove them.")
    if body.fins:
        yield Finding(
            "nonmanifold_edges",
            "error",
            f"{body.fins} pieces stand on edges of the surface, where more than two faces meet. Remove them.",
        )
    elif crowded and doubles:
        yield Finding(
            "nonmanifold_edges",
            "warning",
            f"{crowded} edges join more than two faces, because faces occur more than once.",
        )
    if pinched:
        yield Finding(
            "nonmanifold_vertex",
            "warning",
            f"{pinched} points join parts that share nothing else; slicers may refuse. Split them.",
        )


def _same_way_doubles(mesh: Mesh) -> int:
    """Faces on the same vertices as another that looks the same way."""
    first = mesh.faces.argmin(axis=1)[:, None]
    ordered = np.take_along_axis(mesh.faces, (first + np.arange(3)) % 3, axis=1)
    return len(ordered) - len(np.unique(ordered, axis=0))


def _pinched(mesh: Mesh) -> int:
    """Vertices between separate fans of an else manifold surface; on borders and crowded edges that is
    usual.
    """
    edges, edge_of = edge_table(mesh.faces)
    uses = np.bincount(edge_of, minlength=len(edges))
    if (uses > 2).any():
        return 0
    is_pinched = non_manifold_vertices(mesh)
    is_pinched[edges[uses == 1]] = False
    return int(is_pinched.sum())


def _borders(body: Body, topology: TopologyFacts, facts: dict[str, float]) -> Iterator[Finding]:
    closed, invented = close_holes(body.body)
    area = face_areas(closed)
    share = float(area[invented].sum() / max(area.sum(), 1e-30))
    facts |= {"holes": float(topology.boundary_loops), "open_share": share}
    if not topology.boundary_loops:
        return
    yield Finding(
        "boundary",
        _severity(topology.boundary_loops > _MANY_HOLES),
        f"The surface has {topology.boundary_loops} holes with {topology.boundary_edges} border edges.",
    )
    if share > _INCOMPLETE_SHARE and len(body.raw.faces) >= _FEWEST_FACES:
        yield Finding(
            "incomplete",
            "error",
            f"About {share:.0%} of the closed surface is missing: a part of the object is gone.",
        )


def _orientation(
    body: Body, topology: TopologyFacts, is_mirrored: bool, facts: dict[str, float]
) -> Iterator[Finding]:
    volume = topology_facts(close_holes(body.body)[0]).volume
    facts["volume"] = volume
    if not topology.is_winding_consistent:
        yield Finding(
            "inconsistent_winding", "error", "Neighbouring faces look to different sides. Reorient them."
        )
    elif volume < 0:
        yield Finding("inverted_normals", "error", "The surface is inside out. Turn all faces.")
    elif is_mirrored:
        yield Finding(
            "inverted_normals",
            "warning",
            "A node mirrors the mesh. Viewers turn its faces back; tools that apply the matrix must too.",
        )


def _pieces(body: Body, facts: dict[str, float]) -> Iterator[Finding]:
    area = np.bincount(connected_components(body.single), face_areas(body.single))
    loose = int((area < LOOSE_SHARE * area.max(initial=0.0)).sum())
    facts["loose_pieces"] = float(loose)
    if loose:
        yield Finding(
            "floaters", _severity(loose > _MANY_LOOSE), f"{loose} small loose pieces float around the object."
        )


def _form(body: Body, topology: TopologyFacts, facts: dict[str, float]) -> Iterator[Finding]:
    """Noise, spikes and surfaces that pass through each other, of the pieces that are not loose."""
    if not topology.is_winding_consistent:
        return
    main = main_pieces(body.body)
    rough = float(rough_vertices(main).mean()) if len(main.faces) >= _FEWEST_FACES_FOR_ROUGHNESS else 0.0
    spikes = int(spike_vertices(main).sum())
    crossing = int(intersecting_faces(weld_by_position(main)).sum())
    bands = folded_bands(main)
    facts |= {
        "rough_share": rough,
        "touching_blocks": float(body.blocks),
        "spikes": float(spikes),
        "intersecting_faces": float(crossing),
        "folds": float(bands),
    }
    if rough > _ROUGH_SHARE:
        yield Finding(
            "rough_surface", "warning", f"{rough:.0%} of the surface's points are bent to and fro: noise."
        )
    elif body.blocks > _MANY_BLOCKS:
        yield Finding(
            "rough_surface", "warning", f"The surface is made of {body.blocks} blocks that touch in edges."
        )
    elif crossing > _INTERSECTING_SHARE * len(main.faces) or bands:
        # A rough surface crosses itself by its noise: that is one fault, not two.
        what = (
            f"{crossing} faces pass through others"
            if crossing
            else f"{bands} parts fold back over the surface"
        )
        yield Finding("self_intersection", "warning", f"{what}; slicers may refuse.")
    if spikes:
        yield Finding(
            "spikes",
            _severity(spikes >= _MANY_SPIKES),
            f"{spikes} points stick far out of the surface around them.",
        )


def _severity(is_error: bool) -> Literal["error", "warning"]:
    return "error" if is_error else "warning"
