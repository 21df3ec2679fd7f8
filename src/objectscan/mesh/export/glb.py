"""GLB files: glTF 2.0 in one binary, geometry uncompressed, readable everywhere.

Own writer, because the tested libraries leave out tangents, shared images or buffer targets, or copy colour
profiles into the file. Khronos' validator finds nothing to say about these files, hints included.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from jaxtyping import Float

from objectscan.errors import ExportError
from objectscan.mesh.export.corners import Corners, split_corners
from objectscan.mesh.export.images import ImageFormat, encoded, encoded_normals
from objectscan.types import Material, Mesh, UvMap

_FLOAT, _UINT16, _UINT32 = 5126, 5123, 5125
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_CLAMP_TRILINEAR = {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942


@dataclass(frozen=True, slots=True)
class GlbOptions:
    """How a GLB is written."""

    color_format: ImageFormat = "jpeg"
    """Of base colour and occlusion-roughness-metallic."""
    normal_format: ImageFormat = "png"
    crease_rad: float = np.inf
    """Faces that bend more than this get a hard edge. Leave it infinite if there is a normal map."""
    is_double_sided: bool = False
    """Show back faces too: for open surfaces."""
    name: str = "model"
    copyright: str = ""


def write_glb(
    path: Path,
    mesh: Mesh,
    uv: UvMap,
    material: Material,
    *,
    delivered_from_world: Float[np.ndarray, "4 4"] | None = None,
    extras: Mapping[str, object] | None = None,
    options: GlbOptions | None = None,
) -> None:
    """Write one mesh with one material as `path`, whole or not at all. Same input, same bytes.

    Tangents are written only with a normal map. Textures should have powers of two as sizes: the validator
    notes others.

    Args:
        path: The file; its folder must exist. An existing file is replaced.
        mesh: Counter-clockwise seen from outside.
        uv: Layout of the mesh's faces; v up. Turned to glTF's v down here.
        material: Row 0 is v = 0.
        delivered_from_world: Rotation, uniform scale and shift to the Y-up frame of the file; None for none.
        extras: JSON values that go into `asset.extras`.
        options: Formats and names.

    Raises:
        ExportError: The mesh is empty or not finite, or the file can't be written.
    """
    data = glb_bytes(
        mesh, uv, material, delivered_from_world=delivered_from_world, extras=extras, options=options
    )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise ExportError(
            f"{path} can't be written: {error.strerror or error}.",
            hint="Check the folder and the free space.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def glb_bytes(
    mesh: Mesh,
    uv: UvMap,
    material: Material,
    *,
    delivered_from_world: Float[np.ndarray, "4 4"] | None = None,
    extras: Mapping[str, object] | None = None,
    options: GlbOptions | None = None,
) -> bytes:
    """The content of the file that `write_glb` writes."""
    options = options or GlbOptions()
    if len(uv.faces) != len(mesh.faces):
        raise ExportError(f"The texture layout has {len(uv.faces)} faces and the mesh {len(mesh.faces)}.")
    corners = split_corners(_moved(mesh, delivered_from_world), uv, crease_rad=options.crease_rad)
    _check(corners, material)
    binary = _Binary()
    primitive = _write_geometry(binary, corners, with_tangents=material.normal is not None)
    images = _write_images(binary, material, options)
    document: dict[str, object] = {
        "asset": _asset(extras, options),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": options.name}],
        "meshes": [{"name": options.name, "primitives": [primitive]}],
        "materials": [_material(material, options)],
        "textures": [{"sampler": 0, "source": number} for number in range(len(images))],
        "samplers": [_CLAMP_TRILINEAR],
        "images": images,
        "accessors": binary.accessors,
        "bufferViews": binary.views,
        "buffers": [{"byteLength": len(binary.data)}],
    }
    return _container(document, bytes(binary.data))


class _Binary:
    """The binary chunk while it grows, with the accessors and views that point into it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, object]] = []

    def add(self, content: bytes, target: int | None = None) -> int:
        """Append aligned to four bytes; the number of the buffer view."""
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content)}
        self.views.append(view if target is None else view | {"target": target})
        self.data += content + b"\0" * (-len(content) % 4)
        return len(self.views) - 1

    def add_attribute(self, values: np.ndarray, *, with_bounds: bool = False) -> int:
        """A float attribute; the number of its accessor."""
        values = np.ascontiguousarray(values, np.float32)
        accessor: dict[str, object] = {
            "bufferView": self.add(values.astype("<f4").tobytes(), _ARRAY_BUFFER),
            "componentType": _FLOAT,
            "count": len(values),
            "type": f"VEC{values.shape[1]}",
        }
        if with_bounds:
            accessor |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_indices(self, faces: np.ndarray, vertices: int) -> int:
        """Triangle indices in the smallest type; 65535 is reserved in 16 bits."""
        is_small = vertices <= 65535
        content = faces.reshape(-1).astype("<u2" if is_small else "<u4").tobytes()
        self.accessors.append(
            {
                "bufferView": self.add(content, _ELEMENT_ARRAY_BUFFER),
                "componentType": _UINT16 if is_small else _UINT32,
                "count": int(faces.size),
                "type": "SCALAR",
            }
        )
        return len(self.accessors) - 1


def _moved(mesh: Mesh, delivered_from_world: np.ndarray | None) -> Mesh:
    if delivered_from_world is None:
        return mesh
    if np.linalg.det(delivered_from_world[:3, :3]) <= 0:
        raise ValueError(
            "delivered_from_world mirrors or flattens the mesh; it must be a rotation and a scale."
        )
    moved = mesh.vertices.astype(np.float64) @ delivered_from_world[:3, :3].T + delivered_from_world[:3, 3]
    return Mesh(moved.astype(np.float32), mesh.faces)


def _check(corners: Corners, material: Material) -> None:
    """What a viewer would choke on never gets into a file."""
    if not len(corners.faces):
        raise ExportError("The mesh has no face with three different corners.", hint="Check the step before.")
    named = {
        "vertex positions": corners.positions,
        "texture coordinates": corners.coordinates,
        "base colour": material.base_color_srgb,
        "occlusion-roughness-metallic": material.occlusion_roughness_metallic,
        "normal map": np.zeros(0) if material.normal is None else material.normal,
    }
    for name, values in named.items():
        broken = int((~np.isfinite(values)).sum())
        if broken:
            raise ExportError(
                f"{broken} numbers of the {name} are not finite.", hint="Check the step before."
            )


def _write_geometry(binary: _Binary, corners: Corners, *, with_tangents: bool) -> dict[str, object]:
    """The mesh primitive. glTF's v grows downward."""
    v_down = np.stack([corners.coordinates[:, 0], 1.0 - corners.coordinates[:, 1]], axis=1)
    attributes = {
        "POSITION": binary.add_attribute(corners.positions, with_bounds=True),
        "NORMAL": binary.add_attribute(corners.normals),
    }
    if with_tangents:
        attributes["TANGENT"] = binary.add_attribute(corners.tangents)
    attributes["TEXCOORD_0"] = binary.add_attribute(v_down)
    indices = binary.add_indices(corners.faces, len(corners.positions))
    return {"attributes": attributes, "indices": indices, "material": 0}


def _write_images(binary: _Binary, material: Material, options: GlbOptions) -> list[dict[str, object]]:
    """Base colour, occlusion-roughness-metallic (one image for both uses) and perhaps normals."""
    colors = options.color_format
    files = [
        ("base_color", colors, encoded(material.base_color_srgb, colors)),
        ("occlusion_roughness_metallic", colors, encoded(material.occlusion_roughness_metallic, colors)),
    ]
    if material.normal is not None:
        normals = options.normal_format
        files.append(("normal", normals, encoded_normals(material.normal, normals)))
    return [
        {"name": name, "mimeType": f"image/{file_format}", "bufferView": binary.add(content)}
        for name, file_format, content in files
    ]


def _material(material: Material, options: GlbOptions) -> dict[str, object]:
    """Factors are written out: left out, metallicFactor is 1."""
    described: dict[str, object] = {
        "name": options.name,
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0},
            "metallicRoughnessTexture": {"index": 1},
            "metallicFactor": 1.0,
            "roughnessFactor": 1.0,
        },
        "occlusionTexture": {"index": 1},
        "doubleSided": options.is_double_sided,
    }
    return described if material.normal is None else described | {"normalTexture": {"index": 2}}


def _asset(extras: Mapping[str, object] | None, options: GlbOptions) -> dict[str, object]:
    try:
        generator = f"Objectscan {version('objectscan')}"
    except PackageNotFoundError:
        generator = "Objectscan"
    asset: dict[str, object] = {"version": "2.0", "generator": generator}
    if options.copyright:
        asset["copyright"] = options.copyright
    if extras:
        asset["extras"] = dict(extras)
    return asset


def _container(document: dict[str, object], binary: bytes) -> bytes:
    """Section 4 of glTF 2.0: header, JSON chunk padded with spaces, binary chunk padded with zeros."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(binary)
    return b"".join(
        [
            struct.pack("<4sII", b"glTF", 2, length),
            struct.pack("<II", len(text), _JSON_CHUNK),
            text,
            struct.pack("<II", len(binary), _BINARY_CHUNK),
            binary,
        ]
    )
