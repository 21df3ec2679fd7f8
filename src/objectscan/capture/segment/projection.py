"""Where world points fall in a plain, still distorted photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import PlainPhoto, SolvedCameras
from objectscan.capture.undistort import intrinsics_for

_HALF_PIXEL = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0.0]])
"""OpenCV puts pixel centres at whole numbers, this project at +0.5."""
_FIELD_MARGIN = 1.3
"""Points further out than this many times the photo's corners are outside, whatever distortion says: its
polynomials fold back there."""


@dataclass(frozen=True, slots=True)
class PhotoCamera:
    """The solved camera of one plain photo."""

    name: str
    size: tuple[int, int]
    intrinsics: Float[np.ndarray, "3 3"]
    """In pixels of `size`, pixel centres at +0.5."""
    lens: Lens
    world_from_camera: Float[np.ndarray, "4 4"]

    def project(
        self, points: Float[np.ndarray, "P 3"]
    ) -> tuple[Float[np.ndarray, "P 2"], Float[np.ndarray, " P"]]:
        """Pixel (x, y) and depth of points; pixels are NaN behind the camera or far beside the photo."""
        rotation = self.world_from_camera[:3, :3]
        local = (points - self.world_from_camera[:3, 3]) @ rotation
        depth = local[:, 2]
        rays = local[:, :2] / np.where(depth > 1e-9, depth, np.nan)[:, None]
        with np.errstate(invalid="ignore"):
            outside = ~(np.abs(rays) <= _FIELD_MARGIN * self._corner_ray()).all(axis=1)
        rays[outside] = 0
        if any(self.lens.distortion):
            pixels = self._distorted(np.column_stack([rays, np.ones(len(rays))]))
        else:
            focal = np.diagonal(self.intrinsics)[:2]
            pixels = rays * focal + self.intrinsics[:2, 2]
        pixels[outside] = np.nan
        return pixels, depth

    def _corner_ray(self) -> Float[np.ndarray, " 2"]:
        """Largest |x / z| and |y / z| in the photo, as without distortion."""
        centre, size = self.intrinsics[:2, 2], np.asarray(self.size, float)
        return np.maximum(centre, size - centre) / np.diagonal(self.intrinsics)[:2]

    def _distorted(self, rays: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 2"]:
        matrix, none = self.intrinsics - _HALF_PIXEL, np.zeros(3)
        coefficients = np.array(self.lens.distortion, float)
        if self.lens.model == "fisheye":
            pixels, _ = cv2.fisheye.projectPoints(rays[None], none, none, matrix, coefficients)
        else:
            pixels, _ = cv2.projectPoints(rays, none, none, matrix, coefficients)
        return np.asarray(pixels, float).reshape(-1, 2) + 0.5


def cameras_of(photos: tuple[PlainPhoto, ...], solved: SolvedCameras) -> dict[str, PhotoCamera]:
    """The camera of each photo that has one, by photo name."""
    return {
        photo.name: PhotoCamera(
            photo.name,
            photo.size,
            intrinsics_for(solved.lenses[photo.name], photo.size, photo.name),
            solved.lenses[photo.name],
            solved.world_from_camera[photo.name],
        )
        for photo in photos
        if photo.name in solved.world_from_camera
    }
