"""Sets of photographs made in code, good ones and ones that must be refused, each with the verdict to expect.

All are views of a textured box on a textured table; what is wrong with a bad set is the one thing that its
name says. Free to use: nothing in them was photographed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from objectscan.capture.samples.photographs import Scene, Shot, box_on_a_table, photograph, ring
from objectscan.errors import BadWorkspace

SIZE = (800, 600)
"""Pixels of each photo: small, so that a set is solved in half a minute."""
Images = list[UInt8[np.ndarray, "H W 3"]]


@dataclass(frozen=True, slots=True)
class SampleSet:
    """One folder of photos and what should come of it."""

    name: str
    reason: str | None
    """Why it is refused, as `details.reason` of the error tells; None: it is accepted."""
    needs_cameras: bool
    """Whether only the search for cameras can tell; else `inspect` does."""
    what: str
    advice: str
    make: Callable[[], Images]


def _photographed(shots: Sequence[Shot], scene: Scene | None = None) -> Images:
    rng = np.random.default_rng(1)
    whole = scene or box_on_a_table()
    return [photograph(whole, shot, rng=rng) for shot in shots]


def _good() -> Images:
    low = ring(16, size=SIZE, elevation_deg=20.0)
    return _photographed([*low, *ring(8, size=SIZE, elevation_deg=45.0, seed=1)])


def _few() -> Images:
    return _photographed(ring(4, size=SIZE))


def _blurred() -> Images:
    return [cv2.GaussianBlur(image, (0, 0), 8.0) for image in _photographed(ring(10, size=SIZE))]


def _dark() -> Images:
    return [(image * 0.03).astype(np.uint8) for image in _photographed(ring(10, size=SIZE))]


def _bright() -> Images:
    return [
        np.clip(image * 6.0 + 120, 0, 255).astype(np.uint8) for image in _photographed(ring(10, size=SIZE))
    ]


def _plain() -> Images:
    rng = np.random.default_rng(2)
    ramp = np.linspace(150, 190, SIZE[0])[None, :, None] * np.ones((SIZE[1], 1, 3))
    return [np.clip(ramp + k + rng.normal(0, 1.5, ramp.shape), 0, 255).astype(np.uint8) for k in range(10)]


def _one_place() -> Images:
    return _photographed([ring(1, size=SIZE)[0]] * 10)


def _turned_on_the_spot() -> Images:
    shot = ring(1, size=SIZE)[0]
    turned = []
    for angle in np.radians(np.linspace(-30, 30, 12)):
        pose = shot.world_from_camera.copy()
        pose[:3, :3] = pose[:3, :3] @ cv2.Rodrigues(np.array([0.0, angle, 0.0]))[0]
        turned.append(replace(shot, world_from_camera=pose))
    return _photographed(turned)


def _nothing_shared() -> Images:
    return [_photographed([ring(1, size=SIZE, seed=k)[0]], box_on_a_table(seed=10 + k))[0] for k in range(8)]


SETS = (
    SampleSet("good", None, True, "24 photos all around, in two rings", "", _good),
    SampleSet("too_few", "too_few_images", True, "4 photos", "take 24 to 40", _few),
    SampleSet("out_of_focus", "blurry_images", False, "focused elsewhere", "tap on the object", _blurred),
    SampleSet("under_exposed", "bad_exposure", False, "almost black", "more light", _dark),
    SampleSet("over_exposed", "bad_exposure", False, "almost white", "lock a shorter exposure", _bright),
    SampleSet("no_detail", "insufficient_features", False, "a smooth surface", "put print under it", _plain),
    SampleSet("one_place", "no_parallax", True, "ten photos from one place", "walk around it", _one_place),
    SampleSet(
        "turned_on_the_spot", "no_parallax", True, "the camera only turns", "walk around the object",
        _turned_on_the_spot,
    ),
    SampleSet(
        "nothing_shared", "registration_failed", True, "eight different scenes", "photograph one object",
        _nothing_shared,
    ),
)  # fmt: skip


def write_samples(folder: Path, wanted: Sequence[SampleSet] = SETS) -> Path:
    """Write sets as folders of JPEGs, and `expected.json` with the verdict of each.

    Args:
        folder: New or empty.
        wanted: Which ones.

    Returns:
        The path of `expected.json`.

    Raises:
        BadWorkspace: The folder holds something, or can't be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadWorkspace(f"{folder} is not an empty folder.", hint="Choose a new one.")
    rows = []
    try:
        for sample in wanted:
            (folder / sample.name).mkdir(parents=True)
            for number, image in enumerate(sample.make()):
                _write(folder / sample.name / f"photo_{number:02}.jpg", image)
            rows.append(
                {
                    "folder": sample.name, "verdict": "accept" if sample.reason is None else "reject",
                    "reason": sample.reason, "found_by": "solve" if sample.needs_cameras else "inspect",
                    "what": sample.what, "advice": sample.advice,
                }
            )  # fmt: skip
        expected = folder / "expected.json"
        expected.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    except OSError as problem:
        raise BadWorkspace(
            f"{folder} can't be written: {problem.strerror}.", hint="Choose another."
        ) from problem
    return expected


def _write(path: Path, image: UInt8[np.ndarray, "H W 3"]) -> None:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    path.write_bytes(data.tobytes())
