"""Mesh files as arrays, read with suspicion: a damaged file ends as `BadMesh` that names it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float32, Int32, UInt8
from PIL import Image

from objectscan.errors import BadMesh
from objectscan.mesh.gltf_guard import bad_mesh, check_gltf, is_plain_name, leaves_folder
from objectscan.types import Mesh

_FORMATS = ("glb", "gltf", "obj", "ply", "stl")
_LARGEST_FILE_BYTES = 1 << 30
_LARGEST_IMAGE_PX = 16384 * 16384


@dataclass(frozen=True, slots=True)
class Surface:
    """What a file says about the look of some faces."""

    base_color_srgb: UInt8[np.ndarray, "H W 4"] | None
    """The texture, row 0 at v = 0, with alpha; None if there is none."""
    metallic_factor: float | None
    """None if the file does not say; glTF then takes 1."""
    has_metallic_texture: bool
    alpha_mode: str
    """`OPAQUE`, `MASK` or `BLEND`."""


@dataclass(frozen=True, slots=True)
class LoadedMesh:
    """All meshes of a file in its world frame."""

    file_format: str
    """`glb`, `gltf`, `obj`, `ply` or `stl`."""
    mesh: Mesh
    """Vertices as stored: not welded, perhaps not finite. No faces for a file of points."""
    coordinates: Float32[np.ndarray, "V 2"] | None
    """Texture coordinates of the vertices, v up; None unless every mesh has them."""
    surfaces: tuple[Surface, ...]
    surface_of_face: Int32[np.ndarray, " F"]
    has_normals: bool
    """The file stores normals, so vertices may be split for them."""
    is_mirrored: bool
    """A node mirrors its mesh. Its faces were turned back here, as a viewer does."""


def load_mesh(path: Path) -> LoadedMesh:
    """Read a GLB, glTF, OBJ, PLY or STL file.

    Only files in the same folder are followed (glTF buffers, OBJ materials), by plain relative names.

    Raises:
        BadMesh: The file is damaged, of another format, too large, or refers to something outside its folder.
            `details["reason"]` is `invalid_file` or `external_reference`.
    """
    path = Path(path)
    file_format = path.suffix.lower().lstrip(".")
    if file_format not in _FORMATS:
        raise bad_mesh(path, f"has an unknown ending; known are {', '.join(_FORMATS)}")
    data = _bytes_of(path)
    if file_format in ("glb", "gltf"):
        has_normals = check_gltf(data, path, is_binary=file_format == "glb")
    else:
        has_normals = file_format == "obj" and any(line.startswith(b"vn ") for line in data.splitlines())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scene = trimesh.load_scene(
                io.BytesIO(data),
                file_type=file_format,
                resolver=_SameFolder(path),
                process=False,
                maintain_order=True,
            )
            return _collected(scene, path, has_normals)
    except BadMesh:
        raise
    except Exception as error:  # the readers raise whatever a wrong byte leads to
        raise bad_mesh(path, f"can't be read as {file_format.upper()} ({type(error).__name__})") from error


def _bytes_of(path: Path) -> bytes:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > _LARGEST_FILE_BYTES:
            raise bad_mesh(path, f"has {size_bytes / 1e9:.1f} GB, more than the limit of 1.1 GB")
        data = path.read_bytes()
    except OSError as error:
        raise bad_mesh(path, f"can't be opened: {error.strerror or error}") from error
    if not data:
        raise bad_mesh(path, "is empty")
    return data


class _SameFolder(trimesh.resolvers.Resolver):
    """Files that a mesh file refers to: plain names in its own folder, nothing else."""

    def __init__(self, path: Path):
        self._path = path

    def get(self, name: str) -> bytes:
        """Content of the file `name`.

        Raises:
            BadMesh: The name leads out of the folder.
        """
        file = self._path.parent / name
        if not is_plain_name(name) or file.is_symlink():
            raise leaves_folder(self._path, name)
        return _bytes_of(file)

    def keys(self) -> list[str]:
        """No listing of the folder."""
        return []

    def write(self, name: str, data: Any) -> None:
        """Nothing is written."""
        raise io.UnsupportedOperation(name)

    def namespaced(self, namespace: str) -> _SameFolder:
        """Sub-folders are not followed."""
        return self


def _collected(scene: trimesh.Scene, path: Path, has_normals: bool) -> LoadedMesh:
    parts = list(_parts(scene))
    if not any(len(part.vertices) for part in parts):
        raise bad_mesh(path, "holds no geometry")
    vertices = np.concatenate([np.zeros((0, 3), np.float32), *(part.vertices for part in parts)])
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    for part in parts:
        if len(part.faces) and (part.faces.min() < 0 or part.faces.max() >= len(part.vertices)):
            worst = int(part.faces.max())
            raise bad_mesh(path, f"has a face that names vertex {worst} of {len(part.vertices)}")
    moved = [part.faces + offset for part, offset in zip(parts, offsets[:-1], strict=True)]
    coordinates = [part.coordinates for part in parts if part.coordinates is not None]
    textured = bool(parts) and len(coordinates) == len(parts)
    return LoadedMesh(
        path.suffix.lower().lstrip("."),
        Mesh(vertices, np.concatenate([np.zeros((0, 3), np.int32), *moved]).astype(np.int32)),
        np.concatenate(coordinates).astype(np.float32) if textured else None,
        tuple(part.surface for part in parts),
        np.repeat(np.arange(len(parts), dtype=np.int32), [len(part.faces) for part in parts]),
        has_normals,
        any(part.is_mirrored for part in parts),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    vertices: np.ndarray
    faces: np.ndarray
    coordinates: np.ndarray | None
    surface: Surface
    is_mirrored: bool


def _parts(scene: trimesh.Scene) -> Iterator[_Part]:
    """Each use of a geometry by a node, moved to the world."""
    for node in scene.graph.nodes_geometry:
        world_from_node, name = scene.graph[node]
        geometry = scene.geometry[name]
        vertices = np.asarray(geometry.vertices, np.float64)
        faces = np.asarray(getattr(geometry, "faces", np.zeros((0, 3))), np.int64)
        if not np.array_equal(world_from_node, np.eye(4)):
            vertices = vertices @ world_from_node[:3, :3].T + world_from_node[:3, 3]
        is_mirrored = bool(np.linalg.det(world_from_node[:3, :3]) < 0)
        coordinates = getattr(geometry.visual, "uv", None)
        if coordinates is not None and np.shape(coordinates) != (len(vertices), 2):
            coordinates = None
        with np.errstate(over="ignore"):
            single = vertices.astype(np.float32)
        material = getattr(geometry.visual, "material", None)
        turned = faces[:, ::-1] if is_mirrored else faces
        yield _Part(single, turned, coordinates, _surface(material), is_mirrored)


def _surface(material: Any) -> Surface:
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    metallic = getattr(material, "metallicFactor", None)
    return Surface(
        _pixels(image) if image is not None else None,
        None if metallic is None else float(metallic),
        getattr(material, "metallicRoughnessTexture", None) is not None,
        str(getattr(material, "alphaMode", None) or "OPAQUE"),
    )


def _pixels(image: Image.Image) -> UInt8[np.ndarray, "H W 4"]:
    if image.width * image.height > _LARGEST_IMAGE_PX:
        raise ValueError(f"texture of {image.width} x {image.height} pixels")
    return np.asarray(image.convert("RGBA"))[::-1]
