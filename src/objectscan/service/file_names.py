"""From the names that callers give to names that can be stored; which files are cameras, masks or photos."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

_CAMERA_FILE = re.compile(
    r"(transforms(_\w+)?\.json|(cameras|images|points3D|rigs|frames)\.(txt|bin)|project\.ini)", re.IGNORECASE
)
_PLAIN_SIGNS = "-_. ()"
_MOST_FOLDERS = 4
_MOST_CHARACTERS = 60
"""200 bytes are the storage's limit for a part, and a character may take 3."""


def stored_name(name: str, taken: set[str]) -> str:
    """A name like the given one that is safe to store and not taken; it is added to `taken`.

    Folders are kept, since camera files name photos with them, unless any of them leads out. Letters, digits
    and a few signs stay; everything else becomes `_`. What is left of `../../x.jpg` is `x.jpg`.
    """
    parts = [part.strip() for part in unicodedata.normalize("NFC", name).replace("\\", "/").split("/")]
    leads_out = name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]
    folders = [] if leads_out else [clean for part in parts[:-1] if (clean := _clean(part))]
    file = PurePosixPath(_clean(parts[-1]) or "photo")
    folder = "/".join(folders[-_MOST_FOLDERS:])
    prefix = f"{folder}/" if folder else ""
    candidate, number = f"{prefix}{file}", 2
    while candidate.lower() in taken:
        candidate, number = f"{prefix}{file.stem}-{number}{file.suffix}", number + 1
    taken.add(candidate.lower())
    return candidate


def is_camera_file(name: str) -> bool:
    """Whether the file holds cameras, by its name."""
    return _CAMERA_FILE.fullmatch(PurePosixPath(name).name) is not None


def is_mask(name: str) -> bool:
    """Whether the file lies in a folder of masks."""
    return "masks" in PurePosixPath(name).parts[:-1]


def common_folder(names: Sequence[str]) -> str:
    """The folder that all files lie in, or nothing: a page that sends a folder puts its name before all."""
    tops = {name.split("/")[0] if "/" in name else "" for name in names}
    return tops.pop() if len(tops) == 1 and tops != {"masks"} else ""


def _clean(part: str) -> str:
    if part in ("", ".", ".."):
        return ""
    clean = "".join(sign if sign.isalnum() or sign in _PLAIN_SIGNS else "_" for sign in part)
    path = PurePosixPath(clean.lstrip(". ").rstrip(". ") or "photo")
    suffix = path.suffix[-12:] if len(path.suffix) > 1 else ""
    stem = path.name[: -len(path.suffix)] if path.suffix else path.name
    return f"{stem[: _MOST_CHARACTERS - len(suffix)].rstrip()}{suffix}"
