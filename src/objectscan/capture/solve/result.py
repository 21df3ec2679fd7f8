"""From the best attempt to `SolvedCameras`: units of the photos, gravity-up frame, findings in order."""

from __future__ import annotations

import numpy as np

from objectscan.capture.photoset import SolvedCameras
from objectscan.capture.solve.attempt import Attempt
from objectscan.capture.solve.frame import world_frame
from objectscan.capture.solve.geometry import world_from_cameras
from objectscan.capture.solve.reasons import refusal, set_findings
from objectscan.types import Finding


def solved_from(attempt: Attempt) -> SolvedCameras:
    """The result of an attempt; without a model one that holds findings only."""
    findings = _findings(attempt)
    if attempt.verdict is None:
        return _empty(attempt, findings)
    model = attempt.models[0]
    frame = world_frame(model)
    pictures = {picture.photo.name: picture for picture in attempt.job.pictures}
    cameras = frame.cameras(world_from_cameras(model))
    scales = np.array([pictures[name].scale for name in model.photos])[model.observations[:, 1]]
    return SolvedCameras(
        lenses={
            name: pictures[name].lens_of_photo(lens)
            for name, lens in zip(model.photos, model.lenses, strict=True)
        },
        world_from_camera=dict(zip(model.photos, cameras, strict=True)),
        points=frame.points(model.points),
        point_colors_srgb=model.colors_srgb,
        observations=model.observations,
        photo_names=model.photos,
        grade=attempt.verdict.grade,
        support_plane=frame.support_plane,
        is_turntable=attempt.job.is_turntable,
        measures={k: v for k, v in attempt.verdict.measures.items() if np.isfinite(v)},
        findings=findings,
        places_px=model.places_px * scales,
        point_errors_px=model.errors_px * pictures[model.photos[0]].scale[0],
    )


def _findings(attempt: Attempt) -> tuple[Finding, ...]:
    """The reason of a refusal first, then the rest, each code once."""
    found = []
    if attempt.verdict is None or attempt.verdict.grade == "bad":
        found.append(refusal(attempt.job, attempt.matches, attempt.models, attempt.verdict))
    if attempt.verdict is not None:
        found += attempt.verdict.findings
    found += set_findings(attempt.job, attempt.models)
    first: dict[str, Finding] = {}
    for finding in found:
        first.setdefault(finding.code, finding)
    return tuple(first.values())


def _empty(attempt: Attempt, findings: tuple[Finding, ...]) -> SolvedCameras:
    measures = {
        "photos_asked": float(len(attempt.matches.photos)),
        "photos_registered": 0.0,
        "features_median": float(np.median(attempt.matches.features)),
    }
    return SolvedCameras(
        {}, {}, np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros((0, 2), np.int32), (), "bad",
        is_turntable=attempt.job.is_turntable, measures=measures, findings=findings,
    )  # fmt: skip
