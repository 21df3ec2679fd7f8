from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.engines.reconviagen.vectors import Vector, assert_close, load_state, vector
from torch import Tensor

from objectscan.engines.cube_cases import EDGES, cube_cases
from objectscan.engines.reconviagen.dual_contouring import Contour, CrossedCubes, contour, cube_cells
from objectscan.engines.reconviagen.networks.latent_decoder import LatentDecoderConfig, MeshDecoder
from objectscan.engines.reconviagen.networks.voxels import Voxels
from objectscan.engines.reconviagen.surface import CORNERS, surface
from objectscan.errors import EmptyForeground
from objectscan.render.normals import face_normals, vertex_normals


def assert_same_mesh(actual: Contour, vertices: Tensor, faces: Tensor, attributes: Tensor | None) -> None:
    """The same vertices, the same set of oriented triangles, the same attributes; any order."""
    distance, match = torch.cdist(actual.vertices.double(), vertices.double()).min(dim=1)
    assert len(actual.vertices) == len(vertices)
    assert float(distance.max()) < 5e-6
    assert len(torch.unique(match)) == len(vertices)
    assert triangles_of(match[actual.faces]) == triangles_of(faces.long())
    if attributes is not None:
        assert_close(actual.attributes, attributes[match], tolerance=1e-5)


def triangles_of(faces: Tensor) -> list[tuple[int, ...]]:
    """Corners from the smallest on, orientation kept, sorted."""
    turned = [tuple(torch.roll(face, -int(face.argmin())).tolist()) for face in faces]
    return sorted(turned)


def dense_cubes(v: Vector, name: str) -> CrossedCubes:
    resolution = v.config["resolution"]
    keys = v.given[f"{name}.surf_cube_index"].long()
    corners = cube_cells(keys, resolution)[:, None] + torch.tensor(CORNERS)
    point = (corners * torch.tensor([(resolution + 1) ** 2, resolution + 1, 1])).sum(dim=2)
    gamma = v.given[f"{name}.gamma_surf"][:, None]
    shift = (1 - 1e-8) / (2 * resolution) * v.given[f"{name}.deform"].tanh()
    return CrossedCubes(
        keys=keys,
        resolution=resolution,
        values=v.given[f"{name}.sdf"][point],
        positions=corners / resolution - 0.5 + shift[point],
        attributes=v.given[f"{name}.colors"][point].sigmoid(),
        weights=torch.cat([v.given[f"{name}.{part}_surf"] for part in ("beta", "alpha")] + [gamma], dim=1),
    )


@pytest.mark.parametrize("name", ["sphere", "torus", "noise"])
def test_contours_of_dense_fields_are_those_published(name: str):
    v = vector("flexicubes")
    out = {key: v.expected[f"{name}.{key}"] for key in ("vertices", "faces", "colors")}
    assert_same_mesh(contour(dense_cubes(v, name)), out["vertices"], out["faces"], out["colors"])


@pytest.mark.parametrize("name", ["color", "nocolor"])
def test_surfaces_of_decoded_features_are_those_published(name: str):
    v = vector(f"mesh_extract_{name}")
    mesh = surface(v.given["feats"], v.given["coords"][:, 1:], resolution=v.config["res"])
    assert_same_mesh(mesh, v.expected["vertices"], v.expected["faces"], v.expected.get("vertex_attrs"))
    assert mesh.attributes.shape[1] == (6 if name == "color" else 0)


@pytest.mark.parametrize("name", ["color", "nocolor"])
def test_normals_of_the_published_surfaces_are_those_of_our_renderer(name: str):
    v = vector(f"mesh_extract_{name}")
    vertices, faces = v.expected["vertices"], v.expected["faces"]
    normals = torch.nn.functional.normalize(face_normals(vertices, faces), dim=1)
    assert_close(normals, v.expected["face_normal"])
    assert_close(vertex_normals(vertices, faces), v.expected["vertex_normal"])


def test_the_order_of_the_voxels_does_not_matter():
    v = vector("mesh_extract_color")
    order = torch.randperm(len(v.given["feats"]))
    mesh = surface(v.given["feats"][order], v.given["coords"][order, 1:], resolution=16)
    assert_same_mesh(mesh, v.expected["vertices"], v.expected["faces"], v.expected["vertex_attrs"])


def test_latents_become_the_published_mesh():
    v = vector("slat_mesh_decoder")
    config = LatentDecoderConfig(channels=256, blocks=2, heads=8, mlp_ratio=1.0, window=4)
    network = load_state(MeshDecoder(config), v.state)
    features, voxels = network(v.given["feats"], Voxels(v.given["coords"]))
    mesh = surface(features, voxels.coordinates[:, 1:], resolution=4 * v.config["resolution"])
    assert_same_mesh(mesh, v.expected["vertices"], v.expected["faces"], v.expected["vertex_attrs"])


def test_a_field_of_one_sign_has_no_surface():
    with pytest.raises(EmptyForeground, match="one sign"):
        surface(torch.ones(1, 53), torch.zeros(1, 3, dtype=torch.int32), resolution=4)


def test_the_cube_cases_are_those_published():
    published = json.loads(Path(__file__).with_name("dmc_cases.json").read_text())
    assert published["edges"] == EDGES.tolist()
    tables = cube_cases()
    for row in published["cases"]:
        case = row["case"]
        made = [
            [edge for edge in range(12) if tables.group_of_edge[case, edge] == group]
            for group in range(tables.groups[case])
        ]
        assert sorted(made) == sorted(row["groups"])
        face = int(tables.ambiguous_face[case])
        check = [1, *((2 * (face % 2) - 1) * np.eye(3, dtype=int)[face // 2]).tolist(), 255 - case]
        assert row["check"] == (None if face < 0 else check)
