"""The values that pass between stages: frozen dataclasses, numpy only, no behaviour beyond checks.

Frames: the world is right-handed; cameras use OpenCV axes (x right, y down, z forward); a transform named
`target_from_source` maps source coordinates to target coordinates. Shape letters: V vertices, F faces,
N views, H W image rows and columns, T texture corners, R cubemap edge. See docs/conventions.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8


@dataclass(frozen=True, slots=True)
class Camera:
    """One pinhole photo camera without lens distortion."""

    intrinsics: Float[np.ndarray, "3 3"]
    """Pixels. Pixel centres at +0.5: the top-left pixel covers [0, 1) x [0, 1)."""
    world_from_camera: Float[np.ndarray, "4 4"]
    """Rigid; metres if `Capture.scale_known`, else arbitrary units."""
    size: tuple[int, int]
    """(width, height) in pixels."""


@dataclass(frozen=True, slots=True)
class View:
    """One upright, undistorted photo with its camera and foreground mask."""

    name: str
    """The photo's file name, unique in the capture; every message about the photo uses it."""
    camera: Camera
    image_srgb: UInt8[np.ndarray, "H W 3"]
    mask: UInt8[np.ndarray, "H W"] | None
    """Foreground share of each pixel times 255 (soft edges kept), or None if unknown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth telling a person about a photo, a capture or a result."""

    code: str
    """Stable identifier, documented in docs/findings.md, e.g. `few_views`."""
    severity: Literal["info", "warning", "error"]
    message: str
    """What was found, with the offending value, and what to do about it."""
    photos: tuple[str, ...] = ()
    """Names of the photos concerned."""


MaskSource = Literal["user", "network", "hull"]
"""Who made a mask: `hull` is the outline of what all other photos agree on."""


@dataclass(frozen=True, slots=True)
class PhotoRecord:
    """What became of one photo that was given, used or not, and the numbers that told."""

    name: str
    """As the user named it; findings use it or `view`."""
    view: str | None
    """Name of the view that it became; None: it was left out."""
    reason: str = ""
    """Why it was left out, in a sentence."""
    sharpness: float | None = None
    """0 blurred, 0.7 crisp: of the whole photo if it came without a camera, else of the object in it."""
    points: int | None = None
    """Sparse points that its camera rests on; None if the camera was given."""
    reprojection_error_px: float | None = None
    """Mean distance of those points from where the camera puts them, in pixels of the solved photo."""
    mask_source: MaskSource | None = None
    """None: it has no mask."""
    mask_confidence: float | None = None
    """In [0, 1]; 1 for the user's own, 0 if no usable mask was found."""
    world_from_camera: Float[np.ndarray, "4 4"] | None = None
    """Where a photo that was left out was taken from, if that is known. A view has its camera."""
    thumbnail: bytes | None = None
    """A small JPEG of a photo that was left out, if it could be read. A view has its picture."""


@dataclass(frozen=True, slots=True)
class Capture:
    """Photos of one object, with known cameras unless it says otherwise, ready for an engine."""

    views: tuple[View, ...]
    delivered_from_world: Float[np.ndarray, "4 4"]
    """Rotation from the cameras' world to the Y-up frame of delivered files; no scale, no shift."""
    scale_known: bool = False
    """True if one world unit is one metre."""
    bounds: Float[np.ndarray, "2 3"] | None = None
    """Axis-aligned box (min, max) around the object in world coordinates if the capture states one."""
    findings: tuple[Finding, ...] = ()
    cameras_known: bool = True
    """False: the cameras of the views stand in for unknown ones, and only photos and masks may be used."""
    photos: tuple[PhotoRecord, ...] = ()
    """What became of each photo that was given, in the order given; for the report, not for engines."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """A triangle mesh. Faces are counter-clockwise seen from outside."""

    vertices: Float32[np.ndarray, "V 3"]
    faces: Int32[np.ndarray, "F 3"]


@dataclass(frozen=True, slots=True)
class UvMap:
    """Texture coordinates with their own indices, so that a seam does not split the surface."""

    coordinates: Float32[np.ndarray, "T 2"]
    """In [0, 1], origin bottom-left, v up."""
    faces: Int32[np.ndarray, "F 3"]
    """Row i indexes the three texture corners of mesh face i."""


@dataclass(frozen=True, slots=True)
class Material:
    """Metallic-roughness textures of one mesh (glTF 2.0, appendix B). Row 0 of each array is v = 0."""

    base_color_srgb: Float32[np.ndarray, "H W 3"]
    """In [0, 1], sRGB-encoded."""
    occlusion_roughness_metallic: Float32[np.ndarray, "H W 3"]
    """In [0, 1], linear. Occlusion 1 means fully lit; roughness is perceptual."""
    normal: Float32[np.ndarray, "H W 3"] | None
    """Tangent-space unit normals: x along +u, y along +v, z out of the surface. None: geometry only."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Distant light as a cubemap, in the world frame of the capture."""

    radiance_linear: Float32[np.ndarray, "6 R R 3"]
    """Faces +x -x +y -y +z -z in OpenGL order and orientation; linear, 1 is sRGB white."""


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one optimisation pass did. A result without its engine's passes is a failure."""

    name: str
    steps: int
    seconds: float
    facts: Mapping[str, float] = field(default_factory=dict)
    """Named numbers: losses at the end, faces, peak memory in bytes."""


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What an engine returns: a textured surface, its light and how it came about. World frame."""

    mesh: Mesh
    uv: UvMap
    material: Material
    environment: Environment
    passes: tuple[PassReport, ...]
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    """Refined camera by photo name; empty if the engine kept the given ones."""
    invented_faces: Int32[np.ndarray, " I"] = field(default_factory=lambda: np.zeros(0, np.int32))
    """Indices of faces that no photo shows: closed holes, and what was generated."""
    findings: tuple[Finding, ...] = ()
    is_registered: bool = True
    """Whether the photos' cameras see this surface. A generated one has a place and a size of its own."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One progress message of a running stage."""

    stage: str
    fraction: float
    """Share of this stage that is done, in [0, 1]."""
    message: str = ""
    preview_srgb: UInt8[np.ndarray, "H W 3"] | None = None
    """A picture of the model as it is now, if one was made."""


ProgressFn = Callable[[Progress], None]
"""Receives progress. It may raise `errors.Cancelled`; stages call it at least once a second."""


def ignore_progress(progress: Progress) -> None:
    """A `ProgressFn` that does nothing."""


class Checkpoints(Protocol):
    """Where a stage keeps named arrays so that a killed run resumes after its last finished step."""

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays saved under `name`, or None if there are none for this recipe."""

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep `arrays` under `name`, atomically."""


class NoCheckpoints:
    """`Checkpoints` that keep nothing."""

    def load(self, name: str) -> None:
        """Nothing was saved."""
        return None

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep nothing."""
