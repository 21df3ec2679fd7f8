from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.gltf import read_chunks, with_document
from mesh.samples import ball, grid_layout
from objectscan.errors import BadMesh
from objectscan.mesh.export.glb import glb_bytes
from objectscan.mesh.load import load_mesh
from objectscan.mesh.topology import topology_facts, weld_by_position
from objectscan.types import Material

BASE = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
GOOD = glb_bytes(ball(1), grid_layout(ball(1)), Material(BASE, BASE, None))


def written(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def reason_of(path: Path) -> str:
    with pytest.raises(BadMesh) as raised:
        load_mesh(path)
    assert path.name in str(raised.value)
    return str(raised.value.details["reason"])


@pytest.mark.parametrize("file_format", ["ply", "stl", "obj", "glb"])
def test_each_format_gives_the_ball_it_holds(file_format: str, tmp_path: Path) -> None:
    source = trimesh.Trimesh(ball(2).vertices, ball(2).faces, process=False)
    path = tmp_path / f"ball.{file_format}"
    source.export(path)
    loaded = load_mesh(path)
    assert loaded.file_format == file_format and loaded.coordinates is None and not loaded.is_mirrored
    facts = topology_facts(weld_by_position(loaded.mesh))
    assert facts.is_watertight and facts.faces == 320
    assert facts.volume == pytest.approx(topology_facts(ball(2)).volume, rel=1e-4)


def test_a_glb_gives_texture_and_factors(tmp_path: Path) -> None:
    loaded = load_mesh(written(tmp_path, "ball.glb", GOOD))
    (surface,) = loaded.surfaces
    assert surface.base_color_srgb is not None and surface.base_color_srgb.shape == (16, 16, 4)
    assert np.abs(surface.base_color_srgb[..., :3] / 255.0 - BASE).mean() < 0.1
    assert surface.metallic_factor == 1.0 and surface.has_metallic_texture
    assert surface.alpha_mode == "OPAQUE" and loaded.has_normals
    assert set(loaded.surface_of_face.tolist()) == {0}


def test_a_mirroring_node_is_told_and_its_faces_are_turned_back(tmp_path: Path) -> None:
    document, _ = read_chunks(GOOD)
    document["nodes"][0]["scale"] = [-1, 2, 1]
    loaded = load_mesh(written(tmp_path, "mirrored.glb", with_document(GOOD, document)))
    assert loaded.is_mirrored
    assert topology_facts(weld_by_position(loaded.mesh)).volume > 0
    assert np.ptp(loaded.mesh.vertices, axis=0)[1] == pytest.approx(4.0, rel=1e-3)


def test_two_nodes_of_one_mesh_are_two_bodies(tmp_path: Path) -> None:
    document, _ = read_chunks(GOOD)
    document["nodes"].append({"mesh": 0, "translation": [5, 0, 0]})
    document["scenes"][0]["nodes"].append(1)
    loaded = load_mesh(written(tmp_path, "two.glb", with_document(GOOD, document)))
    assert len(loaded.mesh.faces) == 160 and loaded.coordinates is not None
    assert topology_facts(weld_by_position(loaded.mesh)).components == 2
    assert np.bincount(loaded.surface_of_face).tolist() == [80, 80]


def changed(change) -> bytes:
    document, _ = read_chunks(GOOD)
    change(document)
    return with_document(GOOD, document)


DAMAGE = {
    "empty.glb": b"",
    "magic.glb": b"gLTF" + GOOD[4:],
    "version.glb": GOOD[:4] + struct.pack("<I", 1) + GOOD[8:],
    "cut.glb": GOOD[: len(GOOD) // 2],
    "header_only.glb": GOOD[:12],
    "not_json.glb": GOOD[:20] + b"}" + GOOD[21:],
    "list.gltf": "[]",
    "deep.gltf": "[" * 100_000,
    "huge_count.glb": changed(lambda d: d["accessors"][0].update(count=10**12)),
    "negative_count.glb": changed(lambda d: d["accessors"][0].update(count=-1)),
    "no_count.glb": changed(lambda d: d["accessors"][0].pop("count")),
    "wrong_view.glb": changed(lambda d: d["accessors"][0].update(bufferView=99)),
    "index_past_the_end.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
    "words.stl": "hello",
    "words.ply": "ply\nformat ascii 1.0\nelement vertex 99999999999\nend_header\n",
    "unknown.fbx": b"Kaydara",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_named_as_invalid(name: str, tmp_path: Path) -> None:
    assert reason_of(written(tmp_path, name, DAMAGE[name])) == "invalid_file"


def test_a_texture_that_is_no_picture_is_no_texture(tmp_path: Path) -> None:
    data = changed(lambda d: d["images"][0].update(bufferView=0))
    assert load_mesh(written(tmp_path, "ball.glb", data)).surfaces[0].base_color_srgb is None


def test_a_missing_file_is_a_bad_mesh(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "nothing.glb") == "invalid_file"


def test_an_index_past_the_vertices_is_named(tmp_path: Path) -> None:
    document, binary = read_chunks(GOOD)
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["indices"]]
    place = document["bufferViews"][accessor["bufferView"]]["byteOffset"]
    start = len(GOOD) - len(binary) + place
    broken = GOOD[:start] + struct.pack("<H", 60000) + GOOD[start + 2 :]
    path = written(tmp_path, "index.glb", broken)
    assert reason_of(path) == "invalid_file"
    with pytest.raises(BadMesh, match="names vertex 60000 of 240"):
        load_mesh(path)


@pytest.mark.parametrize(
    "uri",
    [
        "../secret.bin",
        "/etc/hostname",
        "file:///etc/hostname",
        "http://example.org/a.bin",
        "sub/a.bin",
        "%2e%2e/a",
    ],
)
def test_nothing_outside_the_folder_is_read(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    written(tmp_path, "secret.bin", bytes(36))
    written(folder / "sub", "a.bin", bytes(36))
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36, "uri": uri}],
    }
    opened: list[str] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read_bytes(path))
    assert reason_of(written(folder, "model.gltf", json.dumps(document))) == "external_reference"
    assert opened == ["model.gltf"]


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a.mtl").symlink_to(written(tmp_path, "secret.mtl", "newmtl m\n"))
    loaded_or_refused = written(folder, "model.obj", "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    try:
        assert all(surface.base_color_srgb is None for surface in load_mesh(loaded_or_refused).surfaces)
    except BadMesh as error:
        assert error.details["reason"] == "external_reference"


def test_an_obj_finds_its_material_and_texture_beside_it(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8, 3), (200, 100, 50), np.uint8)).save(tmp_path / "skin.png")
    written(tmp_path, "model.mtl", "newmtl skin\nmap_Kd skin.png\n")
    text = "mtllib model.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl skin\nf 1/1 2/2 3/3\n"
    loaded = load_mesh(written(tmp_path, "model.obj", text))
    (surface,) = loaded.surfaces
    assert surface.base_color_srgb is not None
    assert surface.base_color_srgb[0, 0].tolist() == [200, 100, 50, 255]
    assert loaded.coordinates is not None and loaded.coordinates.shape == (3, 2)


@given(st.data())
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_bytes_change_the_file_loads_or_is_a_bad_mesh(tmp_path: Path, data: st.DataObject) -> None:
    changed_bytes = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        changed_bytes[data.draw(st.integers(0, 2500))] = data.draw(st.integers(0, 255))
    path = written(tmp_path, "changed.glb", bytes(changed_bytes[: data.draw(st.integers(0, len(GOOD)))]))
    try:
        loaded = load_mesh(path)
    except BadMesh as error:
        assert error.details["reason"] in ("invalid_file", "external_reference")
    else:
        assert len(loaded.mesh.faces) == 0 or loaded.mesh.faces.max() < len(loaded.mesh.vertices)
