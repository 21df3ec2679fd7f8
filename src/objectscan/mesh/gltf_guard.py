"""What must hold for a glTF file before a library that trusts it may read it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from objectscan.errors import BadMesh

_LARGEST_COUNT = 100_000_000
"""Elements of one accessor. A few bytes of JSON could ask for terabytes of zeros otherwise."""
_JSON_CHUNK = 0x4E4F534A


def check_gltf(data: bytes, path: Path, *, is_binary: bool) -> bool:
    """Check container, references and counts. Returns whether the meshes store normals.

    Raises:
        BadMesh: With `details["reason"]` of `invalid_file` or `external_reference`.
    """
    try:
        document = json.loads(_json_chunk(data, path) if is_binary else data)
        references = [item.get("uri") for kind in ("buffers", "images") for item in document.get(kind, [])]
        counts = [int(accessor["count"]) for accessor in document.get("accessors", [])]
        attributes = [
            set(primitive["attributes"])
            for mesh in document.get("meshes", [])
            for primitive in mesh["primitives"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise bad_mesh(path, "has no valid glTF description") from error
    for reference in references:
        _check_reference(reference, path)
    if counts and not 0 <= min(counts) <= max(counts) <= _LARGEST_COUNT:
        raise bad_mesh(path, f"asks for {max(counts, key=abs):,} elements in one array")
    return any("NORMAL" in names for names in attributes)


def _json_chunk(data: bytes, path: Path) -> bytes:
    """Of a GLB whose header tells the truth about its length."""
    if len(data) < 20 or data[:4] != b"glTF":
        raise bad_mesh(path, f"is not a GLB file: it begins with {data[:4]!r}")
    version, length, chunk_bytes, kind = struct.unpack_from("<IIII", data, 4)
    if version != 2 or kind != _JSON_CHUNK:
        raise bad_mesh(path, f"is GLB version {version}, or its first part is not JSON")
    if length > len(data) or 20 + chunk_bytes > len(data):
        raise bad_mesh(path, f"is cut off: {len(data)} of {max(length, 20 + chunk_bytes)} bytes")
    return data[20 : 20 + chunk_bytes]


def _check_reference(reference: Any, path: Path) -> None:
    """A data URI or a plain file name in the same folder."""
    if reference is None or (isinstance(reference, str) and reference.startswith("data:")):
        return
    if not isinstance(reference, str) or not is_plain_name(reference):
        raise leaves_folder(path, reference)


def is_plain_name(reference: str) -> bool:
    """Whether it names a file of the same folder and nothing else: no path, no scheme, no escapes."""
    return Path(reference).name == reference and not set(reference) & set(":%\\\0")


def bad_mesh(path: Path, what: str) -> BadMesh:
    """The error for a damaged file."""
    return BadMesh(f"{path.name} {what}.", hint="Export the mesh again.", details={"reason": "invalid_file"})


def leaves_folder(path: Path, reference: object) -> BadMesh:
    """The error for a reference that is not followed."""
    return BadMesh(
        f"{path.name} refers to {str(reference)[:80]!r}, outside its folder.",
        hint="Pack everything into one GLB.",
        details={"reason": "external_reference"},
    )
