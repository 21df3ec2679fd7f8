"""Jobs for tests: a capture of a painted ball made from formulas, and an engine that knows the answer."""

from __future__ import annotations

import functools
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.shapes import sphere
from objectscan.errors import OptimisationDiverged
from objectscan.mesh.box_unwrap import box_unwrap
from objectscan.types import Environment, Material, Mesh, PassReport, Progress, Reconstruction

RADIUS = 0.5
_SIZE_PX = 96
_FIELD_RAD = 0.7
_COLOR_SRGB = (200, 120, 60)


def write_ball_capture(folder: Path, *, views: int = 12, split: str = "") -> Path:
    """RGBA photos of a ball at the origin of a z-up world, in a ring with changing height."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for number in range(views):
        pose = _pose(2 * np.pi * number / views, elevation_rad=0.3 + 0.3 * (number % 3))
        name = f"ball{split}_{number:02d}.png"
        Image.fromarray(_photo(pose)).save(folder / name)
        frames.append({"file_path": name, "transform_matrix": pose.tolist()})
    values = {"camera_angle_x": _FIELD_RAD, "frames": frames}
    file = f"transforms_{split}.json" if split else "transforms.json"
    (folder / file).write_text(json.dumps(values))
    return folder


def ball_result(
    *, radius: float = RADIUS, shift: float = 0.0, passes: tuple[PassReport, ...] = ()
) -> Reconstruction:
    """A textured ball; `shift` moves it away from where the photos show it."""
    vertices, faces = sphere(8)
    moved = (radius * vertices + (0, 0, shift)).astype(np.float32)
    mesh = Mesh(moved, faces.astype(np.int32))
    color = np.tile(np.array(_COLOR_SRGB, np.float32) / 255, (64, 64, 1))
    orm = np.tile(np.array([1, 1, 0], np.float32), (64, 64, 1))
    light = Environment(np.ones((6, 16, 16, 3), np.float32))
    return Reconstruction(mesh, box_unwrap(mesh, 64), Material(color, orm, None), light, passes)


def take_small_pictures(patch: pytest.MonkeyPatch) -> None:
    """Three frames of 120 px for the turntable in place of 36 of 400: a delivery takes 0.4 s, not 2.5 s."""
    import objectscan.delivery as delivery
    from objectscan.mesh.preview import still_picture, turntable_pictures

    size = (120, 120)
    patch.setattr(delivery, "still_picture", functools.partial(still_picture, size=size))
    patch.setattr(delivery, "turntable_pictures", functools.partial(turntable_pictures, frames=3, size=size))


class BallEngine:
    """Two stages, `shape` and `refine`. The variable BALL_ENGINE says what goes wrong in `refine`.

    kill: the process dies; wait: it reports for ever; deaf: it works for ever without a report; crash: a
    defect; diverge: an error on purpose; elsewhere: the ball is not where the photos show it. The file that
    BALL_LOG names gets a line for each stage that really ran.
    """

    name = "nvdiffrec"
    stages = (("shape", 0.5), ("refine", 0.5))

    def __init__(self, name: str = ""):
        self.mode = os.environ.get("BALL_ENGINE", "")

    def memory_bytes(self, capture, recipe):
        return 10**15 if self.mode == "huge" else 1

    def prepare(self, device, settings):
        assert device == "cpu"

    def reconstruct(self, capture, recipe, *, seed, report, checkpoints):
        if checkpoints.load("shape") is None:
            _log("shape")
            report(Progress("shape", 0.5, preview_srgb=np.zeros((8, 16, 3), np.uint8)))
            checkpoints.save("shape", {"seed": np.array(seed)})
        report(Progress("shape", 1.0))
        _log("refine")
        report(Progress("refine", 0.1))
        self._misbehave(report)
        report(Progress("refine", 1.0))
        passes = (PassReport("shape", 3, 0.1, {"loss": 0.25}), PassReport("refine", 2, 0.2))
        return ball_result(shift=2.0 if self.mode == "elsewhere" else 0.0, passes=passes)

    def _misbehave(self, report):
        if self.mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mode == "crash":
            raise RuntimeError("the cat stood on the keyboard")
        if self.mode == "diverge":
            raise OptimisationDiverged("Step 7 of refine: loss is not finite.", hint="Try another seed.")
        while self.mode == "wait":
            report(Progress("refine", 0.2))
            time.sleep(0.02)
        while self.mode == "deaf":
            time.sleep(0.02)


def _log(line: str) -> None:
    if "BALL_LOG" in os.environ:
        with open(os.environ["BALL_LOG"], "a") as file:
            file.write(line + "\n")


def _pose(azimuth_rad: float, elevation_rad: float, distance: float = 2.5) -> np.ndarray:
    """world_from_camera with OpenGL axes, looking at the origin."""
    flat = np.array([np.cos(azimuth_rad), np.sin(azimuth_rad), 0.0])
    back = np.cos(elevation_rad) * flat + np.sin(elevation_rad) * np.array([0, 0, 1.0])
    right = np.cross([0, 0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(back, right), back], axis=1)
    pose[:3, 3] = distance * back
    return pose


def _photo(pose: np.ndarray) -> np.ndarray:
    """RGBA: opaque where the ray through the pixel's centre meets the ball."""
    focal = 0.5 * _SIZE_PX / np.tan(0.5 * _FIELD_RAD)
    x, y = np.meshgrid(*[(np.arange(_SIZE_PX) + 0.5 - _SIZE_PX / 2) / focal] * 2)
    rays = np.stack([x, -y, -np.ones_like(x)], axis=-1) @ pose[:3, :3].T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    nearest = np.linalg.norm(np.cross(rays, pose[:3, 3]), axis=-1)
    photo = np.zeros((_SIZE_PX, _SIZE_PX, 4), np.uint8)
    photo[nearest < RADIUS] = (*_COLOR_SRGB, 255)
    return photo
