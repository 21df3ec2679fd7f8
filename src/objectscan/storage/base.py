"""One tenant's files. Keys are relative: no key can name another tenant's file.

Writes appear whole or not at all, on a disk as in S3. Everything streams: memory does not grow with files.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import obstore
from obstore.store import LocalStore, ObjectStore, S3Store

from objectscan.errors import StorageFailed
from objectscan.storage.links import LinkSigner
from objectscan.storage.names import require_key

_CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it is stored."""

    key: str
    size_bytes: int
    modified_at: float
    """Seconds since 1970."""
    etag: str | None
    """Changes with the content."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TenantStorage:
    """Made by `Storage.tenant`."""

    store: ObjectStore
    prefix: str
    """`tenants/NAME/`."""
    tenant: str
    signer: LinkSigner | None
    """Signs links where the store can't: on a local disk."""

    def put(self, key: str, chunks: Iterable[bytes]) -> Written:
        """Write a file, replacing an earlier one.

        Raises:
            BadKey: The key leads elsewhere.
            StorageFailed: The disk is full, or the store refuses.
        """
        digest, size_bytes = hashlib.sha256(), 0

        def watched() -> Iterator[bytes]:
            nonlocal size_bytes
            for chunk in chunks:
                digest.update(chunk)
                size_bytes += len(chunk)
                yield chunk

        with _told(key):
            obstore.put(self.store, self._path(key), watched(), max_concurrency=2)
        return Written(size_bytes, digest.hexdigest())

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> Written:
        """As `put`, for bytes that come over time: no thread waits for them. Hashed in threads.

        Raises:
            BadKey, StorageFailed: See `put`; what `chunks` raises leaves as it is, and nothing is written.
        """
        digest, size_bytes = hashlib.sha256(), 0
        trouble: list[Exception] = []

        async def watched() -> AsyncIterator[bytes]:
            nonlocal size_bytes
            try:
                async for chunk in chunks:
                    await asyncio.to_thread(digest.update, chunk)
                    size_bytes += len(chunk)
                    yield chunk
            except Exception as problem:
                trouble.append(problem)
                raise

        path = self._path(key)
        try:
            with _told(key):
                await obstore.put_async(self.store, path, watched(), max_concurrency=2)
        except Exception as problem:
            if trouble:
                raise trouble[0] from None
            raise problem
        return Written(size_bytes, digest.hexdigest())

    def local_path(self, key: str) -> Path | None:
        """Where the file lies if it lies on this machine's disk; only to be read."""
        if isinstance(self.store, LocalStore) and self.store.prefix is not None:
            return Path(self.store.prefix) / self._path(key)
        return None

    def put_file(self, key: str, path: Path) -> Written:
        """Write a file from a local one."""
        with path.open("rb") as file:
            return self.put(key, iter(lambda: file.read(_CHUNK_BYTES), b""))

    def get(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes [start, stop) of a file in chunks; an open end reads on.

        Raises:
            BadKey: The key leads elsewhere.
            FileNotFoundError: There is no such file.
            StorageFailed: The store refuses, or the range lies outside the file.
        """
        path = self._path(key)
        if stop is not None and stop <= start:
            return iter(())
        with _told(key):
            if stop is not None:
                found = obstore.get(self.store, path, options={"range": (start, stop)})
            else:
                found = obstore.get(self.store, path, options={"range": {"offset": start}} if start else None)
        return self._chunks(found, key)

    def get_file(self, key: str, path: Path) -> None:
        """Write a file to a local path, whole or not at all."""
        chunks = self.get(key)  # refuses a bad key before any folder is made
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.writelines(chunks)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def head(self, key: str) -> StoredFile:
        """What is known of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """
        with _told(key):
            return self._stored(obstore.head(self.store, self._path(key)))

    def list(self, folder: str = "") -> Iterator[StoredFile]:
        """All files below a folder, in no particular order; all of the tenant's without one."""
        path = f"{self.prefix}{require_key(folder) if folder else ''}".rstrip("/")
        with _told(folder):
            for batch in obstore.list(self.store, path):
                yield from map(self._stored, batch)

    def delete(self, key: str) -> None:
        """Remove a file if it is there."""
        with _told(key), contextlib.suppress(FileNotFoundError):
            obstore.delete(self.store, self._path(key))

    def delete_folder(self, folder: str) -> int:
        """Remove all files below a folder; how many there were."""
        count = 0
        for stored in list(self.list(require_key(folder))):
            self.delete(stored.key)
            count += 1
        return count

    def usage_bytes(self) -> int:
        """Size of all that the tenant keeps; one listing request for each 1000 files."""
        return sum(stored.size_bytes for stored in self.list())

    def link(self, key: str, *, expires_s: float, method: Literal["GET", "PUT"] = "GET") -> str:
        """An address that whoever has it may use for a while.

        In S3 a whole URL of the store; on a local disk a relative one, which the service checks with
        `LinkSigner.open_link`. A PUT can't cap the size: look at it with `head` before it is used.

        Raises:
            StorageFailed: Nothing here can sign.
        """
        path = self._path(key)
        if self.signer is not None:
            return self.signer.link(self.tenant, key, method=method, expires_s=expires_s)
        with _told(key):
            lifetime = datetime.timedelta(seconds=expires_s)
            if not isinstance(self.store, S3Store):
                raise ValueError("links to local files need a secret")
            return obstore.sign(self.store, method, path, lifetime)

    def _path(self, key: str) -> str:
        return self.prefix + require_key(key)

    def _stored(self, meta: obstore.ObjectMeta) -> StoredFile:
        key = meta["path"].removeprefix(self.prefix)
        return StoredFile(key, meta["size"], meta["last_modified"].timestamp(), meta["e_tag"])

    def _chunks(self, found: obstore.GetResult, key: str) -> Iterator[bytes]:
        with _told(key):
            for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                yield bytes(chunk)


@contextlib.contextmanager
def _told(key: str) -> Iterator[None]:
    """Every failure of the store but a missing file leaves as `StorageFailed`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (obstore.exceptions.BaseError, OSError, ValueError) as problem:
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        raise StorageFailed(
            f"The storage refuses '{key}': {lines[0]}.",
            hint="Check OBJECTSCAN_STORAGE_URL, the credentials, and the free space.",
        ) from problem
