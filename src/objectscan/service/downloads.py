"""Stored files as answers: ranges, entity tags, and headers that keep a browser from running them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from objectscan.errors import NotFound
from objectscan.storage import TenantStorage

_RANGE = re.compile(r"bytes=(?!-$)(\d{0,18})-(\d{0,18})", re.ASCII)
_SANDBOX = "default-src 'none'; sandbox"


@dataclass(frozen=True, slots=True)
class Download:
    """What to send."""

    key: str
    name: str
    """File name for the receiver."""
    media_type: str
    etag: str | None = None
    """Of the content, without quotes; None: as the storage says."""
    inline: bool = False
    """Whether a page may show it; only for pictures."""


def binary() -> dict[str, Any]:
    """Schema of a body of bytes, for a route's documentation."""
    return {"schema": {"type": "string", "format": "binary"}}


def send(request: Request, files: TenantStorage, download: Download) -> Response:
    """The answer to GET or HEAD, with one range if the request asks for one (RFC 9110, 14).

    Raises:
        NotFound: There is no such file.
    """
    try:
        stored = files.head(download.key)
    except FileNotFoundError:
        raise NotFound("There is no such file.", hint="Ask for the list again.") from None
    etag = f'"{download.etag or (stored.etag or str(stored.modified_at)).strip(chr(34))}"'
    headers = _headers(download, etag)
    if etag in [text.strip() for text in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    size = stored.size_bytes
    asked = _asked(request, etag, size)
    if asked == "unmet":
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, stop = (0, size) if asked is None else asked
    if asked is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    status = 200 if asked is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=download.media_type)
    chunks = files.get(download.key, start=start, stop=stop) if size else iter(())
    return StreamingResponse(chunks, status_code=status, headers=headers, media_type=download.media_type)


def _asked(request: Request, etag: str, size: int) -> tuple[int, int] | Literal["unmet"] | None:
    """[start, stop) of the range that is asked for; None for the whole file.

    What is not a single range of bytes is ignored, as is a range on the condition of another content.
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or request.headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if not first:
        return (max(size - int(last), 0), size) if int(last) and size else "unmet"
    start = int(first)
    if last and int(last) < start:
        return None
    return (start, min(int(last) + 1, size) if last else size) if start < size else "unmet"


def _headers(download: Download, etag: str) -> dict[str, str]:
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", download.name.rpartition("/")[2])
    full = quote(download.name.rpartition("/")[2], safe="")
    how = "inline" if download.inline else "attachment"
    return {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f"{how}; filename=\"{plain}\"; filename*=UTF-8''{full}",
        "Content-Security-Policy": _SANDBOX,
    }
