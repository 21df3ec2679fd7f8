"""The whole way from plain photos to masks: where to look, two looks, votes of all photos, edges, trust."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from objectscan.capture.masks import refuse_useless
from objectscan.capture.notes import merge_findings, photo_finding
from objectscan.capture.photoset import PhotoSet, PlainPhoto, SolvedCameras
from objectscan.capture.segment.boxes import FourShares, box_of_mask, box_of_points, stated_box
from objectscan.capture.segment.consensus import Consensus, consensus
from objectscan.capture.segment.hull import SmallMask, reduced_mask
from objectscan.capture.segment.looks import (
    Look,
    first_look,
    is_usual,
    look_at_box,
    merged,
    squared,
    usual_box,
)
from objectscan.capture.segment.mask_set import MaskSet, Source, read_picture, write_mask
from objectscan.capture.segment.model import Segmenter
from objectscan.capture.segment.refine import edges_followed, tidied
from objectscan.capture.segment.scene import Scene, scene_of
from objectscan.capture.segment.trust import Trust, certainty_of, overlap, share_of_points, trust
from objectscan.errors import MasksNotFound
from objectscan.types import Finding, Progress, ProgressFn, ignore_progress

STAGE = "mask"
_FIRST_MARGIN = 1.35
_SECOND_MARGIN = 1.2
_HARD_CASE = 0.8
"""A first look whose IoU with the hull is below this is taken again, at the hull's box."""
_MOST_FAILED = 0.4
_HULL_CONFIDENCE = 0.5

Mask = UInt8[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one photo."""

    name: str
    path: Path | None
    """The mask file; None if there is no usable mask."""
    source: Source
    confidence: float
    problem: str | None = None
    """What was wrong with the network's mask, in words that follow the photo's name."""


def cut_out(
    photos: PhotoSet,
    solved: SolvedCameras | None,
    work: Path,
    *,
    model: Segmenter,
    box: FourShares | None = None,
    no_mask: bool = False,
    report: ProgressFn = ignore_progress,
) -> MaskSet:
    """Find the object in each photo. The user's own masks are taken as they are; a network makes the others.

    With cameras, photos without one are left out, and all masks must agree on one volume: each is held to
    what the others show, and one that contradicts them is replaced by their outline. Without cameras each
    photo is on its own. Costs two runs of the network for each photo,
    three without sparse points, 0.4 s each.

    Args:
        photos: From the gathering step.
        solved: Cameras and sparse points in the same photos' pixels, or None.
        work: The job's work folder; masks are written into `masks` in it.
        model: The network.
        box: Where the object is in every photo, (left, top, right, bottom) as shares of the photo.
        no_mask: Take only the user's own masks, make none.
        report: Told each photo's progress.

    Raises:
        BadMasks: A mask of the user is empty or full.
        MasksNotFound: More than 40 % of the photos got no usable mask.
        BadWorkspace: `work` can't be written.
        InputError: `box` is no box.
    """
    scene, folder = scene_of(photos, solved), work / "masks"
    known = [photo for photo in photos.photos if scene is None or photo.name in scene.cameras]
    own = {photo.name: photo for photo in known if photo.mask_path is not None}
    wanted = [] if no_mask else [photo for photo in known if photo.name not in own]
    results = [_kept(photo, folder) for photo in own.values()]
    given = {photo.name: reduced_mask(_own_mask(photo)) for photo in own.values()}

    looks: dict[str, list[Look]] = {}
    for photo in _told(wanted, report, 0.0, 0.45):
        looks[photo.name] = [_first_look(photo, scene, model, box)]
    found = _compared(wanted, looks, given, scene)
    usual = usual_box([(looks[photo.name][0], photo.size) for photo in wanted])
    for photo in _told(wanted, report, 0.45, 0.9):
        first = looks[photo.name][0]
        looks[photo.name] = _second_look(photo, first, _outline(photo, first, found, usual), model)
    found = _compared(wanted, looks, given, scene)
    for photo in _told(wanted, report, 0.9, 1.0):
        results.append(_finished(photo, looks[photo.name], _Judges(found, scene, model.side_px), folder))

    _refuse_too_many([result for result in results if result.problem], len(wanted))
    findings = _findings(results, is_compared=found is not None, without=len(known) - len(results))
    return MaskSet(
        {result.name: result.path for result in results if result.path is not None},
        {result.name: result.confidence for result in results},
        {result.name: result.source for result in results if result.path is not None},
        None if found is None else found.bounds,
        findings,
    )


@dataclass(frozen=True, slots=True)
class _Judges:
    """What a finished mask is compared with."""

    found: Consensus | None
    scene: Scene | None
    map_px: int
    """Side of the network's map: edges finer than its pixels come from the photo."""


def _told(photos: Sequence[PlainPhoto], report: ProgressFn, begin: float, end: float) -> Iterator[PlainPhoto]:
    """The photos, each reported before it is worked on."""
    for index, photo in enumerate(photos):
        report(Progress(STAGE, begin + (end - begin) * index / len(photos), photo.name))
        yield photo
    report(Progress(STAGE, end))


def _own_mask(photo: PlainPhoto) -> Mask:
    assert photo.mask_path is not None
    mask = read_picture(photo.mask_path, photo, gray=True)
    refuse_useless(mask, photo.name, "mask")
    return mask


def _kept(photo: PlainPhoto, folder: Path) -> _Result:
    return _Result(photo.name, write_mask(_own_mask(photo), photo, folder), "user", 1.0)


def _first_look(photo: PlainPhoto, scene: Scene | None, model: Segmenter, stated: FourShares | None) -> Look:
    """At the user's box, at the object points' box, or at what stands out in the whole photo."""
    box = None
    if stated is not None:
        return look_at_box(read_picture(photo.path, photo), stated_box(stated, photo.size), model)
    if scene is not None and len(scene.points):
        box = box_of_points(scene.points, scene.cameras[photo.name], _FIRST_MARGIN)
    return first_look(read_picture(photo.path, photo), box, model)


def _outline(photo: PlainPhoto, first: Look, found: Consensus | None, usual: FourShares | None) -> Mask:
    """Where the object is by the best evidence there is: the hull, the usual place, the first look."""
    if found is not None:
        return found.outline(photo.name)
    mask = merged([first], photo.size)
    if usual is None or is_usual(mask, usual):
        return mask
    expected = np.zeros_like(mask)
    expected[stated_box(usual, photo.size).rows_columns] = 255
    return expected


def _second_look(photo: PlainPhoto, first: Look, outline: Mask, model: Segmenter) -> list[Look]:
    """A mirrored look at the square round the outline; the first again if it contradicts the outline."""
    box = box_of_mask(outline, _SECOND_MARGIN)
    if box is None:
        return [first]
    image = read_picture(photo.path, photo)
    if overlap(merged([first], photo.size), outline) < _HARD_CASE:
        first = look_at_box(image, box_of_mask(outline, _FIRST_MARGIN) or box, model)
    return [first, look_at_box(image, squared(box, photo.size), model, mirrored=True)]


def _compared(
    photos: Sequence[PlainPhoto],
    looks: Mapping[str, list[Look]],
    given: Mapping[str, SmallMask],
    scene: Scene | None,
) -> Consensus | None:
    """What all masks agree on; None without cameras or if they share no volume."""
    if scene is None or not photos:
        return None
    made = {photo.name: reduced_mask(merged(looks[photo.name], photo.size)) for photo in photos}
    return consensus({**given, **made}, scene)


def _finished(photo: PlainPhoto, looks: Sequence[Look], judges: _Judges, folder: Path) -> _Result:
    raw = merged(looks, photo.size)
    mask = raw if judges.found is None else judges.found.held(raw, photo.name)
    box = box_of_mask(mask, 1.1)
    if box is not None:
        radius_px = round(max(looks[-1].box.size) / judges.map_px)
        mask = tidied(edges_followed(mask, read_picture(photo.path, photo), box, max(1, radius_px)))
    judged = _judged(photo, raw, mask, judges)
    if judged.problem is None:
        return _Result(photo.name, write_mask(mask, photo, folder), "network", judged.confidence)
    outline = None if judges.found is None else tidied(judges.found.outline(photo.name))
    if outline is None or box_of_mask(outline, 1.0) is None:
        return _Result(photo.name, None, "network", 0.0, judged.problem)
    return _Result(photo.name, write_mask(outline, photo, folder), "hull", _HULL_CONFIDENCE, judged.problem)


def _judged(photo: PlainPhoto, raw: Mask, mask: Mask, judges: _Judges) -> Trust:
    """Agreement is that of the network's own mask: once held to the hull, every mask agrees with it."""
    found, scene = judges.found, judges.scene
    inside = None
    if scene is not None and len(scene.points):
        inside = share_of_points(mask, scene.points, scene.cameras[photo.name])
    agreement = None if found is None else overlap(raw, found.outline(photo.name))
    return trust(mask, certainty=certainty_of(raw), points_inside=inside, agreement=agreement)


def _refuse_too_many(failed: Sequence[_Result], wanted: int) -> None:
    if len(failed) <= _MOST_FAILED * wanted:
        return
    first, names = failed[0], [result.name for result in failed]
    raise MasksNotFound(
        f"In {len(failed)} of {wanted} photos the object can't be told from its background: {first.name} "
        f"{first.problem}; also {', '.join(names[1:6]) or 'no other'}{'...' if len(names) > 6 else ''}.",
        hint="Photograph the object alone, whole and large, before a plain surface of another colour; "
        "or give masks, or a box about it (--box), or go on without masks (--no-mask).",
        details={"photos": names, "reasons": {result.name: result.problem for result in failed}},
    )


def _findings(results: Sequence[_Result], *, is_compared: bool, without: int) -> tuple[Finding, ...]:
    found = []
    for result in results:
        if result.problem is not None and result.path is None:
            text = f"{result.problem}; it goes on without a mask."
            found.append(photo_finding("mask_failed", "warning", result.name, text))
        elif result.problem is not None:
            text = f"{result.problem}; the outline that the other photos agree on takes its place."
            found.append(photo_finding("mask_replaced", "warning", result.name, text))
    made = [result for result in results if result.source != "user"]
    if made and not is_compared:
        words = (
            f"The masks of {len(made)} photos could not be compared with each other: there are no cameras."
        )
        found.append(Finding("masks_unchecked", "info", words))
    if without:
        words = f"No masks were made for {without} photos, as asked: what surrounds the object will stay."
        found.append(Finding("masks_skipped", "warning", words))
    return merge_findings(found)
