from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.gltf import read_chunks, validate_glb, validator_report, with_document
from mesh.samples import ball, blob, cube, grid_layout, torus, without
from objectscan.errors import ExportError
from objectscan.mesh.box_unwrap import box_unwrap
from objectscan.mesh.export import GlbOptions, write_glb
from objectscan.mesh.export.glb import glb_bytes
from objectscan.mesh.load import load_mesh
from objectscan.mesh.topology import topology_facts, weld_by_position
from objectscan.types import Material, Mesh, UvMap


def material(size_px: int = 32, *, with_normals: bool = False, seed: int = 0) -> Material:
    rng = np.random.default_rng(seed)
    base, orm = rng.random((2, size_px, size_px, 3)).astype(np.float32)
    normal = np.stack([0.2 * base[..., 0], -0.1 * base[..., 1], np.ones_like(base[..., 0])], axis=-1)
    return Material(base, orm, normal.astype(np.float32) if with_normals else None)


def accessor(data: bytes, name: str) -> np.ndarray:
    """An attribute or `indices` of the only primitive, read by hand."""
    document, binary = read_chunks(data)
    primitive = document["meshes"][0]["primitives"][0]
    number = primitive["indices"] if name == "indices" else primitive["attributes"][name]
    described = document["accessors"][number]
    view = document["bufferViews"][described["bufferView"]]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[described["type"]]
    kind = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[described["componentType"]]
    flat = np.frombuffer(binary, kind, described["count"] * width, view.get("byteOffset", 0))
    return flat.reshape(-1, width)


def image(data: bytes, number: int) -> np.ndarray:
    document, binary = read_chunks(data)
    view = document["bufferViews"][document["images"][number]["bufferView"]]
    content = binary[view["byteOffset"] :][: view["byteLength"]]
    return np.asarray(Image.open(io.BytesIO(content)))


OPTIONS = {
    "default": GlbOptions(),
    "png": GlbOptions(color_format="png"),
    "jpeg normals": GlbOptions(normal_format="jpeg"),
    "creased": GlbOptions(crease_rad=0.5),
    "double sided": GlbOptions(is_double_sided=True, copyright="CC0", name="thing"),
}
MESHES = {
    "ball": ball(2),
    "one triangle": Mesh(np.eye(3, dtype=np.float32), np.array([(0, 1, 2)], np.int32)),
    "open": without(torus(), range(40)),
    "cube": cube(),
    "unused vertices": Mesh(np.pad(ball(1).vertices, ((5, 5), (0, 0))), ball(1).faces + 5),
    "face without area": Mesh(
        ball(1).vertices, np.concatenate([ball(1).faces, [(0, 0, 1)]]).astype(np.int32)
    ),
}


@pytest.mark.parametrize("with_normals", [False, True], ids=["plain", "normal map"])
@pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES)
def test_the_validator_finds_nothing_whatever_the_mesh(mesh: Mesh, with_normals: bool, clean_glb) -> None:
    clean_glb(glb_bytes(mesh, grid_layout(mesh), material(with_normals=with_normals)))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_validator_finds_nothing_whatever_the_options(options: GlbOptions, clean_glb) -> None:
    mesh = blob(1500)
    data = glb_bytes(
        mesh, box_unwrap(mesh, 64), material(64, with_normals=True), options=options, extras={"views": 3}
    )
    clean_glb(data)
    assert read_chunks(data)[0]["asset"]["extras"] == {"views": 3}


def test_a_mesh_of_more_than_65535_vertices_gets_long_indices(clean_glb) -> None:
    mesh = ball(6)
    data = glb_bytes(mesh, grid_layout(mesh), material(with_normals=True))
    assert len(accessor(data, "POSITION")) > 65535
    assert accessor(data, "indices").dtype == np.uint32
    clean_glb(data)
    small = glb_bytes(ball(2), grid_layout(ball(2)), material())
    assert accessor(small, "indices").dtype == np.uint16


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda d: d["accessors"][0]["max"].__setitem__(0, 9.0), "ACCESSOR_MAX_MISMATCH"),
        (lambda d: d["textures"][0].update(source=7), "UNRESOLVED_REFERENCE"),
        (lambda d: d["images"][0].update(mimeType="image/png"), "IMAGE_MIME_TYPE_INVALID"),
        (lambda d: d["materials"][0].update(alphaCutoff=2), "MATERIAL_ALPHA_CUTOFF_INVALID_MODE"),
        (lambda d: d["bufferViews"][0].update(byteLength=10**9), "VALUE_NOT_IN_RANGE|BUFFER_VIEW_TOO_LONG"),
    ],
    ids=["wrong maximum", "texture 7 of 3", "png label on jpeg", "cutoff without mask", "view too long"],
)
def test_the_validator_would_see_damage(damage, code: str, tmp_path: Path) -> None:
    data = glb_bytes(ball(1), grid_layout(ball(1)), material(with_normals=True))
    document, _ = read_chunks(data)
    damage(document)
    path = tmp_path / "broken.glb"
    path.write_bytes(with_document(data, document))
    report = validator_report(path)
    assert report["errors"] + report["warnings"] > 0
    assert any(name in message for message in report["messages"] for name in code.split("|"))
    with pytest.raises(AssertionError):
        validate_glb(path)


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (
        glb_bytes(torus(), box_unwrap(torus(), 64), material(64, with_normals=True)) for _ in range(2)
    )
    assert first == second


@given(st.integers(0, 1000), st.booleans())
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(tmp_path: Path, seed: int, with_normals: bool) -> None:
    rng = np.random.default_rng(seed)
    whole = ball(2)
    mesh = without(
        Mesh(whole.vertices * rng.uniform(0.5, 2, 3).astype(np.float32), whole.faces),
        rng.integers(0, 320, 20),
    )
    layout = box_unwrap(mesh, 64)
    write_glb(tmp_path / "a.glb", mesh, layout, material(with_normals=with_normals, seed=seed))
    back = load_mesh(tmp_path / "a.glb")
    assert np.array_equal(back.mesh.vertices[back.mesh.faces], mesh.vertices[mesh.faces])
    assert back.coordinates is not None
    assert np.allclose(back.coordinates[back.mesh.faces], layout.coordinates[layout.faces], atol=1e-6)
    before, after = topology_facts(weld_by_position(mesh)), topology_facts(weld_by_position(back.mesh))
    assert (before.vertices, before.faces, before.boundary_edges) == (
        after.vertices,
        after.faces,
        after.boundary_edges,
    )


def test_a_texture_is_upside_down_in_the_file_and_so_is_v() -> None:
    """The bottom row is red and the rest blue; the lowest texture coordinate must read red both times."""
    base = np.zeros((16, 16, 3), np.float32)
    base[..., 2] = 1.0
    base[0] = (1, 0, 0)
    look = Material(base, np.ones_like(base), None)
    mesh = Mesh(np.eye(3, dtype=np.float32), np.array([(0, 1, 2)], np.int32))
    layout = UvMap(np.array([(0, 0), (1, 0), (0, 1)], np.float32), mesh.faces)
    data = glb_bytes(mesh, layout, look, options=GlbOptions(color_format="png"))
    pixels, v_down = image(data, 0), accessor(data, "TEXCOORD_0")
    assert pixels[-1, 0].tolist() == [255, 0, 0] and pixels[0, 0].tolist() == [0, 0, 255]
    positions = accessor(data, "POSITION")
    at_origin = v_down[(positions == mesh.vertices[0]).all(axis=1)][0]
    assert at_origin.tolist() == [0.0, 1.0]


def test_material_and_colours_arrive(tmp_path: Path) -> None:
    look = material(64, with_normals=True)
    smooth = Material(*(np.full((16, 16, 3), value, np.float32) for value in (0.25, 0.5)), look.normal)
    data = glb_bytes(ball(1), grid_layout(ball(1)), smooth)
    document, _ = read_chunks(data)
    (described,) = document["materials"]
    orm = described["pbrMetallicRoughness"]["metallicRoughnessTexture"]["index"]
    assert described["occlusionTexture"]["index"] == orm and len(document["images"]) == 3
    assert abs(int(image(data, 0).mean()) - 64) <= 1 and abs(int(image(data, 1).mean()) - 128) <= 1
    expected = look.normal / np.linalg.norm(look.normal, axis=2, keepdims=True)
    decoded = image(data, 2)[::-1] / 127.5 - 1.0
    assert np.abs(decoded - expected).max() < 0.01


def test_normals_are_unit_smooth_over_texture_seams_and_hard_over_creases() -> None:
    mesh = ball(3)
    data = glb_bytes(mesh, box_unwrap(mesh, 64), material())
    normals, positions = accessor(data, "NORMAL"), accessor(data, "POSITION")
    assert np.abs(np.linalg.norm(normals, axis=1) - 1).max() < 1e-5
    assert np.einsum("kc,kc->k", normals, positions).min() > 0.999
    assert "TANGENT" not in read_chunks(data)[0]["meshes"][0]["primitives"][0]["attributes"]
    box = glb_bytes(cube(), grid_layout(cube()), material(), options=GlbOptions(crease_rad=1.0))
    assert np.sort(np.abs(accessor(box, "NORMAL")), axis=1)[:, 2].min() > 0.9999
    rounded = glb_bytes(cube(), grid_layout(cube()), material())
    assert np.sort(np.abs(accessor(rounded, "NORMAL")), axis=1)[:, 2].max() < 0.95


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_tangents_follow_u_and_the_bitangent_follows_v_up(is_mirrored: bool) -> None:
    mesh = Mesh(np.array([(0, 0, 0), (2, 0, 0), (0, 2, 0)], np.float32), np.array([(0, 1, 2)], np.int32))
    corners = np.array([(0, 0), (0.5, 0), (0, 0.5)], np.float32)
    if is_mirrored:
        corners[:, 0] = 1 - corners[:, 0]
    data = glb_bytes(mesh, UvMap(corners, mesh.faces), material(with_normals=True))
    tangent, normal = accessor(data, "TANGENT"), accessor(data, "NORMAL")
    assert np.allclose(normal, (0, 0, 1))
    assert np.allclose(tangent[:, :3], (-1 if is_mirrored else 1, 0, 0))
    bitangent = np.cross(normal, tangent[:, :3]) * tangent[:, 3:]
    assert np.allclose(bitangent, (0, 1, 0))


def test_tangents_are_unit_and_square_to_normals_on_a_curved_body() -> None:
    mesh = blob(1500)
    data = glb_bytes(mesh, box_unwrap(mesh, 64), material(64, with_normals=True))
    tangent, normal = accessor(data, "TANGENT"), accessor(data, "NORMAL")
    assert np.abs(np.linalg.norm(tangent[:, :3], axis=1) - 1).max() < 1e-5
    assert np.abs(np.einsum("kc,kc->k", tangent[:, :3], normal)).max() < 1e-5
    assert set(np.unique(tangent[:, 3]).tolist()) <= {-1.0, 1.0}


def test_the_delivered_frame_turns_and_moves_the_mesh_and_mirrors_are_refused() -> None:
    turn = np.array([(2, 0, 0, 1), (0, 0, 2, 0), (0, -2, 0, 0), (0, 0, 0, 1)], float)
    mesh = ball(1)
    data = glb_bytes(mesh, grid_layout(mesh), material(), delivered_from_world=turn)
    low, high = accessor(data, "POSITION").min(axis=0), accessor(data, "POSITION").max(axis=0)
    moved = mesh.vertices @ turn[:3, :3].T + turn[:3, 3]
    assert np.allclose(low, moved.min(axis=0)) and np.allclose(high, moved.max(axis=0))
    with pytest.raises(ValueError, match="mirrors"):
        glb_bytes(mesh, grid_layout(mesh), material(), delivered_from_world=np.diag([-1.0, 1, 1, 1]))


def test_header_and_chunks_tell_the_true_lengths() -> None:
    data = glb_bytes(ball(1), grid_layout(ball(1)), material())
    magic, version, length, json_bytes, _ = struct.unpack_from("<4sIIII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data)) and json_bytes % 4 == 0
    assert read_chunks(data)[0]["asset"]["generator"].startswith("Objectscan")


def test_an_empty_or_broken_result_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "model.glb"
    mesh = ball(1)
    empty = Mesh(mesh.vertices, np.zeros((0, 3), np.int32))
    with pytest.raises(ExportError, match="no face"):
        write_glb(path, empty, UvMap(np.zeros((1, 2), np.float32), empty.faces), material())
    broken = Mesh(
        np.where(np.arange(len(mesh.vertices))[:, None] == 3, np.nan, mesh.vertices).astype(np.float32),
        mesh.faces,
    )
    with pytest.raises(ExportError, match="vertex positions are not finite"):
        write_glb(path, broken, grid_layout(mesh), material())
    with pytest.raises(ExportError, match="80 faces and the mesh 320"):
        write_glb(path, ball(2), grid_layout(mesh), material())
    assert not any(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.glb"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ExportError, match="No space left"):
        write_glb(path, ball(1), grid_layout(ball(1)), material())
    assert path.read_bytes() == b"old" and [file.name for file in tmp_path.iterdir()] == ["model.glb"]


def test_a_missing_folder_is_an_export_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nowhere"):
        write_glb(tmp_path / "nowhere" / "model.glb", ball(1), grid_layout(ball(1)), material())
