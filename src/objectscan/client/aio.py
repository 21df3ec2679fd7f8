"""The client that awaits. See `objectscan.client`."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from objectscan.client import calls
from objectscan.client.calls import EventReader, JobOptions
from objectscan.client.model import Artifact, Job, JobEvent, JobPage, artifacts_from, job_from, page_from
from objectscan.client.problems import error_of, job_failed, unreachable
from objectscan.errors import ObjectscanError, ServiceFailed

_TRIES = 6
_POLL_S = 2.0
_CHUNK_BYTES = 1 << 20


class AsyncClient:
    """One service, one key. Failures are errors of the tree, such as `TooFewViews` or `ServiceFailed`."""

    def __init__(self, address: str, *, key: str, timeout_s: float = 60.0):
        """Connect lazily.

        Args:
            address: Such as http://127.0.0.1:8000.
            key: An API key.
            timeout_s: How long the service may be silent.
        """
        self.address = address.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.AsyncClient(base_url=self.address, headers=headers, timeout=timeout_s)

    async def __aenter__(self) -> AsyncClient:
        """Use with `async with`."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(
        self, photos: Path | str, options: JobOptions | None = None, *,
        on_sent: Callable[[int, int], None] = lambda sent, total: None,
    ) -> Job:  # fmt: skip
        """Send a folder of photos, or a zip, and begin a job; large sets go on after a broken connection.

        Args:
            photos: Folders below it are kept, such as `masks/`.
            options: How to reconstruct.
            on_sent: Gets bytes sent and bytes in all, after each file of a large set.

        Raises:
            ObjectscanError: As the service says; nothing was begun.
        """
        files, wanted = calls.photo_files(photos), options or JobOptions()
        if calls.is_large(files):
            ids = await self.upload(files, on_sent=on_sent)
            return await self.submit_json({"upload_ids": ids}, wanted)
        field = "archive" if calls.is_zip(files) else "photos"
        with ExitStack() as opened:
            parts = [(field, (name, opened.enter_context(path.open("rb")))) for name, path in files]
            answer = await self._call(
                "POST", "/v1/jobs", files=parts, data=wanted.form(), headers=wanted.headers()
            )
        return job_from(answer.json())

    async def submit_urls(self, urls: Sequence[str], options: JobOptions | None = None) -> Job:
        """Begin a job of photos that the service fetches."""
        return await self.submit_json({"urls": list(urls)}, options or JobOptions())

    async def submit_json(self, source: Mapping[str, Any], options: JobOptions) -> Job:
        """Begin a job of photos that the service has or fetches: `urls`, `upload_ids` or `input`."""
        body = {**source, **options.body()}
        answer = await self._call("POST", "/v1/jobs", json=body, headers=options.headers())
        return job_from(answer.json())

    async def upload(
        self, files: Sequence[tuple[str, Path]], *,
        on_sent: Callable[[int, int], None] = lambda sent, total: None,
    ) -> list[str]:  # fmt: skip
        """Send files by resumable upload; ids for `upload_ids`."""
        total, sent, ids = sum(path.stat().st_size for _, path in files), 0, []
        for name, path in files:
            size_bytes = path.stat().st_size
            begun = await self._call("POST", "/v1/uploads", headers=calls.upload_headers(name, size_bytes))
            await self._send(path, begun.headers["location"], size_bytes)
            ids.append(begun.headers["location"].rpartition("/")[2])
            sent += size_bytes
            on_sent(sent, total)
        return ids

    async def job(self, job_id: str) -> Job:
        """One job as it stands."""
        return job_from((await self._call("GET", f"/v1/jobs/{job_id}")).json())

    async def list_jobs(self, *, cursor: str | None = None, limit: int = 50, **filters: str) -> JobPage:
        """Jobs, newest first; `filters` as in the API: state, tag, external_id, created_after, ..."""
        wanted: dict[str, Any] = {"limit": limit, **filters, **({"cursor": cursor} if cursor else {})}
        return page_from((await self._call("GET", "/v1/jobs", params=wanted)).json())

    async def cancel(self, job_id: str) -> Job:
        """Stop a job."""
        return job_from((await self._call("POST", f"/v1/jobs/{job_id}/cancel")).json())

    async def retry(self, job_id: str) -> Job:
        """Put a failed or cancelled job back into the line."""
        return job_from((await self._call("POST", f"/v1/jobs/{job_id}/retry")).json())

    async def delete(self, job_id: str) -> None:
        """Remove a finished job with its files."""
        await self._call("DELETE", f"/v1/jobs/{job_id}")

    async def wait(
        self, job_id: str, *, timeout_s: float | None = None,
        on_event: Callable[[JobEvent], None] = lambda event: None,
    ) -> Job:  # fmt: skip
        """Wait until a job has finished: by live events, and by asking where they do not get through.

        Raises:
            TimeoutError: It has not within `timeout_s`.
            ObjectscanError: It failed or was cancelled: the class of its code.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        last = ""
        while True:
            job = await self.job(job_id)
            if job.state == "succeeded":
                return job
            if job.is_finished:
                raise job_failed(dict(job.error) if job.error else None, job.state)
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"Job {job_id} is {job.state} after {timeout_s:g} s.")
            try:
                async for event in self.events(job_id, after=last):
                    last = event.id or last
                    on_event(event)
                    if event.kind in ("succeeded", "failed", "cancelled", "deleted"):
                        break
                    if end is not None and time.monotonic() > end:
                        break
                else:
                    await asyncio.sleep(_POLL_S)
            except ServiceFailed:
                await asyncio.sleep(_POLL_S)

    async def events(self, job_id: str, *, after: str = "") -> AsyncIterator[JobEvent]:
        """What happens to a job, live, until the connection ends; `after` is the id of the last one seen."""
        headers = {"Last-Event-ID": after} if after else {}
        path, reader = f"/v1/jobs/{job_id}/events", EventReader()
        try:
            async with self._http.stream("GET", path, headers=headers) as answer:
                if answer.status_code != 200:
                    raise error_of(answer.status_code, await answer.aread())
                async for line in answer.aiter_lines():
                    for event in reader.read([line]):
                        yield event
        except httpx.HTTPError as problem:
            raise unreachable(self.address, problem) from problem

    async def artifacts(self, job_id: str) -> Sequence[Artifact]:
        """A job's results."""
        return artifacts_from((await self._call("GET", f"/v1/jobs/{job_id}/artifacts")).json())

    async def download(self, job_id: str, out: Path | str, *, names: Sequence[str] = ()) -> list[Path]:
        """Write a job's results, all or some, below a folder; each is whole and as hashed, or not there.

        Raises:
            ServiceFailed: What came is not what the service had promised.
        """
        found = await self.artifacts(job_id)
        wanted = [each for each in found if not names or each.name in names]
        return [await self._fetch(job_id, artifact, Path(out)) for artifact in wanted]

    async def _fetch(self, job_id: str, artifact: Artifact, out: Path) -> Path:
        target = calls.target_of(out, artifact)
        target.parent.mkdir(parents=True, exist_ok=True)
        part, digest = target.with_name(target.name + ".part"), hashlib.sha256()
        try:
            async with self._http.stream("GET", calls.artifact_path(job_id, artifact.name)) as answer:
                if answer.status_code != 200:
                    raise error_of(answer.status_code, await answer.aread())
                with part.open("wb") as file:
                    async for chunk in answer.aiter_bytes(_CHUNK_BYTES):
                        digest.update(chunk)
                        file.write(chunk)
            if digest.hexdigest() != artifact.sha256:
                raise ServiceFailed(f"'{artifact.name}' came damaged.", hint="Download it again.")
            part.replace(target)
        except httpx.HTTPError as problem:
            raise unreachable(self.address, problem) from problem
        finally:
            part.unlink(missing_ok=True)
        return target

    async def _send(self, path: Path, location: str, size_bytes: int) -> None:
        """Send a file in pieces; after a break it asks how far it came, and goes on there."""
        offset, tries = 0, 0
        with path.open("rb") as file:
            while offset < size_bytes:
                try:
                    if tries:
                        known = await self._call("HEAD", location, headers=calls.TUS)
                        offset = int(known.headers["upload-offset"])
                    file.seek(offset)
                    piece = file.read(calls.PIECE_BYTES)
                    if piece:
                        told = await self._call(
                            "PATCH", location, headers=calls.piece_headers(offset), content=piece
                        )
                        offset = int(told.headers["upload-offset"])
                    tries = 0
                except ObjectscanError as problem:
                    tries += 1
                    if tries >= _TRIES or not _may_pass(problem):
                        raise
                    await asyncio.sleep(0.2 * 2**tries)

    async def _call(self, method: str, path: str, **values: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **values)
        except httpx.HTTPError as problem:
            raise unreachable(self.address, problem) from problem
        if answer.status_code >= 400:
            raise error_of(answer.status_code, answer.content)
        return answer


def _may_pass(problem: ObjectscanError) -> bool:
    status = problem.details.get("status")
    return status is None or status in (409, 429) or (isinstance(status, int) and status >= 500)
