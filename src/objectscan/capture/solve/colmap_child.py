"""The only place where pycolmap runs: a program of its own, files in and files out.

    python -P colmap_child.py TASK.json

pycolmap may abort the process or hang it for ever, so nothing else lives here and nothing of this package is
imported. Progress goes to stdout, one JSON object a line; COLMAP's own words go to stderr. The parent keeps
stdin open: when it ends, so does this program. The operations are the functions named in `OPERATIONS`.
"""

import zlib  # noqa: F401, I001 - before all else: imported after pycolmap, zlib crashes or hangs

import json
import os
import resource
import sys
import threading
import traceback
from pathlib import Path

import numpy as np


def tell(fraction: float, message: str) -> None:
    """One line of progress for the parent."""
    sys.stdout.write(json.dumps({"fraction": round(fraction, 4), "message": message}) + "\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    """Leave when stdin ends: the parent was killed."""
    while os.read(0, 1024):
        pass
    os._exit(3)


def features(task: dict, folder: Path) -> None:
    """Make the database, write cameras and photos in a fixed order, find features photo by photo."""
    database = folder / "database.db"
    database.unlink(missing_ok=True)
    pycolmap.Database.open(str(database)).close()
    for group in task["cameras"]:
        reader = pycolmap.ImageReaderOptions(
            camera_model=group["model"], camera_params=group["parameters"], mask_path=task["mask_folder"]
        )
        pycolmap.import_images(
            database, task["image_folder"], pycolmap.CameraMode.SINGLE, group["images"], reader
        )
    write_cameras(database, task["cameras"])
    options = pycolmap.FeatureExtractionOptions(max_image_size=task["max_edge_px"], use_gpu=False)
    options.num_threads = task["threads"]
    options.sift.max_num_features = task["features"]
    options.sift.estimate_affine_shape = options.sift.domain_size_pooling = task["is_affine"]
    images = [name for group in task["cameras"] for name in group["images"]]
    reader = pycolmap.ImageReaderOptions(mask_path=task["mask_folder"])
    step = max(1, task["threads"])
    for start in range(0, len(images), step):
        tell(start / len(images), f"finding features, photo {start + 1} of {len(images)}")
        pycolmap.extract_features(
            database, task["image_folder"], images[start : start + step],
            reader_options=reader, extraction_options=options,
        )  # fmt: skip


def matches(task: dict, folder: Path) -> None:
    """Match the given pairs in blocks, check their two-view geometry, and write all of it as arrays."""
    database, blocks = folder / "database.db", task["blocks"]
    matching = pycolmap.FeatureMatchingOptions(use_gpu=False, num_threads=task["threads"])
    block_file = folder / "pairs.txt"
    done, total = 0, sum(map(len, blocks))
    for block in blocks:
        tell(done / total, f"matching, {done} of {total} pairs")
        block_file.write_text("".join(f"{first} {second}\n" for first, second in block), "utf-8")
        pycolmap.match_image_pairs(
            database, matching, pycolmap.ImportedPairingOptions(match_list_path=str(block_file)),
            two_view_options(task),
        )  # fmt: skip
        done += len(block)
    write_matches(database, folder / task["out"])


def write_cameras(database_file: Path, groups: list) -> None:
    """Model, parameters and whether the focal length is known, for the cameras of all groups."""
    with pycolmap.Database.open(str(database_file)) as database:
        for group in groups:
            camera = database.read_camera(image_of(database, group["images"][0]).camera_id)
            camera.model = pycolmap.CameraModelId.__members__[group["model"]]
            camera.params = [float(value) for value in group["parameters"].split(",")]
            # Without this COLMAP would trust the guess as if EXIF had stated it.
            camera.has_prior_focal_length = group["is_focal_known"]
            database.update_camera(camera)


def image_of(database, name: str):
    """A photo's row, by its file name."""
    image = database.read_image_with_name(name)
    if image is None:
        raise KeyError(f"there is no photo {name} in the database")
    return image


def verification(task: dict, folder: Path) -> None:
    """Check the two-view geometry of the matches found before once more, with other options."""
    with pycolmap.Database.open(str(folder / "database.db")) as database:
        database.clear_two_view_geometries()
    write_cameras(folder / "database.db", task["cameras"])
    pycolmap.geometric_verification(
        folder / "database.db", pycolmap.GeometricVerifierOptions(num_threads=task["threads"]),
        two_view_geometry_options=two_view_options(task),
    )  # fmt: skip
    write_matches(folder / "database.db", folder / task["out"])


def two_view_options(task: dict):
    """RANSAC with a fixed seed for each pair, so that threads can't change the result."""
    options = pycolmap.TwoViewGeometryOptions(filter_stationary_matches=task["without_static"])
    options.ransac.max_num_trials = task["trials"]
    options.ransac.random_seed = task["seed"]
    return options


def write_matches(database_file: Path, out: Path) -> None:
    """Inlier matches of all verified pairs, in pixels of the photos, and what COLMAP took each pair for."""
    with pycolmap.Database.open(str(database_file)) as database:
        images = sorted(database.read_all_images(), key=lambda image: image.image_id)
        number = {image.image_id: index for index, image in enumerate(images)}
        points = {image.image_id: database.read_keypoints(image.image_id)[:, :2] for image in images}
        pairs, kinds, starts, first, second = [], [], [0], [], []
        identifiers, geometries = database.read_two_view_geometries()
        for identifier, geometry in zip(identifiers, geometries, strict=True):
            inliers = geometry.inlier_matches
            if len(inliers) == 0:
                continue
            one, other = pycolmap.pair_id_to_image_pair(identifier)
            pairs.append((number[one], number[other]))
            kinds.append(int(geometry.config))
            first.append(points[one][inliers[:, 0]])
            second.append(points[other][inliers[:, 1]])
            starts.append(starts[-1] + len(inliers))
    none = np.zeros((0, 2), np.float32)
    np.savez(
        out,
        images=np.array([image.name for image in images]),
        features=np.array([len(points[image.image_id]) for image in images], np.int32),
        pairs=np.array(pairs, np.int32).reshape(-1, 2),
        kinds=np.array(kinds, np.int32),
        starts=np.array(starts, np.int64),
        first=np.concatenate([*first, none]).astype(np.float32),
        second=np.concatenate([*second, none]).astype(np.float32),
    )


def mapping(task: dict, folder: Path) -> None:
    """Incremental mapping of the matches; every model becomes a folder and an array file."""
    options = pycolmap.IncrementalPipelineOptions(
        min_model_size=task["min_model_size"], num_threads=task["threads"], random_seed=task["seed"],
        image_names=task["images"], max_runtime_seconds=int(task["max_runtime_s"]),
        ba_refine_focal_length=not task["is_focal_fixed"], ba_refine_extra_params=not task["is_focal_fixed"],
    )  # fmt: skip
    options.mapper.abs_pose_refine_focal_length = not task["is_focal_fixed"]
    options.mapper.abs_pose_refine_extra_params = not task["is_focal_fixed"]
    options.mapper.random_seed = options.triangulation.random_seed = task["seed"]
    if task["first_pair"]:
        with pycolmap.Database.open(str(folder / "database.db")) as database:
            one, other = (image_of(database, name).image_id for name in task["first_pair"])
        options.init_image_id1, options.init_image_id2 = one, other
    out = folder / task["out"]
    out.mkdir(parents=True, exist_ok=True)
    count = {"registered": 2}
    total = len(task["images"])

    def on_pair() -> None:
        count["registered"] = 2
        tell(2 / total, f"placing cameras, 2 of {total}")

    def on_image() -> None:
        count["registered"] += 1
        placed = min(count["registered"], total)
        tell(placed / total, f"placing cameras, {placed} of {total}")

    models = pycolmap.incremental_mapping(
        folder / "database.db", task["image_folder"], out, options,
        initial_image_pair_callback=on_pair, next_image_callback=on_image,
    )  # fmt: skip
    order = sorted(models, key=lambda key: (-models[key].num_reg_images(), key))
    for index, key in enumerate(order):
        write_model(models[key], out / f"model_{index}")


def adjustment(task: dict, folder: Path) -> None:
    """Take photos out of a model and adjust the rest."""
    model = pycolmap.Reconstruction(str(folder / task["model"]))
    leave = set(task["leave_out"])
    for image in [image for image in model.images.values() if image.name in leave and image.has_pose]:
        model.deregister_frame(image.frame_id)
    options = pycolmap.BundleAdjustmentOptions(
        refine_focal_length=not task["is_focal_fixed"], refine_extra_params=not task["is_focal_fixed"],
        print_summary=False,
    )  # fmt: skip
    options.ceres.solver_options.num_threads = task["threads"]
    pycolmap.bundle_adjustment(model, options)
    model.update_point_3d_errors()
    write_model(model, folder / task["out"])


def write_model(model, folder: Path) -> None:
    """A model as COLMAP's binary files and as `model.npz`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.write_binary(str(folder))
    images = sorted((model.images[number] for number in model.reg_image_ids()), key=lambda image: image.name)
    index = {image.image_id: number for number, image in enumerate(images)}
    points = [model.points3D[key] for key in sorted(model.points3D)]
    seen, where = [], []
    for number, point in enumerate(points):
        for element in point.track.elements:
            seen.append((number, index[element.image_id]))
            where.append(model.images[element.image_id].points2D[element.point2D_idx].xy)
    lenses = [
        (camera.focal_length_x, camera.principal_point_x, camera.principal_point_y, *camera.params[3:4])
        for camera in (model.cameras[image.camera_id] for image in images)
    ]
    np.savez(
        folder / "model.npz",
        images=np.array([image.name for image in images]),
        camera_from_world=np.array([image.cam_from_world().matrix() for image in images]).reshape(-1, 3, 4),
        lenses=np.array([(*lens, 0.0)[:4] for lens in lenses], np.float64).reshape(-1, 4),
        points=np.array([point.xyz for point in points], np.float64).reshape(-1, 3),
        colors=np.array([point.color for point in points], np.uint8).reshape(-1, 3),
        errors=np.array([point.error for point in points], np.float64),
        observations=np.array(seen, np.int32).reshape(-1, 2),
        places=np.array(where, np.float64).reshape(-1, 2),
    )


OPERATIONS = {
    "features": features,
    "matches": matches,
    "verification": verification,
    "mapping": mapping,
    "adjustment": adjustment,
}


if __name__ == "__main__":
    task_file = Path(sys.argv[1])
    work_task = json.loads(task_file.read_text("utf-8"))
    if work_task["memory_bytes"]:
        resource.setrlimit(resource.RLIMIT_AS, (work_task["memory_bytes"], work_task["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=end_with_parent, daemon=True).start()

    import pycolmap

    pycolmap.logging.minloglevel = 1
    pycolmap.set_random_seed(work_task["seed"])
    try:
        OPERATIONS[work_task["operation"]](work_task, task_file.parent)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    # Without the interpreter's clean-up: a thread waits on stdin, which makes that abort.
    os._exit(0)
