"""The operations of one solve in order, each in its own child process: features, matches, models."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from objectscan.capture.solve.child import ChildRun, Operation, run_operation
from objectscan.capture.solve.evidence import PairMatches, SparseModel, load_matches, load_model, load_models
from objectscan.capture.solve.groups import CameraGroup
from objectscan.capture.solve.options import SolveLimits
from objectscan.capture.solve.pairing import in_blocks, pairs_to_match
from objectscan.capture.solve.pictures import Picture
from objectscan.types import Progress, ProgressFn

STAGE = "cameras"
TRIALS = 1000
"""Of RANSAC for a pair. 10 000, COLMAP's default, doubles the time of matching for the same cameras."""


@dataclass(frozen=True, slots=True)
class SolveJob:
    """What all operations of one solve share."""

    folder: Path
    pictures: tuple[Picture, ...]
    groups: tuple[CameraGroup, ...]
    is_ordered: bool
    limits: SolveLimits
    seed: int
    deadline: float
    """By `time.monotonic`."""
    report: ProgressFn
    is_turntable: bool = False
    has_masks: bool = False

    @property
    def names(self) -> dict[str, str]:
        """Photo names by picture file name."""
        return {picture.file_name: picture.photo.name for picture in self.pictures}

    @property
    def is_focal_fixed(self) -> bool:
        """A turning object alone can't tell its focal length (it drifted by 12 %): EXIF's is held."""
        return self.is_turntable and all(group.focal_prior_px for group in self.groups)


@dataclass(frozen=True, slots=True)
class Span:
    """The part of the whole progress that an operation fills."""

    begin: float
    end: float


def find_features(job: SolveJob, folder: Path, span: Span, *, is_affine: bool) -> None:
    """Cameras, photos and features into a new database in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    values = {
        "cameras": [_camera(job, group) for group in job.groups],
        "mask_folder": str(job.folder / "masks") if job.has_masks else "",
        "max_edge_px": job.limits.max_edge_px,
        "features": job.limits.features,
        "is_affine": is_affine,
    }
    _run(job, folder, "features", values, span)


def find_matches(job: SolveJob, folder: Path, span: Span) -> PairMatches:
    """Matches that agree with the geometry of their pair."""
    pairs = pairs_to_match(
        len(job.pictures), is_ordered=job.is_ordered, exhaustive_up_to=job.limits.exhaustive_up_to
    )
    files = [picture.file_name for picture in job.pictures]
    blocks = [[(files[one], files[other]) for one, other in block] for block in in_blocks(pairs)]
    values = {"blocks": blocks, "out": "matches.npz", "trials": TRIALS, "without_static": job.is_turntable}
    _run(job, folder, "matches", values, span)
    return load_matches(folder / "matches.npz", job.names)


def verify_again(job: SolveJob, folder: Path, span: Span) -> PairMatches:
    """The same matches without those that stay where they are in the picture, with the job's cameras."""
    values = {
        "cameras": [_camera(job, group) for group in job.groups],
        "out": "matches.npz",
        "trials": TRIALS,
        "without_static": True,
    }
    _run(job, folder, "verification", values, span)
    return load_matches(folder / "matches.npz", job.names)


def find_models(
    job: SolveJob, folder: Path, span: Span, *, out: str = "models", first_pair: Sequence[str] = ()
) -> tuple[SparseModel, ...]:
    """Models from the matches, largest first; starting from `first_pair` (photo names) if it is given."""
    files = {picture.photo.name: picture.file_name for picture in job.pictures}
    shutil.rmtree(folder / out, ignore_errors=True)
    values = {
        "min_model_size": job.limits.min_model_size,
        "images": list(files.values()),
        "max_runtime_s": max(1.0, job.deadline - time.monotonic()),
        "is_focal_fixed": job.is_focal_fixed,
        "first_pair": [files[name] for name in first_pair],
        "out": out,
    }
    _run(job, folder, "mapping", values, span)
    models = load_models(folder / out, job.names)
    return tuple(model for model in models if len(model.photos) >= job.limits.min_model_size)


def adjust_without(
    job: SolveJob, folder: Path, span: Span, model: SparseModel, leave_out: Sequence[str]
) -> SparseModel:
    """The model without some photos (by name), the rest adjusted."""
    files = {picture.photo.name: picture.file_name for picture in job.pictures}
    out = f"{model.folder.relative_to(folder)}_adjusted"
    values = {
        "model": str(model.folder.relative_to(folder)),
        "leave_out": [files[name] for name in leave_out],
        "is_focal_fixed": job.is_focal_fixed,
        "out": out,
    }
    _run(job, folder, "adjustment", values, span)
    return load_model(folder / out, job.names)


def for_turntable(job: SolveJob, *, has_masks: bool) -> SolveJob:
    """The same job for an object that turned in front of a still camera."""
    return replace(job, is_turntable=True, has_masks=has_masks)


def _camera(job: SolveJob, group: CameraGroup) -> dict[str, object]:
    """A camera group for the child, in pixels of the pictures."""
    of_group = [picture for picture in job.pictures if picture.photo.name in set(group.photos)]
    width, height = of_group[0].size
    model = "SIMPLE_PINHOLE" if job.is_turntable else "SIMPLE_RADIAL"
    focal = group.first_focal_px / of_group[0].scale[0]
    values = [focal, width / 2, height / 2] + ([] if job.is_turntable else [0.0])
    return {
        "model": model,
        "parameters": ",".join(f"{value:.9g}" for value in values),
        "is_focal_known": group.focal_prior_px is not None,
        "images": [picture.file_name for picture in of_group],
    }


def _run(job: SolveJob, folder: Path, operation: Operation, values: Mapping[str, object], span: Span) -> None:
    def report(fraction: float, message: str) -> None:
        job.report(Progress(STAGE, span.begin + (span.end - span.begin) * fraction, message))

    shared = {
        "seed": job.seed,
        "threads": job.limits.used_threads,
        "image_folder": str(job.folder / "pictures"),
    }
    run = ChildRun(folder, job.deadline, job.limits.memory_bytes, report)
    run_operation(operation, {**shared, **values}, run)
