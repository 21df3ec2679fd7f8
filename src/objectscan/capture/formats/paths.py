"""Finds the photos that a camera file names, inside the capture's folder and nowhere else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from objectscan.errors import BadCameras
from objectscan.types import Finding

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".bmp")
_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*:")


def file_inside(folder: Path, stated: object, label: str) -> Path:
    """As `find_inside`, for a file that must be there.

    Raises:
        BadCameras: Also if there is no such file.
    """
    found = find_inside(folder, stated, label)
    if found is None:
        raise BadCameras(f"{label}: the file {stated!r} does not exist.", hint=f"Put it into {folder.name}.")
    return found


def find_inside(folder: Path, stated: object, label: str) -> Path | None:
    """The file that `stated` means in `folder`, with or without its suffix; None if there is none.

    Raises:
        BadCameras: It is no text, absolute, a URL, or leads out of the folder.
    """
    if not isinstance(stated, str) or not stated.strip() or "\x00" in stated:
        raise BadCameras(
            f"{label}: the file path is {stated!r}, not a path.",
            hint="Give a path relative to the camera file.",
        )
    relative = PurePosixPath(stated.replace("\\", "/"))
    if relative.is_absolute() or _SCHEME.match(stated):
        raise BadCameras(
            f"{label}: the photo {stated!r} is an absolute path or a URL.",
            hint="Photos must lie in the capture's folder and be named relative to it.",
        )
    found = _with_suffix(folder / relative) if ".." not in relative.parts else None
    escapes = found is not None and not found.resolve().is_relative_to(folder.resolve())
    if ".." in relative.parts or escapes:
        raise BadCameras(
            f"{label}: the photo {stated!r} lies outside the capture's folder.",
            hint="Put all photos into the folder of the camera file.",
        )
    return found


def missing_photo_findings(
    file: str, missing: Sequence[str], count: int, *, allowed: bool
) -> tuple[Finding, ...]:
    """What to say about photos (labels of their entries) that a camera file names but that do not exist.

    Raises:
        BadCameras: There are some, and that is not allowed or none is left.
    """
    if not missing:
        return ()
    words = f"{missing[0]}: the photo does not exist. {len(missing)} of {count} photos of {file} are missing."
    if not allowed or len(missing) == count:
        raise BadCameras(
            words,
            hint="Put them in place or remove their entries; or allow missing photos.",
            details={"reason": "missing_photo", "missing": list(missing)},
        )
    return (Finding("photos_missing", "warning", f"{words} They are left out."),)


def unique_names(folder: Path, paths: Sequence[Path], file: str) -> list[str]:
    """A name per photo: the file name, or the path inside `folder` where file names repeat.

    Raises:
        BadCameras: One photo is named twice.
    """
    for path, count in Counter(paths).items():
        if count > 1:
            raise BadCameras(
                f"{file} names the photo {path.name} {count} times.", hint="Keep one entry per photo."
            )
    repeated = {name for name, count in Counter(path.name for path in paths).items() if count > 1}
    return [path.relative_to(folder).as_posix() if path.name in repeated else path.name for path in paths]


def _with_suffix(path: Path) -> Path | None:
    """The path itself or with a picture suffix, in either case of letters."""
    try:
        if path.is_file():
            return path
        suffixes = [*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)]
        return next(
            (found for suffix in suffixes if (found := path.with_name(path.name + suffix)).is_file()), None
        )
    except (OSError, ValueError):  # Names that the file system can't hold.
        return None
