"""A file while it comes: appended to, hashed on the way, put in place whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from io import FileIO
from pathlib import Path

from objectscan.errors import BadWeights, BadWorkspace, NotEnoughSpace, ObjectscanError

_BLOCK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class PartFile:
    """The beginning of a file, which may stem from an earlier process. Use as a context manager."""

    def __init__(self, path: Path, size_bytes: int):
        """`path` is created if it is not there; `size_bytes` is what it is going to have."""
        self.path, self._whole_bytes = path, size_bytes
        self._file: FileIO | None = None

    def __enter__(self) -> PartFile:
        """Open it and hash what is there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b", buffering=0)  # a full disk is told at the write, not at the close
        self._file.seek(0)
        self._sum, self.size_bytes = hashlib.sha256(), 0
        while block := self._file.read(_BLOCK_BYTES):
            self._sum.update(block)
            self.size_bytes += len(block)
        return self

    def __exit__(self, *_: object) -> None:
        """Close it; it stays for the next try."""
        self._open().close()

    def append(self, block: bytes) -> None:
        """Add bytes.

        Raises:
            BadWeights: They are more than the file is going to have.
            NotEnoughSpace: The disk is full.
        """
        if self.size_bytes + len(block) > self._whole_bytes:
            self.restart()
            raise BadWeights(
                f"{self.path.name} gets longer than the {self._whole_bytes} bytes that were announced.",
                hint="The source gives another file. Try again, or another mirror (HF_ENDPOINT).",
            )
        file, rest = self._open(), memoryview(block)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as problem:
            file.truncate(self.size_bytes)  # no half block that was not hashed
            raise _of_disk(problem, self.path) from problem
        self._sum.update(block)
        self.size_bytes += len(block)

    def restart(self) -> None:
        """Throw away what is there."""
        self._open().truncate(0)
        self._sum, self.size_bytes = hashlib.sha256(), 0

    def sha256(self) -> str:
        """Of what is there."""
        return self._sum.hexdigest()

    def settle(self) -> None:
        """Make sure that the bytes are on the disk."""
        try:
            os.fsync(self._open().fileno())
        except OSError as problem:
            raise _of_disk(problem, self.path) from problem

    def _open(self) -> FileIO:
        if self._file is None:
            raise RuntimeError("a PartFile is used as a context manager")
        return self._file


def _of_disk(problem: OSError, path: Path) -> ObjectscanError:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotEnoughSpace(
            f"The disk became full while {path.name} was written.",
            hint="Free some space, then run the same command again: it goes on where it stopped.",
        )
    return BadWorkspace(
        f"{path} can't be written: {problem.strerror}.",
        hint="Set OBJECTSCAN_MODELS to a folder that can be written.",
    )
