"""Pictures of a finished model for people: a still, a turntable, and what is shown while an engine works."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from objectscan.mesh.forward import ModelRenderer
from objectscan.mesh.metrics import picture_from_rgba
from objectscan.mesh.studio import orbit_cameras, studio_environment
from objectscan.mesh.visibility import surface_samples
from objectscan.render.colour import linear_from_srgb_array
from objectscan.types import Camera, Mesh, Progress, ProgressFn, Reconstruction, ignore_progress

STILL_AZIMUTH_RAD = np.deg2rad(30.0)
STILL_ELEVATION_RAD = np.deg2rad(20.0)
TURNTABLE_FRAMES = 36
_BACKDROP_SRGB = ((0.965, 0.968, 0.972), (0.835, 0.845, 0.858))  # top, bottom
_SHADOW = 0.45  # darkest share of light that the ground loses under the object
_BRIGHT_LINEAR = 0.55  # the 95th percentile of a well exposed product picture, about 77 % in sRGB
_EXPOSURE_LIMITS = (0.6, 3.0)  # a black object stays dark, a white one bright


def still_picture(
    reconstruction: Reconstruction,
    delivered_from_world: Float[np.ndarray, "4 4"],
    *,
    size: tuple[int, int] = (768, 768),
    azimuth_rad: float = STILL_AZIMUTH_RAD,
    elevation_rad: float = STILL_ELEVATION_RAD,
) -> UInt8[np.ndarray, "H W 3"]:
    """The model in a neutral studio, from the front right and a little above, on a soft grey ground."""
    renderer = ModelRenderer(reconstruction)
    exposure = _exposure(renderer, reconstruction, delivered_from_world)
    cameras = orbit_cameras(
        reconstruction.mesh, delivered_from_world, [azimuth_rad], elevation_rad=elevation_rad, size=size
    )
    renderer.light_from(studio_environment(delivered_from_world, azimuth_rad=azimuth_rad, exposure=exposure))
    return _photographed(renderer, cameras[0], ContactShadow(reconstruction.mesh, delivered_from_world))


def turntable_pictures(
    reconstruction: Reconstruction,
    delivered_from_world: Float[np.ndarray, "4 4"],
    *,
    frames: int = TURNTABLE_FRAMES,
    size: tuple[int, int] = (400, 400),
    report: ProgressFn = ignore_progress,
) -> list[UInt8[np.ndarray, "H W 3"]]:
    """The model turning once under fixed lamps. `report` is called for each picture and may cancel."""
    renderer = ModelRenderer(reconstruction)
    exposure = _exposure(renderer, reconstruction, delivered_from_world)
    shadow = ContactShadow(reconstruction.mesh, delivered_from_world)
    azimuths = [STILL_AZIMUTH_RAD + 2.0 * np.pi * k / frames for k in range(frames)]
    cameras = orbit_cameras(
        reconstruction.mesh, delivered_from_world, azimuths, elevation_rad=STILL_ELEVATION_RAD, size=size
    )
    pictures = []
    for k, (azimuth, camera) in enumerate(zip(azimuths, cameras, strict=True)):
        report(Progress("preview", k / frames, "turntable"))
        renderer.light_from(studio_environment(delivered_from_world, azimuth_rad=azimuth, exposure=exposure))
        pictures.append(_photographed(renderer, camera, shadow))
    return pictures


def progress_picture(
    photo_srgb: UInt8[np.ndarray, "H W 3"], render_srgb: Float[np.ndarray, "H W 4"], *, edge_px: int = 320
) -> UInt8[np.ndarray, "h w 3"]:
    """A photo beside the model as it is now, each at most `edge_px` on the longer side, for `Progress`.

    Args:
        photo_srgb: The photo.
        render_srgb: Straight sRGB and coverage in [0, 1], from the photo's camera, of any size.
        edge_px: Of each half.
    """
    height, width = photo_srgb.shape[:2]
    factor = min(1.0, edge_px / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    picture = picture_from_rgba(render_srgb)
    backdrop = np.float32(np.mean(_BACKDROP_SRGB))
    share = picture.coverage[..., None]
    render = _quantised(picture.colour_srgb * share + backdrop * (1.0 - share))
    halves = [cv2.resize(half, size, interpolation=cv2.INTER_AREA) for half in (photo_srgb, render)]
    return np.concatenate(halves, axis=1)


def webp_bytes(picture_srgb: UInt8[np.ndarray, "H W 3"], *, quality: int = 88) -> bytes:
    """A still WebP file."""
    buffer = io.BytesIO()
    Image.fromarray(picture_srgb).save(buffer, "webp", quality=quality, method=4)
    return buffer.getvalue()


def animated_webp_bytes(
    pictures_srgb: Sequence[UInt8[np.ndarray, "H W 3"]], *, frame_ms: int = 90, quality: int = 75
) -> bytes:
    """An endlessly looping WebP file. 36 pictures of 512 px take 0.3 s and 0.4 MB at method 0."""
    first, *others = [Image.fromarray(picture) for picture in pictures_srgb]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "webp",
        save_all=True,
        append_images=others,
        duration=frame_ms,
        loop=0,
        quality=quality,
        method=0,
    )
    return buffer.getvalue()


class ContactShadow:
    """The soft shadow of an object on the ground: surface near the ground, dropped onto it and blurred."""

    def __init__(self, mesh: Mesh, delivered_from_world: Float[np.ndarray, "4 4"]):
        """The ground is the lowest point's level in the delivered frame."""
        samples = surface_samples(mesh, 8000)
        up = delivered_from_world[1, :3]
        height = samples.points @ up
        above = height - height.min()
        extent = max(float(np.ptp(samples.points, axis=0).max()), 1e-12)
        self._dropped = samples.points - above[:, None] * up
        self._weights = np.exp(-above / (0.12 * extent))

    def seen_from(self, camera: Camera) -> Float32[np.ndarray, "H W"]:
        """Darkness in [0, 1]."""
        camera_from_world = np.linalg.inv(camera.world_from_camera)
        in_camera = self._dropped @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        homogeneous = in_camera @ camera.intrinsics.T
        columns, rows = (homogeneous[:, :2] / homogeneous[:, 2:]).T
        width, height = camera.size
        darkness, _, _ = np.histogram2d(
            rows, columns, bins=(height, width), range=((0, height), (0, width)), weights=self._weights
        )
        blurred = cv2.GaussianBlur(darkness.astype(np.float32), (0, 0), width / 28.0)
        return np.asarray(blurred / max(float(blurred.max()), 1e-12), np.float32)


def _exposure(
    renderer: ModelRenderer, reconstruction: Reconstruction, delivered_from_world: Float[np.ndarray, "4 4"]
) -> float:
    """Factor on the studio's light that this model needs, from a small trial picture.

    Optimisation can't tell a dark object in bright light from a bright one in dim light, so that albedo comes
    with an arbitrary factor.
    """
    (camera,) = orbit_cameras(
        reconstruction.mesh,
        delivered_from_world,
        [STILL_AZIMUTH_RAD],
        elevation_rad=STILL_ELEVATION_RAD,
        size=(96, 96),
    )
    renderer.light_from(studio_environment(delivered_from_world, azimuth_rad=STILL_AZIMUTH_RAD))
    trial = picture_from_rgba(renderer.view(camera))
    if not trial.mask.any():
        return 1.0
    bright = np.percentile(linear_from_srgb_array(trial.colour_srgb[trial.mask].max(-1)), 95)
    return float(np.clip(_BRIGHT_LINEAR / max(float(bright), 1e-3), *_EXPOSURE_LIMITS))


def _photographed(
    renderer: ModelRenderer, camera: Camera, shadow: ContactShadow
) -> UInt8[np.ndarray, "H W 3"]:
    """The model in front of the backdrop, with its shadow on the ground."""
    picture = picture_from_rgba(renderer.view(camera))
    fall = np.linspace(0.0, 1.0, camera.size[1], dtype=np.float32)[:, None, None]
    top, bottom = np.array(_BACKDROP_SRGB, np.float32)
    backdrop = top * (1.0 - fall) + bottom * fall
    backdrop = backdrop * (1.0 - _SHADOW * shadow.seen_from(camera)[..., None])
    share = picture.coverage[..., None]
    return _quantised(picture.colour_srgb * share + backdrop * (1.0 - share))


def _quantised(colour_srgb: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    return np.asarray(np.clip(colour_srgb, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
