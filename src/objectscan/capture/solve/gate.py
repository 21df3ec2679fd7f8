"""Judges solved cameras by evidence that did not make them, and says which photos do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from objectscan.capture.solve import thresholds as limit
from objectscan.capture.solve.agreement import Agreement
from objectscan.capture.solve.consistency import pair_shares, photo_consistency
from objectscan.capture.solve.evidence import PairMatches, SparseModel
from objectscan.capture.solve.geometry import off_plane_count, triangulation_angle_rad
from objectscan.types import Finding

Grade = Literal["good", "doubtful", "bad"]
_Single = tuple[Grade, Finding]
GRADES: tuple[Grade, ...] = ("bad", "doubtful", "good")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says about one model."""

    grade: Grade
    measures: Mapping[str, float]
    findings: tuple[Finding, ...]
    misfits: tuple[str, ...] = ()
    """Photos of the model whose strongest matches contradict their cameras."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known about the photos apart from the model."""

    photos: tuple[str, ...]
    focals_px: Mapping[str, float | None]
    """Focal length by photo from EXIF, in pixels of the model."""
    is_turntable: bool = False


def judge(
    matches: PairMatches, model: SparseModel, asked: Asked, *, second: Agreement | None = None
) -> Verdict:
    """Grade a model.

    Args:
        matches: Two-view matches of all photos; most of them are not in the model.
        model: The cameras to judge.
        asked: All photos and their focal lengths.
        second: How far a solution from another start agrees, if there is one.

    Returns:
        The worst of all single verdicts, with a finding for each that is not good.
    """
    shares, fronts = pair_shares(matches, model)
    by_photo = photo_consistency(matches, model, shares)
    measures = _measures(matches, model, asked, by_photo, fronts)
    if second is not None:
        measures["second_start_agreement"] = second.share
    misfits = tuple(name for name, share in by_photo.items() if share < limit.PHOTO_CONSISTENCY)
    single: list[_Single] = [
        *_consistency(measures), *_registered(model, asked), *_shape(measures), *_lens(measures, asked),
        *_points(model, measures), *_agreement(second),
    ]  # fmt: skip
    if misfits:
        single.append(("doubtful", _misfit_finding(misfits)))
    worst: Grade = min((grade for grade, _ in single), key=GRADES.index, default="good")
    return Verdict(worst, measures, tuple(finding for _, finding in single), misfits)


def _measures(
    matches: PairMatches,
    model: SparseModel,
    asked: Asked,
    by_photo: Mapping[str, float],
    fronts: np.ndarray,
) -> dict[str, float]:
    seen = np.bincount(model.observations[:, 1], minlength=len(model.photos))
    counts = np.where(np.isnan(fronts), 0, matches.counts)
    ratios = [
        float(lens[0] / focal)
        for lens, name in zip(model.lenses, model.photos, strict=True)
        if (focal := asked.focals_px[name])
    ]
    lengths = model.track_lengths
    off_plane, flat = off_plane_count(model)
    return {
        "photos_asked": float(len(asked.photos)),
        "photos_registered": float(len(model.photos)),
        "pair_consistency": float(np.mean(list(by_photo.values()))),
        "pair_consistency_worst": min(by_photo.values()),
        "in_front": float(np.nansum(fronts * counts) / max(counts.sum(), 1)),
        "triangulation_angle_deg": float(np.degrees(triangulation_angle_rad(model))),
        "observations_median": float(np.median(seen)),
        "observations_least": float(seen.min()),
        "track_length_mean": float(lengths.mean()) if len(lengths) else 0.0,
        "points": float(len(model.points)),
        "points_off_plane": float(off_plane),
        "plane_share": flat,
        "reprojection_px": float(model.errors_px.mean()) if len(model.points) else 0.0,
        "focal_px": float(np.median(model.lenses[:, 0])),
        "focal_over_prior": float(np.median(ratios)) if ratios else float("nan"),
        "distortion_k1": float(model.lenses[np.abs(model.lenses[:, 3]).argmax(), 3]),
        "thresholds_version": float(limit.VERSION),
    }


def _consistency(measures: Mapping[str, float]) -> list[_Single]:
    share = measures["pair_consistency"]
    found: list[_Single] = []
    if share < limit.GOOD_CONSISTENCY:
        words = (
            f"Only {share:.0%} of what neighbouring photos have in common agrees with the cameras; at least "
            f"{limit.GOOD_CONSISTENCY:.0%} is needed. Print that repeats, glare or too large steps cause it. "
            "Take photos at most 15 degrees apart, with things of different looks around the object."
        )
        if share < limit.LEAST_CONSISTENCY:
            found.append(("bad", Finding("inconsistent_geometry", "error", words)))
        else:
            found.append(("doubtful", Finding("cameras_doubtful", "warning", words)))
    if measures["in_front"] < limit.LEAST_IN_FRONT:
        behind = 1 - measures["in_front"]
        words = f"{behind:.0%} of the matches would lie behind a camera. Take them again, with smaller steps."
        found.append(("bad", Finding("inconsistent_geometry", "error", words)))
    return found


def _registered(model: SparseModel, asked: Asked) -> list[_Single]:
    left_out = tuple(name for name in asked.photos if name not in set(model.photos))
    if not left_out:
        few = len(model.photos) < limit.GOOD_REGISTERED
        words = f"{len(model.photos)} cameras are too few to check each other. Take 24 photos or more."
        return [("doubtful", Finding("few_cameras", "warning", words))] if few else []
    count = f"{len(model.photos)} of {len(asked.photos)} photos"
    names = listed(left_out)
    if len(model.photos) < limit.LEAST_REGISTERED_SHARE * len(asked.photos):
        words = (
            f"Only {count} fit together. Without a place: {names}. Take more photos between them and the "
            "others: at most 15 degrees apart."
        )
        return [("bad", Finding("registration_failed", "error", words, left_out))]
    words = f"The cameras of {count} were found. Left out: {names}."
    found: list[_Single] = [("good", Finding("unregistered_images", "warning", words, left_out))]
    if len(model.photos) < limit.GOOD_REGISTERED:
        words = f"{len(model.photos)} cameras are too few to check each other."
        found.append(("doubtful", Finding("few_cameras", "warning", words)))
    return found


def _shape(measures: Mapping[str, float]) -> list[_Single]:
    angle = measures["triangulation_angle_deg"]
    if angle < limit.LEAST_ANGLE_DEG:
        words = (
            f"The photos were taken from almost one place ({angle:.1f} degrees between views of a point). "
            "Walk around the object instead of turning the camera."
        )
        return [("bad", Finding("no_parallax", "error", words))]
    if measures["plane_share"] > limit.FLAT_SHARE:
        words = (
            f"{measures['plane_share']:.1%} of all points lie in one plane: a picture or a bare table, not "
            "an object. If there is an object, it shows too little texture: put it on a printed mat and "
            "come closer."
        )
        return [("bad", Finding("degenerate_geometry", "error", words))]
    if angle < limit.GOOD_ANGLE_DEG:
        words = (
            f"The photos are close together ({angle:.1f} degrees): depth will be rough. Walk further round."
        )
        return [("doubtful", Finding("little_parallax", "warning", words))]
    return []


def _lens(measures: Mapping[str, float], asked: Asked) -> list[_Single]:
    found: list[_Single] = []
    ratio, k1 = measures["focal_over_prior"], measures["distortion_k1"]
    if np.isfinite(ratio) and abs(ratio - 1) > limit.FOCAL_FROM_PRIOR:
        words = (
            f"The focal length came out at {ratio:.2f} times what the camera wrote into the photos. Were "
            "they cropped? If not, the cameras are not to be trusted."
        )
        found.append(("doubtful", Finding("focal_unlikely", "warning", words)))
    if abs(k1) > limit.LARGEST_K1 and not asked.is_turntable:
        words = f"The lens distortion came out at {k1:.2f}, which no usual lens has."
        found.append(("doubtful", Finding("distortion_unlikely", "warning", words)))
    return found


def _points(model: SparseModel, measures: Mapping[str, float]) -> list[_Single]:
    if (
        measures["observations_least"] >= limit.GOOD_OBSERVATIONS
        and measures["observations_median"] >= limit.GOOD_MEDIAN_OBSERVATIONS
    ):
        return []
    seen = np.bincount(model.observations[:, 1], minlength=len(model.photos))
    weak = tuple(
        name for name, n in zip(model.photos, seen.tolist(), strict=True) if n < limit.GOOD_OBSERVATIONS
    )
    words = (
        f"The cameras rest on few points ({measures['observations_median']:.0f} in the median photo, "
        f"{measures['observations_least']:.0f} in the worst). Give the surroundings more texture, for "
        "instance a newspaper under the object."
    )
    return [("doubtful", Finding("few_points", "warning", words, weak))]


def _agreement(second: Agreement | None) -> list[_Single]:
    if second is None or second.share >= limit.SAME_START_SHARE:
        return []
    words = (
        f"A second solution from another pair of photos puts only {second.share:.0%} of the cameras into the "
        "same places: the photos allow several answers. Take more of them, at most 15 degrees apart."
    )
    return [("bad", Finding("inconsistent_geometry", "error", words, second.disagreeing))]


def _misfit_finding(misfits: Sequence[str]) -> Finding:
    words = f"Their matches contradict the cameras found for {listed(misfits)}. Take them again."
    return Finding("camera_contradicted", "warning", words, tuple(misfits))


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names for a sentence, the last ones counted."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
