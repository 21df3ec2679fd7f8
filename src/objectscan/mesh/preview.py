"""Pictures of a finished model for people: a still, a turntable, and what is shown while an engine works."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from objectscan.mesh.metrics import Picture, edge_band, picture_from_rgba
from objectscan.mesh.studio import orbit_cameras, studio_environment
from objectscan.mesh.visibility import surface_samples
from objectscan.render import TexturedModel
from objectscan.render.colour import linear_from_srgb_array
from objectscan.types import Camera, Mesh, Progress, ProgressFn, Reconstruction, ignore_progress

STILL_ELEVATION_RAD = np.deg2rad(20.0)
TURNTABLE_FRAMES = 36
_TRIALS = 12
_BACKDROP_SRGB = ((0.965, 0.968, 0.972), (0.835, 0.845, 0.858))  # top, bottom
_SHADOW = 0.45  # darkest share of light that the ground loses under the object
_BRIGHT_LINEAR = 0.50  # the 95th percentile of a well exposed product picture, about 74 % in sRGB
_EXPOSURE_LIMITS = (0.5, 3.0)  # a black object stays dark, a white one bright


class Studio:
    """Takes pictures of one model under lamps that turn with the camera, on a soft grey ground.

    Twelve small trial pictures set two things. The exposure: optimisation can't tell a dark object in bright
    light from a bright one in dim light, so that albedo comes with an arbitrary factor. The showy side:
    nothing says where the front of a captured object is, but it is usually the side with the most to see.
    """

    def __init__(self, reconstruction: Reconstruction, delivered_from_world: Float[np.ndarray, "4 4"]):
        """Prepare the model; about 0.3 s."""
        self._mesh, self._delivered_from_world = reconstruction.mesh, delivered_from_world
        self._renderer = TexturedModel.of(reconstruction)
        self._shadow = ContactShadow(reconstruction.mesh, delivered_from_world)
        azimuths = [2.0 * np.pi * k / _TRIALS for k in range(_TRIALS)]
        trials = [
            self._seen(camera, azimuth, exposure=1.0)
            for camera, azimuth in zip(self.cameras(azimuths, size=(96, 96)), azimuths, strict=True)
        ]
        self.showy_azimuth_rad = azimuths[int(np.argmax([_detail_shown(trial) for trial in trials]))]
        bright = [trial.colour_srgb[trial.mask].max(-1) for trial in trials]
        brightest = np.percentile(np.concatenate([*bright, [0.0]]), [95.0])
        level = float(linear_from_srgb_array(brightest)[0])
        self._exposure = float(np.clip(_BRIGHT_LINEAR / max(level, 1e-3), *_EXPOSURE_LIMITS))

    def cameras(self, azimuths_rad: Sequence[float], *, size: tuple[int, int]) -> tuple[Camera, ...]:
        """Cameras around the model at one distance, a little above."""
        return orbit_cameras(
            self._mesh, self._delivered_from_world, azimuths_rad, elevation_rad=STILL_ELEVATION_RAD, size=size
        )

    def photograph(self, camera: Camera, azimuth_rad: float) -> UInt8[np.ndarray, "H W 3"]:
        """The model in front of the backdrop, with its shadow on the ground."""
        picture = self._seen(camera, azimuth_rad, exposure=self._exposure)
        fall = np.linspace(0.0, 1.0, camera.size[1], dtype=np.float32)[:, None, None]
        top, bottom = np.array(_BACKDROP_SRGB, np.float32)
        backdrop = top * (1.0 - fall) + bottom * fall
        backdrop = backdrop * (1.0 - _SHADOW * self._shadow.seen_from(camera)[..., None])
        share = picture.coverage[..., None]
        return _quantised(picture.colour_srgb * share + backdrop * (1.0 - share))

    def _seen(self, camera: Camera, azimuth_rad: float, *, exposure: float) -> Picture:
        light = studio_environment(self._delivered_from_world, azimuth_rad=azimuth_rad, exposure=exposure)
        self._renderer.light_from(light)
        return picture_from_rgba(self._renderer.view(camera))


def still_picture(studio: Studio, *, size: tuple[int, int] = (768, 768)) -> UInt8[np.ndarray, "H W 3"]:
    """The model from its showy side."""
    (camera,) = studio.cameras([studio.showy_azimuth_rad], size=size)
    return studio.photograph(camera, studio.showy_azimuth_rad)


def turntable_pictures(
    studio: Studio,
    *,
    frames: int = TURNTABLE_FRAMES,
    size: tuple[int, int] = (400, 400),
    report: ProgressFn = ignore_progress,
) -> list[UInt8[np.ndarray, "H W 3"]]:
    """The model turning once, from its showy side on. `report` is called for each picture and may cancel."""
    azimuths = [studio.showy_azimuth_rad + 2.0 * np.pi * k / frames for k in range(frames)]
    pictures = []
    for k, (azimuth, camera) in enumerate(zip(azimuths, studio.cameras(azimuths, size=size), strict=True)):
        report(Progress("preview", k / frames, "turntable"))
        pictures.append(studio.photograph(camera, azimuth))
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


def _detail_shown(picture: Picture) -> float:
    """How much there is to see: luma differences between neighbours on the object, summed."""
    luma = picture.colour_srgb.mean(-1)
    inside = picture.mask & ~edge_band(picture.mask)
    across = np.abs(np.diff(luma, axis=1))[inside[:, 1:] & inside[:, :-1]].sum()
    down = np.abs(np.diff(luma, axis=0))[inside[1:] & inside[:-1]].sum()
    return float(across + down)


def _quantised(colour_srgb: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    return np.asarray(np.clip(colour_srgb, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
