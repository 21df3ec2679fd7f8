"""Small versions of damaged mesh files, made here, and the verdict and reasons each must get."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import trimesh

from helpers.gltf import read_chunks, with_document
from mesh.samples import as_mesh, ball, blob, cube, grid_layout, joined, soup, torus, without
from objectscan.mesh.box_unwrap import box_unwrap
from objectscan.mesh.check import check_mesh, check_mesh_file
from objectscan.mesh.export.glb import glb_bytes
from objectscan.mesh.load import LoadedMesh, Surface
from objectscan.types import Material, Mesh

RNG = np.random.default_rng(5)
PICTURE = RNG.integers(0, 256, (128, 128, 4), np.uint8) | np.array([0, 0, 0, 255], np.uint8)
LOOK = Surface(PICTURE, 0.0, False, "OPAQUE")
BODY = blob(3000)


def seamed(mesh: Mesh) -> tuple[Mesh, np.ndarray]:
    """(mesh with vertices split at the charts of a layout, texture coordinates)."""
    layout = box_unwrap(mesh, 512)
    keys = np.stack([mesh.faces.reshape(-1), layout.faces.reshape(-1)], axis=1)
    distinct, index = np.unique(keys, axis=0, return_inverse=True)
    faces = index.reshape(-1, 3).astype(np.int32)
    return Mesh(mesh.vertices[distinct[:, 0]], faces), layout.coordinates[distinct[:, 1]]


def loaded(
    mesh: Mesh,
    coordinates: np.ndarray | None = None,
    *,
    surface: Surface = LOOK,
    file_format: str = "glb",
    is_mirrored: bool = False,
) -> LoadedMesh:
    numbers = np.zeros(len(mesh.faces), np.int32)
    return LoadedMesh(file_format, mesh, coordinates, (surface,), numbers, False, is_mirrored)


def textured(mesh: Mesh, surface: Surface = LOOK, **facts: bool) -> LoadedMesh:
    split, coordinates = seamed(mesh)
    return loaded(split, coordinates, surface=surface, **facts)


def painted(mesh: Mesh) -> LoadedMesh:
    """A damaged mesh with a clean layout, so that only its shape is at fault."""
    layout = grid_layout(mesh)
    return loaded(soup(mesh), layout.coordinates)


def moved(mesh: Mesh, scale: float, shift: float) -> Mesh:
    return Mesh((mesh.vertices.astype(float) * scale + shift).astype(np.float32), mesh.faces)


def turned(mesh: Mesh, faces: slice | np.ndarray) -> Mesh:
    changed = mesh.faces.copy()
    changed[faces] = changed[faces, ::-1]
    return Mesh(mesh.vertices, changed)


def noisy(mesh: Mesh, share: float) -> Mesh:
    diagonal = np.linalg.norm(np.ptp(mesh.vertices, axis=0))
    offset = np.random.default_rng(0).normal(size=mesh.vertices.shape) * share * diagonal
    return Mesh((mesh.vertices + offset).astype(np.float32), mesh.faces)


def spiked(mesh: Mesh, count: int) -> Mesh:
    vertices = mesh.vertices.copy()
    vertices[:: len(vertices) // count][:count] *= np.float32(2.0)
    return Mesh(vertices, mesh.faces)


def finned(mesh: Mesh, count: int) -> Mesh:
    a, b = mesh.faces[: 20 * count : 20, 0], mesh.faces[: 20 * count : 20, 1]
    tips = 1.2 * mesh.vertices[a]
    fins = np.stack([a, b, len(mesh.vertices) + np.arange(count)], axis=1)
    return Mesh(
        np.concatenate([mesh.vertices, tips]).astype(np.float32),
        np.concatenate([mesh.faces, fins]).astype(np.int32),
    )


def with_balls(mesh: Mesh, count: int) -> Mesh:
    places = np.random.default_rng(1).normal(size=(count, 3))
    places *= 2.0 / np.linalg.norm(places, axis=1, keepdims=True)
    return joined(
        mesh, *(Mesh(ball(1, 0.05).vertices + place.astype(np.float32), ball(1).faces) for place in places)
    )


def capless(mesh: Mesh, height: float) -> Mesh:
    return without(mesh, np.flatnonzero(mesh.vertices[mesh.faces].mean(axis=1)[:, 2] < height))


def pushed_in(mesh: Mesh) -> Mesh:
    vertices = mesh.vertices.copy()
    vertices[vertices[:, 2] > 0.8, 2] -= 1.2
    return Mesh(vertices, mesh.faces)


def blocks(cells: int) -> Mesh:
    grid = np.argwhere(np.linalg.norm(np.indices((cells,) * 3) - (cells - 1) / 2, axis=0) < cells / 2)
    from objectscan.mesh.topology import weld_by_position

    return weld_by_position(joined(*(cube(tuple(cell)) for cell in grid.tolist())))


def two_cones() -> Mesh:
    top = trimesh.creation.cone(0.5, 1.0, sections=48)
    top.apply_translation((0, 0, -1.0))
    up, down = as_mesh(top), as_mesh(top)
    down = Mesh(down.vertices * np.array([1, 1, -1], np.float32), down.faces[:, ::-1])
    return joined(up, down)


def nan_at(values: np.ndarray, rows: int) -> np.ndarray:
    changed = values.copy()
    changed[:rows] = np.nan
    return changed


def flat(level: int) -> Surface:
    picture = np.full((128, 128, 4), level, np.uint8)
    picture[..., 3] = 255
    return Surface(picture, 0.0, False, "OPAQUE")


SPLIT, COORDINATES = seamed(BODY)
SEE_THROUGH = np.where(np.arange(4) == 3, PICTURE // 2, PICTURE)

CASES: dict[str, tuple[LoadedMesh, str, list[str]]] = {
    "good": (textured(BODY), "pass", []),
    "unwelded": (painted(BODY), "pass", []),
    "thin": (textured(Mesh(BODY.vertices * np.array([1, 1, 0.01], np.float32), BODY.faces)), "pass", []),
    "open base": (textured(capless(ball(4), -0.93)), "warn", ["boundary"]),
    "small hole": (textured(without(BODY, range(9))), "warn", ["boundary"]),
    "large hole": (textured(capless(ball(4), 0.1)), "fail", ["boundary", "incomplete"]),
    "many holes": (textured(without(ball(4), range(0, 5000, 60))), "fail", ["boundary"]),
    "uv lost": (loaded(SPLIT), "fail", ["missing_uv"]),
    "never any uv": (loaded(BODY), "warn", ["missing_uv"]),
    "obj without material": (
        loaded(SPLIT, surface=Surface(None, None, False, "OPAQUE"), file_format="obj"),
        "fail",
        ["missing_uv", "missing_texture"],
    ),
    "uv but no texture": (
        textured(BODY, Surface(None, 0.0, False, "OPAQUE")),
        "fail",
        ["missing_texture"],
    ),
    "uv all zero": (loaded(SPLIT, np.zeros_like(COORDINATES)), "fail", ["degenerate_uv"]),
    "uv nan": (loaded(SPLIT, nan_at(COORDINATES, 4)), "fail", ["invalid_uv"]),
    "uv huge": (loaded(SPLIT, COORDINATES * np.float32(1e8)), "fail", ["invalid_uv"]),
    "uv stacked": (loaded(SPLIT, (4 * COORDINATES) % 1), "warn", ["overlapping_uv"]),
    "tiny texture": (
        textured(BODY, Surface(PICTURE[:4, :4], 0.0, False, "OPAQUE")),
        "fail",
        ["texture_too_small"],
    ),
    "small texture": (
        textured(BODY, Surface(PICTURE[:32, :32], 0.0, False, "OPAQUE")),
        "warn",
        ["texture_too_small"],
    ),
    "black": (textured(BODY, flat(0)), "fail", ["texture_empty"]),
    "grey": (textured(BODY, flat(128)), "warn", ["texture_empty"]),
    "metal": (textured(BODY, Surface(PICTURE, 1.0, False, "OPAQUE")), "warn", ["metallic_default"]),
    "metal by default": (
        textured(BODY, Surface(PICTURE, None, False, "OPAQUE")),
        "warn",
        ["metallic_default"],
    ),
    "metal by texture": (textured(BODY, Surface(PICTURE, 1.0, True, "OPAQUE")), "pass", []),
    "blended": (textured(BODY, Surface(PICTURE, 0.0, False, "BLEND")), "warn", ["alpha_mode"]),
    "see-through": (textured(BODY, Surface(SEE_THROUGH, 0.0, False, "BLEND")), "pass", []),
    "inside out": (textured(turned(BODY, slice(None))), "fail", ["inverted_normals"]),
    "mirrored": (textured(BODY, is_mirrored=True), "warn", ["inverted_normals"]),
    "some turned": (painted(turned(BODY, np.arange(0, 900, 3))), "fail", ["inconsistent_winding"]),
    "fins": (painted(finned(BODY, 40)), "fail", ["nonmanifold_edges"]),
    "shared point": (painted(two_cones()), "warn", ["nonmanifold_vertex"]),
    "two shells": (painted(joined(ball(3), moved(ball(3), 1, 0.6))), "warn", ["self_intersection"]),
    "pushed in": (painted(pushed_in(ball(5))), "warn", ["self_intersection"]),
    "sixty balls": (painted(with_balls(BODY, 60)), "fail", ["floaters"]),
    "one ball": (painted(with_balls(BODY, 1)), "warn", ["floaters"]),
    "nan": (loaded(Mesh(nan_at(SPLIT.vertices, 5), SPLIT.faces), COORDINATES), "fail", ["non_finite"]),
    "far away": (painted(moved(BODY, 1, 1e7)), "fail", ["bad_scale"]),
    "quite far away": (painted(moved(BODY, 1, 500)), "warn", ["bad_scale"]),
    "tiny": (painted(moved(BODY, 1e-4, 0)), "warn", ["bad_scale"]),
    "huge": (painted(moved(BODY, 1e5, 0)), "warn", ["bad_scale"]),
    "without area": (
        painted(Mesh(BODY.vertices, np.concatenate([BODY.faces, BODY.faces[:99, [0, 1, 1]]]))),
        "warn",
        ["degenerate_faces"],
    ),
    "duplicates": (
        painted(Mesh(BODY.vertices, np.concatenate([BODY.faces, BODY.faces[:99]]))),
        "warn",
        ["duplicate_faces", "nonmanifold_edges"],
    ),
    "noise": (painted(noisy(ball(4), 0.006)), "warn", ["rough_surface"]),
    "less noise": (painted(noisy(ball(4), 0.001)), "pass", []),
    "spikes": (painted(spiked(ball(4), 25)), "fail", ["spikes"]),
    "two spikes": (painted(spiked(ball(4), 2)), "warn", ["spikes"]),
    "blocks": (painted(blocks(8)), "warn", ["rough_surface"]),
    "few faces": (painted(ball(0)), "warn", ["too_few_faces"]),
    "one triangle": (
        loaded(Mesh(np.eye(3, dtype=np.float32), np.array([(0, 1, 2)], np.int32))),
        "fail",
        ["too_few_faces", "boundary", "missing_uv"],
    ),
    "flat": (
        textured(Mesh(BODY.vertices * np.array([1, 1, 0], np.float32), BODY.faces)),
        "fail",
        ["degenerate_shape"],
    ),
    "points": (loaded(Mesh(BODY.vertices, np.zeros((0, 3), np.int32))), "fail", ["no_faces"]),
    "ring": (painted(torus(48, 12)), "pass", []),
}


@pytest.mark.parametrize("name", CASES)
def test_each_fault_gets_its_verdict_and_only_its_reasons(name: str) -> None:
    case, verdict, reasons = CASES[name]
    got = check_mesh(case)
    assert (got.verdict, list(got.reasons)) == (verdict, reasons), got.facts
    assert all(finding.message.strip() for finding in got.findings)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.glb", b"", "invalid_file"),
        ("magic.glb", b"nope" * 30, "invalid_file"),
        (
            "far.gltf",
            b'{"asset": {"version": "2.0"}, "buffers": [{"byteLength": 4, "uri": "../x.bin"}]}',
            "external_reference",
        ),
    ],
)
def test_a_file_that_cannot_be_read_fails_with_its_name(
    name: str, data: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    got = check_mesh_file(tmp_path / name)
    assert got.verdict == "fail" and got.reasons == (reason,)
    assert name in got.findings[0].message


def test_our_own_files_pass(tmp_path: Path) -> None:
    picture = PICTURE[..., :3].astype(np.float32) / 255
    layout = box_unwrap(BODY, 512)
    (tmp_path / "own.glb").write_bytes(glb_bytes(BODY, layout, Material(picture, picture, None)))
    assert check_mesh_file(tmp_path / "own.glb").reasons == ()


def test_a_verdict_from_a_file_matches_the_one_from_memory(tmp_path: Path) -> None:
    picture = PICTURE[..., :3].astype(np.float32) / 255
    layout = box_unwrap(BODY, 512)
    data = glb_bytes(BODY, layout, Material(picture, picture, None))
    document, _ = read_chunks(data)
    document["nodes"][0]["scale"] = [-1, 1, 1]
    document["materials"][0]["alphaMode"] = "BLEND"
    (tmp_path / "bad.glb").write_bytes(with_document(data, document))
    got = check_mesh_file(tmp_path / "bad.glb")
    assert got.verdict == "warn" and got.reasons == ("inverted_normals", "alpha_mode")


def test_every_reason_is_explained() -> None:
    root = Path(__file__).parents[2]
    source = "\n".join(file.read_text() for file in (root / "src/objectscan/mesh").glob("check*.py"))
    made = set(re.findall(r'Finding\(\s*"([a-z_0-9]+)"', source)) | {"invalid_file", "external_reference"}
    page = (root / "docs/findings.md").read_text().split("## Meshes")[1]
    assert len(made) >= 24
    assert made <= set(re.findall(r"^\| `([a-z_0-9]+)` \|", page, re.MULTILINE))
