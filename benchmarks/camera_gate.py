"""Spoil good photo sets in many ways and count wrong cameras that pass, and right ones that are refused.

    PYTHONPATH=tests python benchmarks/camera_gate.py --data FOLDER --out FILE.jsonl [--only PART]

FOLDER holds synthetic/phone_bottle, real/fox, real/temple_ring and real/statue with true cameras where there
are some; the other scenes are rendered here. One JSON line a set, as it goes; a set that is in the file
already is not run again. `--table` prints the counts of a finished file.

A result is wrong if a camera in it stands more than 5 % of the camera set's radius, or looks more than 5
degrees, away from the truth after a robust similarity alignment; if a photo in it has no true place
(mirrored, foreign); or if the set can't have cameras at all (one place, one plane, repeated photos). Fewer
than 70 % of the cameras must be refused, whatever they are.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from objectscan.capture.photoset import SolvedCameras
from objectscan.capture.samples import photographs as made
from objectscan.capture.solve import SolveLimits, solve_cameras
from objectscan.capture.solve.agreement import camera_radius, robust_similarity
from objectscan.errors import CamerasNotFound

LIMITS = SolveLimits(max_edge_px=800, features=2048, timeout_s=3600)
FAR, TURNED_RAD = 0.05, np.radians(5.0)
SIZE = (800, 600)


@dataclass(frozen=True)
class Photos:
    """Pictures with what is true about them."""

    images: tuple[np.ndarray, ...]
    truth: tuple[np.ndarray | None, ...]
    """world_from_camera; None for a photo that has no place in the scene."""
    focal_px: float | None
    is_solvable: bool = True

    def take(self, chosen: Sequence[int]) -> Photos:
        return replace(
            self,
            images=tuple(self.images[number] for number in chosen),
            truth=tuple(self.truth[number] for number in chosen),
        )

    def each(self, change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Photos:
        rng = np.random.default_rng(1)
        return replace(self, images=tuple(change(image, rng) for image in self.images))

    def instead(self, number: int, image: np.ndarray) -> Photos:
        """With a picture at one place that belongs nowhere."""
        images, truth = list(self.images), list(self.truth)
        images[number], truth[number] = image, None
        return replace(self, images=tuple(images), truth=tuple(truth))


# ------------------------------------------------------------------------------------------------ good sets


def stored(folder: Path, cameras: str, step: int, focal: float | None) -> Photos:
    """Photos of a data set with its published cameras (OpenGL axes)."""
    frames = {
        folder / "images" / Path(frame["file_path"]).name: frame["transform_matrix"]
        for frame in json.loads((folder / cameras).read_text())["frames"]
    }
    images, truth = [], []
    for path in sorted(path for path in frames if path.is_file())[::step]:
        image = cv2.imread(str(path))[..., ::-1]
        factor = min(1.0, 800 / max(image.shape))
        images.append(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
        truth.append(np.array(frames[path]) @ np.diag([1.0, -1, -1, 1]))
    return Photos(tuple(images), tuple(truth), focal)


def rendered(scene: made.Scene, shots: Sequence[made.Shot], *, is_focal_known: bool = True) -> Photos:
    rng = np.random.default_rng(2)
    images = tuple(made.photograph(scene, shot, rng=rng) for shot in shots)
    focal = shots[0].focal_px if is_focal_known else None
    return Photos(images, tuple(shot.world_from_camera for shot in shots), focal)


@functools.cache
def good_set(name: str, data: Path) -> Photos:
    if name == "phone":
        return stored(data / "synthetic/phone_bottle", "gt_cameras.json", 1, 622.2).take(range(18))
    if name == "fox":
        return stored(data / "real/fox", "transforms.json", 3, None)
    if name == "temple":
        return stored(data / "real/temple_ring", "transforms.json", 2, None)
    if name == "table":
        return rendered(made.box_on_a_table(3), made.ring(18, size=SIZE))
    return rendered(made.box_on_a_table(5), made.ring(16, size=SIZE, elevation_deg=35, focal=0.8))


THOROUGH = ("phone", "table")
USUAL = ("good", "every_2nd", "every_3rd", "two_arcs", "one_mirrored", "overexposed", "moving_cards")
"""Damages that sets outside `THOROUGH` get: 25 minutes of processor time in all."""
GOOD = ("phone", "fox", "temple", "table", "room")


# ------------------------------------------------------------------------------------------------ damages


def overexposed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image.astype(float) * 3.2, 0, 255).astype(np.uint8)


def blurred(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), 3.0)


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image + rng.normal(0, 25, image.shape), 0, 255).astype(np.uint8)


def with_a_still_frame(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same printed frame around every picture, as if the background moved with the camera."""
    height, width = image.shape[:2]
    frame = made.noise_texture(np.random.default_rng(9), 1024)[:height, :width].astype(np.uint8)
    result, margin = frame.copy(), (height // 6, width // 6)
    inner = (slice(margin[0], height - margin[0]), slice(margin[1], width - margin[1]))
    result[inner] = image[inner]
    return result


def with_moving_things(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Four printed cards, the same in each photo, at places that change from photo to photo."""
    result = image.copy()
    height, width = image.shape[:2]
    side = min(height, width) // 5
    for number in range(4):
        card = made.noise_texture(np.random.default_rng(20 + number), 256)[:side, :side].astype(np.uint8)
        row, column = int(rng.integers(0, height - side)), int(rng.integers(0, width - side))
        result[row : row + side, column : column + side] = card
    return result


def repeated(photos: Photos) -> Photos:
    """Four photos again and again, with fresh noise."""
    few = photos.take([number % 4 for number in range(14)])
    few = few.each(lambda image, rng: np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8))
    return replace(few, is_solvable=False)


def two_arcs(photos: Photos) -> Photos:
    """Two groups from opposite sides."""
    count = len(photos.images)
    near = [*range(count // 4), *range(count // 2, count // 2 + count // 4)]
    return photos.take(near)


DAMAGES: Mapping[str, Callable[[Photos, Photos], Photos]] = {
    "good": lambda photos, other: photos,
    "every_2nd": lambda photos, other: photos.take(range(0, len(photos.images), 2)),
    "every_3rd": lambda photos, other: photos.take(range(0, len(photos.images), 3)),
    "two_arcs": lambda photos, other: two_arcs(photos),
    "one_mirrored": lambda photos, other: photos.instead(4, photos.images[4][:, ::-1]),
    "one_foreign": lambda photos, other: photos.instead(4, other.images[0]),
    "overexposed": lambda photos, other: photos.each(overexposed),
    "still_frame": lambda photos, other: photos.each(with_a_still_frame),
    "moving_cards": lambda photos, other: photos.each(with_moving_things),
    "blurred": lambda photos, other: photos.each(blurred),
    "noisy": lambda photos, other: photos.each(noisy),
    "repeated": lambda photos, other: repeated(photos),
}


# ------------------------------------------------------------------------------------------------ own scenes


def _alike(times: int, faces: Sequence[int], *, views: int, has_ground: bool = True) -> Photos:
    """A box whose sides repeat (`faces` says which of the textures), on a table whose print repeats."""
    scene = made.box_on_a_table(7)
    table = made.table_top(made.tiled(scene.pictures[-1].texture, times))
    box = scene.boxes[0]
    box = replace(box, centre=(0, 0, 0.4), yaw_rad=0.0, textures=[box.textures[face] for face in faces])
    return rendered(made.Scene([box], [table] if has_ground else []), made.ring(views, size=SIZE))


def _from_one_place(seed: int) -> Photos:
    scene = made.box_on_a_table(seed)
    eye = np.array([1.5, -1.0, 1.0])
    shots = [
        made.Shot(
            made.look_at(eye, np.add(eye, (np.cos(a), np.sin(a), 0.05 * np.sin(3 * a) - 0.25))), 800.0, SIZE
        )
        for a in np.radians(np.arange(0, 168, 12))
    ]
    return replace(rendered(scene, shots), is_solvable=False)


def _poster(seed: int, *, is_focal_known: bool) -> Photos:
    poster = made.table_top(made.noise_texture(np.random.default_rng(seed), 1024), 3.0)
    shots = made.ring(14, size=SIZE, elevation_deg=55, arc_deg=120, seed=seed)
    photos = rendered(made.Scene([], [poster]), shots, is_focal_known=is_focal_known)
    return replace(photos, is_solvable=False)


def _turntable(views: int, *, is_focal_known: bool) -> Photos:
    """The object turns with its stand; camera, table and wall stay."""
    scene = made.box_on_a_table(11)
    things = made.Scene(scene.boxes)
    shots = [_unshaken(number, views) for number in range(views)]
    wall = made.noise_texture(np.random.default_rng(12), 1024)[: SIZE[1], : SIZE[0]]
    rng = np.random.default_rng(13)
    images = []
    for shot in shots:
        image = made.photograph(things, shot, rng=rng, noise=0.0)
        seen = np.abs(image.astype(int) - int(made.SKY)).max(axis=2) > 2
        mixed = np.where(seen[..., None], image, wall) + rng.normal(0, 2, image.shape)
        images.append(np.clip(mixed, 0, 255).astype(np.uint8))
    focal = shots[0].focal_px if is_focal_known else None
    return Photos(tuple(images), tuple(shot.world_from_camera for shot in shots), focal)


def _unshaken(number: int, views: int) -> made.Shot:
    angle = 2 * np.pi * number / views
    eye = (2.1 * np.cos(angle), 2.1 * np.sin(angle), 1.2)
    return made.Shot(made.look_at(eye), 1.1 * SIZE[0], SIZE)


SCENES: Mapping[str, Callable[[], Photos]] = {
    "print_repeats_4": lambda: _alike(4, range(6), views=18),
    "print_repeats_8": lambda: _alike(8, range(6), views=18),
    "print_repeats_4_wide": lambda: _alike(4, range(6), views=10),
    "opposite_sides_alike": lambda: _alike(1, (0, 0, 2, 2, 4, 5), views=18, has_ground=False),
    "all_sides_alike": lambda: _alike(1, (0, 0, 0, 0, 4, 5), views=18, has_ground=False),
    "all_alike_on_print": lambda: _alike(1, (0, 0, 0, 0, 4, 5), views=18),
    "opposite_alike_repeats": lambda: _alike(4, (0, 0, 2, 2, 4, 5), views=18),
    "from_one_place": lambda: _from_one_place(3),
    "from_one_place_2": lambda: _from_one_place(5),
    "poster": lambda: _poster(31, is_focal_known=True),
    "poster_no_focal": lambda: _poster(32, is_focal_known=False),
    "turntable_36": lambda: _turntable(36, is_focal_known=True),
    "turntable_24_no_focal": lambda: _turntable(24, is_focal_known=False),
}


# ------------------------------------------------------------------------------------------------ scoring


def camera_errors(solved: SolvedCameras, photos: Photos) -> dict[str, Any]:
    """What is wrong with the cameras of a result."""
    truth = dict(zip(_names(photos), photos.truth, strict=True))
    placed = [name for name in solved.photo_names if truth[name] is not None]
    strangers = [name for name in solved.photo_names if truth[name] is None]
    if len(placed) < 3:
        return {"wrong": [*placed, *strangers], "error_median": None, "strangers": strangers}
    found = np.array([solved.world_from_camera[name] for name in placed])
    true = np.array([truth[name] for name in placed])
    fitted = robust_similarity(found[:, :3, 3], true[:, :3, 3])
    error = np.linalg.norm(fitted.apply(found[:, :3, 3]) - true[:, :3, 3], axis=1) / camera_radius(
        true[:, :3, 3]
    )
    cosine = np.einsum("ia,ab,ib->i", true[:, :3, 2], fitted.rotation, found[:, :3, 2])
    off = (error > FAR) | (np.arccos(np.clip(cosine, -1, 1)) > TURNED_RAD)
    wrong = [name for name, is_off in zip(placed, off.tolist(), strict=True) if is_off]
    return {
        "wrong": wrong + strangers, "error_median": round(float(np.median(error)), 5),
        "error_max": round(float(error.max()), 5), "strangers": strangers,
    }  # fmt: skip


def _names(photos: Photos) -> list[str]:
    return [f"{number:02d}.jpg" for number in range(len(photos.images))]


def run(name: str, photos: Photos, work: Path) -> dict[str, Any]:
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    given = made.write_photos(folder / "in", photos.images, focal_px=photos.focal_px, names=_names(photos))
    began, spent = time.monotonic(), _child_seconds()
    try:
        solved = solve_cameras(given, folder / "solve", limits=LIMITS)
    except CamerasNotFound as error:
        return {"set": name, "grade": "bad", "reason": str(error.details.get("reason")), "is_right": False}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    errors = camera_errors(solved, photos)
    enough = len(solved.photo_names) >= max(3, 0.7 * len(photos.images))
    return {
        "set": name,
        "photos": len(photos.images),
        "registered": len(solved.photo_names),
        "is_right": bool(photos.is_solvable and enough and not errors["wrong"]),
        "grade": solved.grade,
        "reason": next((f.code for f in solved.findings if f.severity == "error"), None),
        "findings": [finding.code for finding in solved.findings],
        **errors,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(_child_seconds() - spent, 1),
        "measures": {key: round(value, 4) for key, value in solved.measures.items() if np.isfinite(value)},
    }


def _spoiled(name: str, other: str, spoil: Callable[[Photos, Photos], Photos], data: Path) -> Photos:
    return spoil(good_set(name, data), good_set(other, data))


def _child_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def all_sets(data: Path, only: str) -> dict[str, Callable[[], Photos]]:
    """Makers of all sets whose name contains `only`."""
    sets: dict[str, Callable[[], Photos]] = {}
    for name, other in zip(GOOD, (*GOOD[1:], GOOD[0]), strict=True):
        for damage, spoil in DAMAGES.items():
            if name not in THOROUGH and damage not in USUAL:
                continue
            sets[f"{name}.{damage}"] = functools.partial(_spoiled, name, other, spoil, data)
    sets.update(SCENES)
    return {name: make for name, make in sets.items() if only in name}


def table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts by what is true and what was said."""
    counts = Counter(("right" if row["is_right"] else "wrong", row["grade"]) for row in rows)
    wrong = sum(count for (truth, _), count in counts.items() if truth == "wrong")
    right = sum(count for (truth, _), count in counts.items() if truth == "right")
    return {
        "sets": len(rows),
        "wrong": wrong,
        "wrong_refused": counts["wrong", "bad"],
        "wrong_warned": counts["wrong", "doubtful"],
        "wrong_missed": [row["set"] for row in rows if not row["is_right"] and row["grade"] == "good"],
        "right": right,
        "right_passed": counts["right", "good"],
        "right_warned": [row["set"] for row in rows if row["is_right"] and row["grade"] == "doubtful"],
        "right_refused": [row["set"] for row in rows if row["is_right"] and row["grade"] == "bad"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="part of the names of the sets to run")
    parser.add_argument("--work", type=Path, help="folder for the work; by default a temporary one")
    parser.add_argument("--table", action="store_true", help="only print the counts of --out")
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        for name, make in all_sets(given.data, given.only).items():
            if given.table or any(row["set"] == name for row in rows):
                continue
            rows.append(run(name, make(), Path(work)))
            with given.out.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(json.dumps(table(rows), indent=1))


if __name__ == "__main__":
    main()
