"""How well photos are masked: one JSON line a scene with IoU against exact masks and seconds per photo.

    python benchmarks/masks.py DATA [--scenes phone_bottle spot ...] [--cameras points|bare|none]

DATA holds `synthetic/SCENE` with truth (see its README; not part of the repository). `phone_bottle` has
photos with a background: its exact masks are rays against the mesh, 3 x 3 a pixel. The other scenes are
cut-outs, laid over backgrounds made here: blurred shapes and 1/f noise, another for each photo.

`--cameras points`: true cameras, 400 noisy points on the object, 5000 on its table, 2000 anywhere;
`bare`: true cameras alone; `none`: no cameras. `--enlarge` makes cut-outs and backgrounds larger, for edges.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import trimesh

from objectscan.capture.formats.posed import Lens
from objectscan.capture.photoset import PhotoSet, PlainPhoto, SolvedCameras
from objectscan.capture.segment import MaskSet, cut_out, load_segmenter
from objectscan.capture.segment.overview import write_overview

SCENES = ("phone_bottle", "spot", "torusknot", "featuretype", "waterbottle", "duck_sparse")
RAYS_A_SIDE = 3
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Shot:
    """One photo with its truth."""

    name: str
    image_srgb: np.ndarray
    truth: np.ndarray
    intrinsics: np.ndarray
    world_from_camera: np.ndarray


def frames(file: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(file path, intrinsics, world_from_camera) of each frame of a camera file."""
    values = json.loads(file.read_text())
    intrinsics = np.array([[values["fl_x"], 0, values["cx"]], [0, values["fl_y"], values["cy"]], [0, 0, 1.0]])
    for frame in values["frames"]:
        pose = np.array(frame["transform_matrix"]) @ OPENCV_FROM_OPENGL
        yield frame["file_path"], intrinsics, pose


def traced(
    mesh: trimesh.Trimesh, intrinsics: np.ndarray, pose: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Share of each pixel that a mesh covers, times 255."""
    width, height = size
    camera_from_world = np.linalg.inv(pose)
    local = mesh.vertices @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    pixels = (local @ intrinsics.T)[:, :2] / local[:, 2:]
    left, top = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 1, size)
    n = RAYS_A_SIDE
    columns, rows = np.meshgrid(
        left + (np.arange((right - left) * n) + 0.5) / n, top + (np.arange((bottom - top) * n) + 0.5) / n
    )
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1).reshape(-1, 3) @ np.linalg.inv(intrinsics).T
    directions = rays @ pose[:3, :3].T
    starts = np.broadcast_to(pose[:3, 3], directions.shape).copy()
    hit = mesh.ray.intersects_any(starts, directions).reshape(columns.shape).astype(np.float32)
    mask = np.zeros((height, width), np.uint8)
    share = cv2.resize(255 * hit, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    mask[top:bottom, left:right] = np.round(share)
    return mask


def phone_shots(folder: Path) -> Iterator[Shot]:
    mesh = trimesh.load(folder / "gt_mesh.glb", force="mesh")
    for path, intrinsics, pose in frames(folder / "gt_cameras.json"):
        image = cv2.imread(str(folder / path))[..., ::-1]
        truth = traced(mesh, intrinsics, pose, (image.shape[1], image.shape[0]))
        yield Shot(Path(path).name, image, truth, intrinsics, pose)


def background(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A picture like a room out of focus: a floor and a wall with noise of all sizes, blurred shapes."""
    width, height = size
    picture = np.zeros((height, width, 3), np.float32)
    horizon = int(height * rng.uniform(0.3, 0.7))
    picture[:horizon], picture[horizon:] = rng.random(3), rng.random(3)
    for _ in range(25):
        centre = tuple(int(v) for v in rng.uniform(0, 1, 2) * size)
        half = tuple(int(v) for v in rng.uniform(0.02, 0.15, 2) * size)
        colour = tuple(float(v) for v in rng.random(3))
        if rng.random() < 0.5:
            cv2.ellipse(picture, centre, half, float(rng.uniform(0, 180)), 0, 360, colour, -1)
        else:
            low, high = np.subtract(centre, half), np.add(centre, half)
            cv2.rectangle(picture, low.tolist(), high.tolist(), colour, -1)
    picture = cv2.GaussianBlur(picture, (0, 0), width / rng.uniform(60, 300))
    for cells in (4, 8, 16, 32, 64, 128, 256):
        noise = rng.random((cells, cells, 3), np.float32) - 0.5
        picture += 0.15 * cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(255 * np.clip(picture, 0, 1), np.uint8)


def composed_shots(folder: Path, enlarge: int) -> Iterator[Shot]:
    for index, (path, intrinsics, pose) in enumerate(frames(folder / "transforms_train.json")):
        file = folder / path
        file = file if file.suffix else file.with_suffix(".png")
        cut = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, 3]].astype(np.float32)
        cut[..., :3] *= cut[..., 3:] / 255
        size = (cut.shape[1] * enlarge, cut.shape[0] * enlarge)
        cut = np.clip(cv2.resize(cut, size, interpolation=cv2.INTER_CUBIC), 0, 255)
        behind = background(size, np.random.default_rng(index))
        image = cut[..., :3] + behind * (1 - cut[..., 3:] / 255)
        scaled = np.diag([enlarge, enlarge, 1.0]) @ intrinsics
        truth = np.round(cut[..., 3]).astype(np.uint8)
        yield Shot(file.name, np.round(np.clip(image, 0, 255)).astype(np.uint8), truth, scaled, pose)


def solved(shots: list[Shot], folder: Path, kind: str) -> SolvedCameras | None:
    if kind == "none":
        return None
    rng = np.random.default_rng(0)
    points = np.zeros((0, 3))
    if kind == "points":
        surface = trimesh.load(folder / "gt_visible_points.ply").vertices
        on_object = surface[rng.integers(0, len(surface), 400)] + rng.normal(0, 0.005, (400, 3))
        table = np.column_stack([rng.uniform(-2, 2, (5000, 2)), rng.normal(surface[:, 2].min(), 0.004, 5000)])
        points = np.concatenate([on_object, rng.uniform(-6, 6, (2000, 3))])
        points = np.concatenate([points, table]) if folder.name.startswith("phone") else points
    lenses = {
        shot.name: Lens(
            (shot.intrinsics[0, 0], shot.intrinsics[1, 1]),
            centre_px=(shot.intrinsics[0, 2], shot.intrinsics[1, 2]),
            size=(shot.image_srgb.shape[1], shot.image_srgb.shape[0]),
        )
        for shot in shots
    }
    return SolvedCameras(
        lenses,
        {shot.name: shot.world_from_camera for shot in shots},
        points,
        np.zeros((len(points), 3), np.uint8),
        np.zeros((0, 2), np.int32),
        tuple(lenses),
        grade="good",
    )


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    a, b = mask >= 128, truth >= 128
    return float((a & b).sum() / max((a | b).sum(), 1))


def scored(shots: list[Shot], masks: MaskSet) -> dict[str, object]:
    values = {}
    for shot in shots:
        path = masks.paths.get(shot.name)
        values[shot.name] = 0.0 if path is None else iou(cv2.imread(str(path), 0), shot.truth)
    found = np.array(list(values.values()))
    worst = min(values, key=lambda name: values[name])
    replaced = sum(source == "hull" for source in masks.sources.values())
    return {
        "photos": len(shots),
        "iou_mean": round(float(found.mean()), 4),
        "iou_min": round(float(found.min()), 4),
        "worst": worst,
        "share_below_0.9": round(float((found < 0.9).mean()), 3),
        "replaced": replaced,
        "without": len(shots) - len(masks.paths),
    }


def run(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    is_photo = (folder / "gt_cameras.json").is_file()
    shots = list(phone_shots(folder) if is_photo else composed_shots(folder, options.enlarge))
    with tempfile.TemporaryDirectory() as place:
        work, photos = Path(place), []
        for index, shot in enumerate(shots):
            path = work / f"{index:04d}.png"
            cv2.imwrite(str(path), shot.image_srgb[..., ::-1])
            photos.append(PlainPhoto(shot.name, path, (shot.image_srgb.shape[1], shot.image_srgb.shape[0])))
        photo_set = PhotoSet(tuple(photos), is_ordered=True)
        model = load_segmenter(options.model, threads=options.threads)
        cameras = solved(shots, folder, options.cameras)
        start, cpu_start = time.perf_counter(), time.process_time()
        masks = cut_out(photo_set, cameras, work, model=model)
        wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        if options.pictures is not None:
            write_overview(photo_set, masks, options.pictures / f"{folder.name}_{options.cameras}.png")
        row = {"scene": folder.name, "cameras": options.cameras, "edge_px": max(photos[0].size)}
        row |= scored(shots, masks)
        row |= {
            "seconds_per_photo": round(wall_s / len(shots), 2),
            "cpu_s_per_photo": round(cpu_s / len(shots), 2),
        }
        return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--scenes", nargs="+", default=SCENES)
    parser.add_argument("--cameras", choices=("points", "bare", "none"), default="points")
    parser.add_argument("--enlarge", type=int, default=1)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pictures", type=Path, help="Folder for overview pictures.")
    options = parser.parse_args()
    for scene in options.scenes:
        print(json.dumps(run(options.data / "synthetic" / scene, options)), flush=True)


if __name__ == "__main__":
    main()
