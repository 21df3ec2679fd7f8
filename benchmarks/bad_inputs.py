"""Run odd and broken inputs through the library and compare what happens with what should.

    python benchmarks/bad_inputs.py --data FOLDER [--command]

FOLDER holds `cases.json` (name, kind, path, verdict, reason, warn) and the files it names. Cases of kind
`file` are put into a capture of 8 good photos in place of one; cases of kind `cameras` get 8 photos.
With `--command` each case also goes through `objectscan ingest` in a process of its own: exit code, a message
that names the file, no traceback. Prints a JSON table; the exit code is 1 if any case went wrong.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from objectscan.capture import Photo, decode_photo, ingest
from objectscan.capture.limits import DEFAULT_LIMITS
from objectscan.capture.masks import mask_of
from objectscan.errors import BadCameras, ObjectscanError

VIEWS, REPLACED = 8, 3
LARGEST_DIFFERENCE = 14.0
"""Mean difference to the control picture, in 8-bit steps; inverted or clipped colours give 60 and more."""


@dataclass(frozen=True)
class Outcome:
    verdict: str
    message: str = ""
    exit_code: int = 0
    reason: str = ""
    warnings: tuple[str, ...] = ()
    error: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with cases.json")
    parser.add_argument("--command", action="store_true", help="also through the command, 2 s a case")
    arguments = parser.parse_args()
    data = arguments.data
    cases = [
        case for case in json.loads((data / "cases.json").read_text()) if case["kind"] in ("file", "cameras")
    ]
    rows = []
    for case in cases:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = file_case if case["kind"] == "file" else cameras_case
            outcome = run(data / case["path"], Path(folder))
            seconds = time.perf_counter() - started
            row = row_of(case, outcome, data, seconds)
            if arguments.command:
                row.update(through_command(case, Path(folder)))
                row["right"] &= row["command_right"]
        rows.append(row)
    wrong = [row["name"] for row in rows if not row["right"]]
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"cases": rows, "total": len(rows), "wrong": wrong, "peak_bytes": peak_bytes}, indent=1))
    return 1 if wrong else 0


def row_of(case: dict, outcome: Outcome, data: Path, seconds: float) -> dict:
    right = outcome.verdict == case["verdict"] and set(case["warn"]) <= set(outcome.warnings)
    if case["verdict"] != "accept":
        named = Path(case["path"]).name if case["kind"] == "file" else "transforms.json"
        right &= outcome.reason == case["reason"] and outcome.exit_code == 2 and named in outcome.message
    if case["name"] == "cameras_opencv_convention":
        right &= "cameras_look_away" in outcome.warnings
    difference = None
    if case["kind"] == "file" and case["verdict"] == "accept" and case["name"].startswith("ok_"):
        difference = difference_to_control(data / case["path"], data / "files" / "ok_baseline.jpg")
        right &= difference is None or difference < LARGEST_DIFFERENCE
    return {
        "name": case["name"],
        "right": bool(right),
        "expected": case["verdict"],
        "got": outcome.verdict,
        "expected_reason": case["reason"] if case["verdict"] != "accept" else "",
        "got_reason": outcome.reason,
        "warnings": outcome.warnings,
        "error": outcome.error,
        "exit_code": outcome.exit_code,
        "message": outcome.message,
        "difference_to_control": difference,
        "seconds": round(seconds, 3),
    }


def through_command(case: dict, folder: Path) -> dict:
    """What `objectscan ingest` says to the capture that the case left in `folder`.

    A dropped file leaves 7 good photos: the command goes on, and its warning names the file. (The file alone
    would be a capture of no cameras.)
    """
    command = [sys.executable, "-m", "objectscan.cli.main", "ingest", str(folder), "-o", str(folder / "out")]
    for photo in sorted((folder / "images").iterdir()):
        add_mask(photo, folder / "masks" / f"{photo.stem}.png")
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = run.stdout + run.stderr
    named = Path(case["path"]).name if case["kind"] == "file" else "transforms.json"
    refuses = case["verdict"] == "reject"
    right = "Traceback" not in said and run.returncode == (2 if refuses else 0)
    right &= case["verdict"] == "accept" or named in said
    return {"command_right": right, "command_exit_code": run.returncode, "command_said": said[-400:]}


def add_mask(photo: Path, mask: Path) -> None:
    """A round mask for a photo without alpha, so that `ingest` has one for each."""
    try:
        decoded = decode_photo(photo)
    except ObjectscanError:
        return
    if decoded.alpha is not None and decoded.alpha.min() < 255:
        return
    mask.parent.mkdir(exist_ok=True)
    width, height = decoded.size
    rows, columns = np.mgrid[:height, :width]
    inside = (columns - width / 2) ** 2 + (rows - height / 2) ** 2 < (0.3 * min(width, height)) ** 2
    Image.fromarray((inside * 255).astype(np.uint8)).save(mask)


def file_case(file: Path, folder: Path) -> Outcome:
    """The file among good photos, and alone for its own error."""
    names = [f"{index:02d}.png" for index in range(VIEWS)]
    names[REPLACED] = file.name
    write_photos(folder / "images", names)
    shutil.copyfile(file, folder / "images" / file.name)
    write_cameras(folder / "transforms.json", names)
    try:
        capture = ingest(folder, require_masks=False)
    except ObjectscanError as error:
        return refused("reject", error)
    codes = tuple(finding.code for finding in capture.findings if file.name in finding.photos)
    if "photo_dropped" not in codes:
        return Outcome("accept", warnings=codes)
    try:
        mask_of(decode_photo(file), None, DEFAULT_LIMITS)
    except ObjectscanError as error:
        return refused("drop", error)
    return Outcome("drop", message="it is accepted alone", warnings=codes)


def cameras_case(file: Path, folder: Path) -> Outcome:
    write_photos(folder / "images", [f"{index:02d}.png" for index in range(VIEWS)])
    shutil.copyfile(file, folder / "transforms.json")
    try:
        capture = ingest(folder)
    except BadCameras as error:
        return refused("reject", error)
    return Outcome("accept", warnings=tuple(finding.code for finding in capture.findings))


def refused(verdict: str, error: ObjectscanError) -> Outcome:
    reason = str(error.details.get("reason", error.code)) if not isinstance(error, BadCameras) else error.code
    return Outcome(verdict, str(error), error.exit_code, reason, (), type(error).__name__)


def difference_to_control(file: Path, control: Path) -> float | None:
    """Mean absolute difference of the luma, inside the alpha; None for a picture of another aspect."""
    photo, wanted = decode_photo(file), decode_photo(control)
    if (
        abs(photo.size[0] / photo.size[1] - wanted.size[0] / wanted.size[1]) > 0.01
        or photo.size[0] > wanted.size[0]
    ):
        return None
    inside = np.ones(wanted.image_srgb.shape[:2], bool)
    if photo.alpha is not None:
        inside = cv2.resize(photo.alpha, wanted.size) > 250
    difference = np.abs(luma(photo, wanted.size) - luma(wanted, wanted.size))
    return round(float(difference[inside].mean()), 2)


def luma(photo: Photo, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(cv2.cvtColor(photo.image_srgb, cv2.COLOR_RGB2GRAY), size).astype(float)


def write_photos(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[:192, :256]
    alpha = (((columns - 128) ** 2 + (rows - 96) ** 2 < 70**2) * 255).astype(np.uint8)
    for index, name in enumerate(names):
        shade = ((columns * (index + 3) + rows * 5) % 256).astype(np.uint8)
        pixels = np.dstack([shade, shade[::-1], 255 - shade, alpha])
        Image.fromarray(pixels).save(folder / name, format="PNG")


def write_cameras(file: Path, names: list[str]) -> None:
    """Cameras on a ring of radius 3, height 1, that look at the origin; OpenGL axes."""
    frames = []
    for index, name in enumerate(names):
        angle = 2 * np.pi * index / len(names)
        centre = np.array([3 * np.cos(angle), 3 * np.sin(angle), 1.0])
        backward = centre / np.linalg.norm(centre)
        right = np.cross([0, 0, 1.0], backward)
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3] = np.column_stack([right, np.cross(backward, right), backward, centre])
        frames.append({"file_path": f"images/{name}", "transform_matrix": pose.tolist()})
    file.write_text(json.dumps({"camera_angle_x": 0.69, "frames": frames}))


if __name__ == "__main__":
    sys.exit(main())
