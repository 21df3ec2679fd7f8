"""Which photos are kept for the evidence: the test photos that the capture brings, or some of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from objectscan.capture.holdout import split_views
from objectscan.capture.ingest import ingest_split
from objectscan.capture.limits import DEFAULT_LIMITS, ImageLimits
from objectscan.errors import InputError
from objectscan.types import Capture, Finding

MOST_TEST_VIEWS = 12
"""Comparing one takes about 0.3 s; NeRF-synthetic has 200."""
_FEWEST_TEST_VIEWS = 2


def hold_out(
    path: Path, capture: Capture, limits: ImageLimits = DEFAULT_LIMITS, *, every: int = 10
) -> tuple[Capture, Capture]:
    """Split a capture into the views to fit and the views to hold out.

    With a `transforms_test.json` beside the `transforms_train.json` that was read, as NeRF-synthetic has it,
    nothing of `capture` is held out: up to 12 test photos with a mask are, evenly spaced in the file's order,
    named `test/NAME`. Otherwise, or if they can't be used (finding `test_photos_unused`), as `split_views`.

    Args:
        path: What `capture` was read from.
        capture: All photos to choose from.
        limits: On files, pixels and views, for the test photos.
        every: For `split_views`.

    Returns:
        (fit, held out).
    """
    if not _has_test_photos(path):
        return split_views(capture, every=every)
    try:
        test = _test_capture(path, limits)
    except InputError as problem:
        words = f"The test photos can't be used, so some of the others are kept for the evidence: {problem}"
        finding = Finding("test_photos_unused", "info", words)
        return split_views(replace(capture, findings=(*capture.findings, finding)), every=every)
    return capture, replace(capture, views=test.views, photos=test.photos)


def _has_test_photos(path: Path) -> bool:
    """Whether the training file was read, not a transforms.json, and there is a test file beside it."""
    folder = path if path.is_dir() else path.parent
    reads_training = not (folder / "transforms.json").is_file() if path.is_dir() else True
    names_training = path.is_dir() or path.name == "transforms_train.json"
    files = ("transforms_train.json", "transforms_test.json")
    return reads_training and names_training and all((folder / name).is_file() for name in files)


def _test_capture(path: Path, limits: ImageLimits) -> Capture:
    folder = path if path.is_dir() else path.parent
    found = ingest_split(
        folder, "test", limits, most=MOST_TEST_VIEWS, require_masks=True, min_views=_FEWEST_TEST_VIEWS
    )
    return replace(
        found,
        views=tuple(replace(view, name=f"test/{view.name}") for view in found.views),
        photos=tuple(
            replace(record, name=f"test/{record.name}", view=record.view and f"test/{record.view}")
            for record in found.photos
        ),
    )
