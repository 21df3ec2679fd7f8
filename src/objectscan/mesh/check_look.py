"""Faults of texture layout, texture and material, each as a finding with the number that decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numba import njit

from objectscan.mesh.load import LoadedMesh, Surface
from objectscan.mesh.topology import distinct_positions, face_areas
from objectscan.types import Finding

_OVERLAP_GRID = 1024
_OVERLAP_SHARE = 0.02
"""xatlas leaves 0.00005; mirrored halves or stacked charts give 0.3 and more."""
_NO_LAYOUT_SHARE = 0.5
_POOR_LAYOUT_SHARE = 0.02
_LARGEST_COORDINATE = 1e4
_SMALLEST_TEXTURE_PX = 16
_SMALL_TEXTURE_PX = 64
_ONE_COLOR = 2.0
"""Standard deviation in steps of 255."""
_BLACK = 8.0
_OPAQUE = 250


@dataclass(frozen=True, slots=True)
class LookCheck:
    """What texture layout, texture and material say."""

    findings: tuple[Finding, ...]
    facts: Mapping[str, float]


def check_look(loaded: LoadedMesh, is_kept: Bool[np.ndarray, " F"]) -> LookCheck:
    """Judge the look of a finite mesh by the faces `is_kept`; the others have been complained of already."""
    facts: dict[str, float] = {}
    findings = [*_layout(loaded, is_kept, facts)]
    if not any(finding.severity == "error" for finding in findings) and loaded.coordinates is not None:
        findings += _texture(loaded, is_kept, facts)
    for number in np.unique(loaded.surface_of_face[is_kept]):
        findings += _material(loaded.surfaces[number], loaded.file_format)
    once = {finding.code: finding for finding in findings}
    return LookCheck(tuple(once.values()), facts)


def _layout(loaded: LoadedMesh, is_kept: np.ndarray, facts: dict[str, float]) -> Iterator[Finding]:
    if loaded.coordinates is None:
        yield from _no_layout(loaded)
        return
    corners = loaded.coordinates[loaded.mesh.faces].astype(np.float64)
    broken = int((~(np.abs(corners) < _LARGEST_COORDINATE)).any(axis=(1, 2)).sum())
    if broken:
        yield Finding("invalid_uv", "error", f"{broken} faces have texture coordinates that are no numbers.")
        return
    edges = corners[:, 1:] - corners[:, :1]
    number_of = loaded.surface_of_face
    uv_area = 0.5 * np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
    area = face_areas(loaded.mesh) * is_kept
    unmapped = float(area[uv_area < 1e-14].sum() / max(area.sum(), 1e-30))
    facts["unmapped_share"] = unmapped
    if unmapped > _POOR_LAYOUT_SHARE:
        code, few = "degenerate_uv", unmapped <= _NO_LAYOUT_SHARE
        message = f"{unmapped:.0%} of the surface has no area in the texture."
        yield Finding(code, "warning" if few else "error", message)
        return
    overlap = max(_overlap_share(corners[is_kept & (number_of == number)]) for number in np.unique(number_of))
    facts["uv_overlap_share"] = overlap
    if overlap > _OVERLAP_SHARE:
        yield Finding(
            "overlapping_uv",
            "warning",
            f"{overlap:.0%} of the texture layout lies over other parts of it: those look the same.",
        )


def _no_layout(loaded: LoadedMesh) -> Iterator[Finding]:
    """Without texture coordinates: lost ones weigh more than none at all."""
    vertices, faces = len(loaded.mesh.vertices), len(loaded.mesh.faces)
    split = vertices - len(distinct_positions(loaded.mesh.vertices)[0])
    # A soup of triangles splits all vertices, normals split them at creases; else only texture seams do.
    is_lost = split > 0 and vertices < 3 * faces and not loaded.has_normals
    yield Finding(
        "missing_uv",
        "error" if is_lost else "warning",
        "The mesh has no texture coordinates"
        + (f", but {split} vertices are split as along texture seams: they were lost." if is_lost else "."),
    )
    if loaded.file_format == "obj" and all(surface.base_color_srgb is None for surface in loaded.surfaces):
        yield Finding(
            "missing_texture",
            "error",
            "The OBJ file names no texture. Keep its material and pictures beside it.",
        )


def _overlap_share(corners: Float[np.ndarray, "F 3 2"]) -> float:
    """Share of covered texels (of a 1024 x 1024 grid, wrapped around) that a further face covers."""
    covered, extra = _count_overlap(corners * _OVERLAP_GRID, _OVERLAP_GRID)
    return float(extra / max(covered, 1))


@njit(cache=True, nogil=True)
def _count_overlap(corners, grid):
    """(texel centres inside faces, those of them that an earlier face had)."""
    seen = np.zeros((grid, grid), np.bool_)
    covered = extra = 0
    for face in range(len(corners)):
        x, y = corners[face, :, 0], corners[face, :, 1]
        double_area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
        if double_area == 0.0 or max(np.ptp(x), np.ptp(y)) > 16 * grid:
            continue
        for row in range(int(np.floor(y.min())), int(np.ceil(y.max())) + 1):
            for column in range(int(np.floor(x.min())), int(np.ceil(x.max())) + 1):
                inside = True
                for k in range(3):
                    n = (k + 1) % 3
                    turn = (x[n] - x[k]) * (row + 0.5 - y[k]) - (y[n] - y[k]) * (column + 0.5 - x[k])
                    inside = inside and turn * double_area > 1e-9 * double_area * double_area
                if inside:
                    covered += 1
                    extra += seen[row % grid, column % grid]
                    seen[row % grid, column % grid] = True
    return covered, extra


def _texture(loaded: LoadedMesh, is_kept: np.ndarray, facts: dict[str, float]) -> Iterator[Finding]:
    """Of the texture that most of the surface has."""
    area = np.bincount(loaded.surface_of_face, face_areas(loaded.mesh) * is_kept)
    number = int(area.argmax())
    texture = loaded.surfaces[number].base_color_srgb
    if texture is None:
        yield Finding(
            "missing_texture", "error", "The mesh has texture coordinates but no base colour texture."
        )
        return
    smallest_px = min(texture.shape[:2])
    facts["texture_px"] = float(smallest_px)
    if smallest_px < _SMALL_TEXTURE_PX:
        size = f"{texture.shape[1]} x {texture.shape[0]}"
        yield Finding(
            "texture_too_small",
            "error" if smallest_px < _SMALLEST_TEXTURE_PX else "warning",
            f"A texture of {size} pixels shows no detail.",
        )
        return
    colors = _seen_colors(loaded, is_kept & (loaded.surface_of_face == number), texture).astype(np.float64)
    spread, mean = float(colors.std(axis=0).max()), float(colors.mean())
    facts |= {"texture_spread": spread, "texture_mean": mean}
    if spread < _ONE_COLOR:
        what = "black" if mean < _BLACK else "of one colour"
        yield Finding(
            "texture_empty",
            "error" if mean < _BLACK else "warning",
            f"Where the surface uses it, the texture is {what}. Right only for an object that is.",
        )


def _seen_colors(
    loaded: LoadedMesh, is_used: Bool[np.ndarray, " F"], texture: UInt8[np.ndarray, "H W 4"]
) -> UInt8[np.ndarray, "S 3"]:
    """Nearest texels at four points inside each of some faces."""
    assert loaded.coordinates is not None
    corners = loaded.coordinates[loaded.mesh.faces[is_used]]
    weights = np.array([(1, 1, 1), (4, 1, 1), (1, 4, 1), (1, 1, 4)], float)
    points = np.einsum("sk,fkc->fsc", weights / weights.sum(axis=1, keepdims=True), corners).reshape(-1, 2)
    height, width = texture.shape[:2]
    columns = np.floor(points[:, 0] * width).astype(np.int64) % width
    rows = np.floor(points[:, 1] * height).astype(np.int64) % height
    return np.asarray(texture[rows, columns, :3])


def _material(surface: Surface, file_format: str) -> Iterator[Finding]:
    is_metal = surface.metallic_factor is None or surface.metallic_factor >= 1.0
    is_gltf = file_format in ("glb", "gltf")
    if is_gltf and is_metal and surface.base_color_srgb is not None and not surface.has_metallic_texture:
        yield Finding(
            "metallic_default",
            "warning",
            "The whole object is metal, as glTF takes it if nothing is said: matt things look nearly black.",
        )
    texture = surface.base_color_srgb
    if surface.alpha_mode == "BLEND" and (texture is None or texture[..., 3].min() >= _OPAQUE):
        yield Finding(
            "alpha_mode",
            "warning",
            "The material is blended although nothing shows through: set it to OPAQUE.",
        )
