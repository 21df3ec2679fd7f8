"""A reconstruction as named arrays and back, without loss; and the fingerprint of a capture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from objectscan.types import (
    Camera,
    Capture,
    Environment,
    Finding,
    Material,
    Mesh,
    PassReport,
    Reconstruction,
    UvMap,
)


def reconstruction_arrays(result: Reconstruction) -> dict[str, np.ndarray]:
    """Arrays by name; passes, findings and refined cameras as JSON in the array `facts`."""
    material = result.material
    facts = {
        "passes": [_pass_values(done) for done in result.passes],
        "findings": [asdict(finding) for finding in result.findings],
        "cameras": {name: _camera_values(camera) for name, camera in result.cameras.items()},
    }
    arrays = {
        "vertices": result.mesh.vertices,
        "faces": result.mesh.faces,
        "uv": result.uv.coordinates,
        "uv_faces": result.uv.faces,
        "base_color_srgb": material.base_color_srgb,
        "occlusion_roughness_metallic": material.occlusion_roughness_metallic,
        "radiance_linear": result.environment.radiance_linear,
        "invented_faces": result.invented_faces,
        "is_registered": np.array(result.is_registered),
        "facts": np.array(json.dumps(facts)),
    }
    return arrays if material.normal is None else {**arrays, "normal": material.normal}


def reconstruction_from(arrays: Mapping[str, np.ndarray]) -> Reconstruction:
    """The inverse of `reconstruction_arrays`.

    Raises:
        KeyError, ValueError, TypeError: Something is missing or damaged.
    """
    facts = json.loads(str(arrays["facts"]))
    color, orm = arrays["base_color_srgb"], arrays["occlusion_roughness_metallic"]
    return Reconstruction(
        mesh=Mesh(arrays["vertices"], arrays["faces"]),
        uv=UvMap(arrays["uv"], arrays["uv_faces"]),
        material=Material(color, orm, arrays.get("normal")),
        environment=Environment(arrays["radiance_linear"]),
        passes=tuple(PassReport(**values) for values in facts["passes"]),
        cameras={name: _camera_from(values) for name, values in facts["cameras"].items()},
        invented_faces=arrays["invented_faces"],
        findings=tuple(Finding(**{**f, "photos": tuple(f["photos"])}) for f in facts["findings"]),
        is_registered=bool(arrays["is_registered"]),
    )


def capture_hash(capture: Capture) -> str:
    """Fingerprint of all that an engine sees: pixels, masks, cameras, names, frame. 1 GB takes a second."""
    digest = hashlib.blake2b(digest_size=16)
    bounds = None if capture.bounds is None else np.asarray(capture.bounds, np.float64).tolist()
    frame = np.asarray(capture.delivered_from_world, np.float64).tolist()
    digest.update(json.dumps([frame, bounds, capture.scale_known, capture.cameras_known]).encode())
    for view in capture.views:
        digest.update(json.dumps([view.name, view.mask is None, _camera_values(view.camera)]).encode())
        digest.update(np.ascontiguousarray(view.image_srgb).data)
        if view.mask is not None:
            digest.update(np.ascontiguousarray(view.mask).data)
    return digest.hexdigest()


def _pass_values(done: PassReport) -> dict[str, Any]:
    facts = {name: float(value) for name, value in done.facts.items()}
    return {"name": done.name, "steps": done.steps, "seconds": float(done.seconds), "facts": facts}


def _camera_values(camera: Camera) -> dict[str, Any]:
    return {
        "intrinsics": camera.intrinsics.tolist(),
        "world_from_camera": camera.world_from_camera.tolist(),
        "size": list(camera.size),
    }


def _camera_from(values: Mapping[str, Any]) -> Camera:
    width, height = values["size"]
    return Camera(np.array(values["intrinsics"]), np.array(values["world_from_camera"]), (width, height))
