"""From a folder of photos, with or without cameras, to what `cut_out` wants, so that the step runs alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from objectscan.capture.formats.detect import has_cameras
from objectscan.capture.formats.paths import SUFFIXES
from objectscan.capture.formats.posed import Lens
from objectscan.capture.images import decode_photo
from objectscan.capture.ingest import ingest
from objectscan.capture.limits import ImageLimits
from objectscan.capture.masks import find_mask_file, mask_of
from objectscan.capture.notes import merge_findings, photo_finding
from objectscan.capture.photoset import PhotoSet, PlainPhoto, SolvedCameras
from objectscan.capture.segment.mask_set import write_mask
from objectscan.capture.undistort import reduced
from objectscan.errors import BadMasks, BadWorkspace, InputError, ObjectscanError, TooFewViews
from objectscan.types import Capture, Finding, Progress, ProgressFn, ignore_progress

STAGE = "photos"
_JPEG_QUALITY = 95

Image = UInt8[np.ndarray, "H W 3"]
Mask = UInt8[np.ndarray, "H W"]


def inputs_from(
    path: Path, work: Path, limits: ImageLimits, report: ProgressFn = ignore_progress
) -> tuple[PhotoSet, SolvedCameras | None]:
    """Photos of a folder, normalised into `work/photos`, and their cameras if the folder has a camera file.

    Args:
        path: A capture (transforms.json or COLMAP), a transforms.json, or a folder of pictures.
        work: The job's work folder.
        limits: On files, pixels and views.
        report: Told each photo.

    Raises:
        InputError: No photo can be used, or the camera file can't.
        BadWorkspace: `work` can't be written.
    """
    if has_cameras(path):
        return _of_capture(ingest(path, limits, report, require_masks=False), work)
    return _of_pictures(path, work, limits, report), None


def _of_capture(capture: Capture, work: Path) -> tuple[PhotoSet, SolvedCameras]:
    photos, lenses = [], {}
    for index, view in enumerate(capture.views):
        (focal_x, _, column), (_, focal_y, row), _ = view.camera.intrinsics.tolist()
        lenses[view.name] = Lens((focal_x, focal_y), centre_px=(column, row), size=view.camera.size)
        photos.append(_stored(view.name, view.image_srgb, view.mask, index, work))
    solved = SolvedCameras(
        lenses,
        {view.name: view.camera.world_from_camera for view in capture.views},
        points=np.zeros((0, 3)),
        point_colors_srgb=np.zeros((0, 3), np.uint8),
        observations=np.zeros((0, 2), np.int32),
        photo_names=tuple(view.name for view in capture.views),
        grade="good",
    )
    return PhotoSet(tuple(photos), is_ordered=False, findings=capture.findings), solved


def _of_pictures(folder: Path, work: Path, limits: ImageLimits, report: ProgressFn) -> PhotoSet:
    files = _pictures(folder, limits)
    photos: list[PlainPhoto] = []
    findings: list[Finding] = []
    problems: list[ObjectscanError] = []
    for index, file in enumerate(files):
        report(Progress(STAGE, index / len(files), file.name))
        try:
            photo = decode_photo(file, limits)
            found = mask_of(photo, find_mask_file(file), limits)
        except (InputError, BadMasks) as problem:
            problems.append(problem)
            findings.append(
                Finding("photo_dropped", "warning", f"{problem.message} It was left out.", (file.name,))
            )
            continue
        image, mask, _ = reduced(
            photo.image_srgb, found.mask, np.eye(3), max_edge_px=limits.max_edge_px, cut_out=found.is_alpha
        )
        photos.append(_stored(file.name, image, mask, index, work))
        findings += [*photo.findings, *found.findings]
        if image.shape != photo.image_srgb.shape:
            text = f"was reduced to {image.shape[1]} x {image.shape[0]} pixels."
            findings.append(photo_finding("photos_reduced", "info", file.name, text))
    if not photos:
        raise problems[0]
    return PhotoSet(tuple(photos), is_ordered=True, findings=merge_findings(findings))


def _pictures(folder: Path, limits: ImageLimits) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", hint="Give a folder of photos.")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files and (folder / "images").is_dir():
        return _pictures(folder / "images", limits)
    if not files:
        raise TooFewViews(f"{folder} holds no photos.", hint="Give a folder of photos.")
    if len(files) > limits.max_views:
        raise InputError(
            f"{folder} holds {len(files)} photos; the limit is {limits.max_views}.",
            hint="Leave some out, or raise the setting max_views.",
        )
    return files


def _stored(name: str, image_srgb: Image, mask: Mask | None, index: int, work: Path) -> PlainPhoto:
    """The photo, and its user's mask, as numbered files of the work folder."""
    path = work / "photos" / f"{index:04d}.jpg"
    ok, data = cv2.imencode(".jpg", image_srgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    try:
        if not ok:
            raise OSError("the picture could not be encoded")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as problem:
        raise BadWorkspace(
            f"{path} can't be written: {problem}.", hint="Free some space or choose another folder."
        ) from problem
    photo = PlainPhoto(name, path, (image_srgb.shape[1], image_srgb.shape[0]))
    if mask is None:
        return photo
    return PlainPhoto(name, path, photo.size, mask_path=write_mask(mask, photo, work / "given_masks"))
