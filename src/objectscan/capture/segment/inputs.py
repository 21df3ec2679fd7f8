"""From a folder of photos, with or without cameras, to what `cut_out` wants, so that the step runs alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from objectscan.capture.formats.detect import has_cameras
from objectscan.capture.formats.posed import Lens
from objectscan.capture.gather import gather
from objectscan.capture.ingest import ingest
from objectscan.capture.limits import ImageLimits
from objectscan.capture.photoset import PhotoSet, PlainPhoto, SolvedCameras
from objectscan.capture.segment.mask_set import write_mask
from objectscan.errors import BadWorkspace
from objectscan.types import Capture, ProgressFn, ignore_progress

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
        report: Receives progress of the stage `gather`, or `capture` if there are cameras.

    Raises:
        InputError: Too few photos can be used, or the camera file can't.
        BadWorkspace: `work` can't be written.
    """
    if has_cameras(path):
        return _of_capture(ingest(path, limits, report, require_masks=False), work)
    return gather(path, work, limits, report), None


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
