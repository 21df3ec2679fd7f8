"""A zip of photographs, unpacked as if it were hostile: bytes are counted as they come, names are made up.

Nothing that the archive says about itself is believed: not its sizes, not its paths, not its types.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from objectscan.errors import InputError, TooFewViews, UnsafeArchive
from objectscan.types import Progress, ProgressFn, ignore_progress

STAGE = "gather"
_CHUNK_BYTES = 1 << 20
_JUNK_NAMES = (".ds_store", "thumbs.db", "desktop.ini")
_DRIVES = tuple(f"{letter}:" for letter in "abcdefghijklmnopqrstuvwxyz")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may weigh once it is unpacked."""

    max_entries: int = 2000
    max_bytes: int = 1_000_000_000
    """Of all files together, counted while they are unpacked."""
    max_ratio: float = 100.0
    """Unpacked to packed bytes of the whole archive, above the first 10 MB: photos hardly shrink."""


DEFAULT_ARCHIVE_LIMITS = ArchiveLimits()
_FREE_BYTES = 10_000_000


def unpack_photos(
    archive: Path,
    folder: Path,
    limits: ArchiveLimits = DEFAULT_ARCHIVE_LIMITS,
    report: ProgressFn = ignore_progress,
) -> Path:
    """Unpack the files of a zip flat into a new folder; folders in it do not matter, a mask's does.

    Hidden files and what operating systems add are left out. Two files of one name keep both, the second with
    a number. Files that are no pictures are for `gather` to name.

    Returns:
        `folder`. A folder `masks` of the archive is one there too.

    Raises:
        UnsafeArchive: A path leaves the archive, a link, an archive in the archive, too many files or bytes,
            or damage; `details["reason"]` says which. What was unpacked is in `folder`, nothing elsewhere.
        TooFewViews: There are no files in it.
        InputError: The file does not exist.
    """
    if not archive.is_file():
        raise InputError(f"{archive} does not exist.", hint="Give a zip of photos, or a folder.")
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = _checked(opened.infolist(), archive.name, limits)
            if not entries:
                raise TooFewViews(
                    f"{archive.name} holds no photos.",
                    hint="Put the photos into it.",
                    details={"reason": "too_few_images"},
                )
            _unpack(opened, entries, archive, folder, limits, report)
    except _DAMAGE as problem:
        raise _unsafe(archive.name, f"is damaged ({problem})", "corrupt_archive") from problem
    return folder


def is_archive(path: Path) -> bool:
    """Whether `path` is a file that begins like a zip."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _checked(entries: list[zipfile.ZipInfo], name: str, limits: ArchiveLimits) -> list[zipfile.ZipInfo]:
    """The entries to unpack; everything suspicious is refused before a byte is written."""
    if len(entries) > limits.max_entries:
        words = f"holds {len(entries)} files; the limit is {limits.max_entries}"
        raise _unsafe(name, words, "too_many_files")
    kept = []
    for entry in entries:
        path = entry.filename
        parts = path.replace("\\", "/").split("/")
        leaves = path.startswith(("/", "\\")) or "\\" in path or ".." in parts
        if leaves or path.lower().startswith(_DRIVES) or "\0" in path:
            raise _unsafe(name, f"holds the path {path[:80]!r}, which leads out of it", "unsafe_archive")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise _unsafe(name, f"holds a link, {path[:80]!r}", "unsafe_archive")
        if parts[-1].lower().endswith((".zip", ".7z", ".rar", ".tar", ".gz")):
            raise _unsafe(name, f"holds another archive, {path[:80]!r}", "unsafe_archive")
        is_junk = parts[0] == "__MACOSX" or parts[-1].startswith(".") or parts[-1].lower() in _JUNK_NAMES
        if not entry.is_dir() and not is_junk:
            kept.append(entry)
    return kept


def _unpack(
    opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo], archive: Path, folder: Path,
    limits: ArchiveLimits, report: ProgressFn,
) -> None:  # fmt: skip
    allowed = min(limits.max_bytes, int(_FREE_BYTES + limits.max_ratio * archive.stat().st_size))
    folder.mkdir(parents=True, exist_ok=True)
    total, taken = 0, set[str]()
    for number, entry in enumerate(entries):
        report(Progress(STAGE, 0.5 * number / len(entries), "unpacking"))
        path = PurePosixPath(entry.filename)
        place = folder / "masks" if path.parent.name.lower() == "masks" else folder
        place.mkdir(exist_ok=True)
        file = place / _free_name(path.name, place.name, taken)
        with opened.open(entry) as source, file.open("wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                total += len(chunk)
                if total > allowed:
                    words = f"unpacks to more than {allowed / 1e6:.0f} MB"
                    raise _unsafe(archive.name, words, "archive_too_large")
                target.write(chunk)


def _free_name(name: str, place: str, taken: set[str]) -> str:
    """A safe file name that is not taken: letters, digits and a few signs; the suffix stays."""
    clean = "".join(sign if sign.isalnum() or sign in "-_. ()" else "_" for sign in name)[-100:]
    stem, suffix = Path(clean).stem or "photo", Path(clean).suffix
    candidate, number = f"{stem}{suffix}", 2
    while f"{place}/{candidate}".lower() in taken:
        candidate, number = f"{stem}-{number}{suffix}", number + 1
    taken.add(f"{place}/{candidate}".lower())
    return candidate


def _unsafe(name: str, words: str, reason: str) -> UnsafeArchive:
    return UnsafeArchive(
        f"{name} {words}.",
        hint="Zip the photos alone, or give a folder.",
        details={"reason": reason, "archive": name},
    )
